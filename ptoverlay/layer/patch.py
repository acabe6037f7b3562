"""Changes as a patch that git apply(1) and patch -p1 take, and their line counts for --stat.

The format is git's (git-diff(1), "generating patch text with -p"): extended headers for renames, modes and files that
begin or cease to be, names below a/ and b/, C-style quotes where a name needs them.

Rules: bytes in, bytes out: neither names nor contents need to be in any encoding; a file is held in memory only once it
is known to be text.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import Stat, View

_CONTEXT = 3  # lines around a difference
_LOOK = 8000  # a NUL in the first bytes makes a file binary, as for git
_TOO_LARGE = 64 << 20  # bytes; larger files are told, not shown
_TOO_MANY = 20_000  # lines that differ; more are shown as one piece, since finding the pieces takes too long
_GIT_LINK = 0o120000
_ESCAPES = {0x07: b"a", 0x08: b"b", 0x09: b"t", 0x0A: b"n", 0x0B: b"v", 0x0C: b"f", 0x0D: b"r", 0x22: b'"', 0x5C: b"\\"}


@dataclass(frozen=True, slots=True)
class Hunk:
    """A piece of a unified diff: its header's numbers, and its lines, each with its sign, and its newline if any."""

    old_start: int
    old_count: int
    new_start: int
    new_count: int
    lines: Sequence[bytes]

    def header(self) -> bytes:
        return (f"@@ -{_range(self.old_start, self.old_count)} +{_range(self.new_start, self.new_count)} @@\n").encode()


class Patch:
    """Of one change.  old, new: contents, None when there is none; binary: not shown."""

    def __init__(self, change: Change, view: View, base: View, mount: str) -> None:
        self.change = change
        self._mount = mount
        self.old_mode = _git_mode(change.old)
        self.new_mode = _git_mode(change.new)
        self.binary = False
        self._old = self._content(base, change.old_path, change.old) if change.content else None
        self._new = self._content(view, change.path, change.new) if change.content else None
        self.hunks = [] if self.binary else hunks(self._old or b"", self._new or b"")

    def _content(self, view: View, path: str | None, status: Stat | None) -> bytes | None:
        if path is None or status is None or not (status.is_file or status.is_link):
            return None
        if status.is_link:
            return os.fsencode(view.readlink(path))
        try:
            with open(view.open(path, os.O_RDONLY), "rb") as file:
                head = file.read(_LOOK)
                if b"\0" in head or status.size > _TOO_LARGE:
                    self.binary = True
                    return None
                return head + file.read()
        except PermissionError:
            self.binary = True
            return None

    def counts(self) -> tuple[int, int]:
        """Lines added, lines removed."""
        signs = [line[:1] for hunk in self.hunks for line in hunk.lines]
        return signs.count(b"+"), signs.count(b"-")

    def lines(self) -> Iterator[bytes]:
        """The patch, line by line; nothing when the format has no words for the change."""
        if not self.old_mode and not self.new_mode:
            return
        if self.old_mode and self.new_mode and stat.S_IFMT(self.old_mode) != stat.S_IFMT(self.new_mode):
            yield from self._replaced()
            return
        headers = list(self._headers())
        if not headers and not self.hunks and not self.binary:
            return
        new_path = self.change.path if self.new_mode else self._old_path
        yield b"diff --git " + self._name("a", self._old_path) + b" " + self._name("b", new_path) + b"\n"
        yield from headers
        yield from self._body(self.hunks)

    def _replaced(self) -> Iterator[bytes]:
        """A file that became a symlink or the other way: one is removed and one is made."""
        for mode, content, word, sides in ((self.old_mode, self._old, b"deleted", (True, False)),
                                           (self.new_mode, self._new, b"new", (False, True))):
            yield b"diff --git " + self._name("a", self.change.path) + b" " + self._name("b", self.change.path) + b"\n"
            yield word + b" file mode %o\n" % mode
            pieces = hunks(content or b"", b"") if sides[0] else hunks(b"", content or b"")
            yield from self._body(pieces, *sides)

    @property
    def _old_path(self) -> str:
        return self.change.old_path or self.change.path

    def _headers(self) -> Iterator[bytes]:
        if not self.old_mode:
            yield b"new file mode %o\n" % self.new_mode
        elif not self.new_mode:
            yield b"deleted file mode %o\n" % self.old_mode
        elif self.old_mode != self.new_mode:
            yield b"old mode %o\nnew mode %o\n" % (self.old_mode, self.new_mode)
        if self.new_mode and self._old_path != self.change.path:
            yield b"rename from " + self._name("", self._old_path) + b"\n"
            yield b"rename to " + self._name("", self.change.path) + b"\n"

    def _body(self, pieces: Sequence[Hunk], old: bool | None = None, new: bool | None = None) -> Iterator[bytes]:
        before = self._name("a", self._old_path) if (self.old_mode if old is None else old) else b"/dev/null"
        after = self._name("b", self.change.path) if (self.new_mode if new is None else new) else b"/dev/null"
        if self.binary:
            yield b"Binary files " + before + b" and " + after + b" differ\n"
        elif pieces:
            yield b"--- " + before + (b"\t\n" if b" " in before else b"\n")
            yield b"+++ " + after + (b"\t\n" if b" " in after else b"\n")
        for hunk in pieces:
            yield hunk.header()
            for line in hunk.lines:
                yield line
                if not line.endswith(b"\n"):
                    yield b"\n\\ No newline at end of file\n"

    def _name(self, side: str, path: str) -> bytes:
        relative = os.fsencode(path)[len(os.fsencode(self._mount.rstrip("/"))) + 1:]
        return quoted(side.encode() + b"/" * bool(side) + relative)


def patches(found: Sequence[Change], view: View, base: View, mount: str) -> Iterator[Patch]:
    """One for each change, and for each file that a renamed directory took along."""
    known = {change.path for change in found}
    for change in found:
        yield Patch(change, view, base, mount)
        if change.kind is Kind.RENAMED and change.new is not None and change.new.is_dir:
            for moved in _taken_along(change, known, view):
                yield Patch(moved, view, base, mount)


def _taken_along(change: Change, known: set[str], view: View) -> Iterator[Change]:
    """What is in a renamed directory and has no change of its own."""
    stack = [(change.path, change.old_path or "")]
    while stack:
        path, old_path = stack.pop()
        for name in reversed(view.list(path)):
            here, before = f"{path}/{name}", f"{old_path}/{name}"
            status = view.stat(here)
            moved = Change(here, Kind.RENAMED, status, status, before)
            if status.is_dir and here not in known:
                stack.append((here, before))
            elif here not in known:
                yield moved
            elif status.is_dir:
                stack.append((here, before))


def hunks(old: bytes, new: bytes) -> list[Hunk]:
    """What differs between two texts, with lines of context."""
    if old == new:
        return []
    a, b = _lines(old), _lines(new)
    start = _common(a, b)
    end = _common(a[start:][::-1], b[start:][::-1])
    first = max(start - _CONTEXT, 0)
    tail = max(end - _CONTEXT, 0)
    a, b = a[first:len(a) - tail], b[first:len(b) - tail]
    return [_hunk(group, a, b, first) for group in _groups(a, b, start - first, end - tail)]


def joined(old: bytes, pieces: Sequence[Hunk]) -> bytes:
    """The old text with some of its differences, in their order."""
    lines, made, at = _lines(old), list[bytes](), 0
    for hunk in pieces:
        made += lines[at:hunk.old_start]
        made += (line[1:] for line in hunk.lines if not line.startswith(b"-"))
        at = hunk.old_start + hunk.old_count
    return b"".join(made + lines[at:])


_Group = Sequence[tuple[str, int, int, int, int]]


def _groups(a: list[bytes], b: list[bytes], before: int, after: int) -> Iterator[_Group]:
    """Groups of opcodes as SequenceMatcher makes them; before, after: lines of both ends that are equal."""
    if max(len(a), len(b)) <= _TOO_MANY:
        yield from SequenceMatcher(None, a, b).get_grouped_opcodes(_CONTEXT)
        return
    yield [("equal", 0, before, 0, before), ("replace", before, len(a) - after, before, len(b) - after),
           ("equal", len(a) - after, len(a), len(b) - after, len(b))]


def _hunk(group: _Group, a: list[bytes], b: list[bytes], offset: int) -> Hunk:
    lines: list[bytes] = []
    for tag, a1, a2, b1, b2 in group:
        if tag == "equal":
            lines += (b" " + line for line in a[a1:a2])
        else:
            lines += (b"-" + line for line in a[a1:a2])
            lines += (b"+" + line for line in b[b1:b2])
    (_, a1, _, b1, _), (_, _, a2, _, b2) = group[0], group[-1]
    return Hunk(a1 + offset, a2 - a1, b1 + offset, b2 - b1, lines)


def _lines(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])


def _common(a: Sequence[bytes], b: Sequence[bytes]) -> int:
    count = 0
    for one, two in zip(a, b, strict=False):
        if one != two:
            break
        count += 1
    return count


def _range(start: int, count: int) -> str:
    if count == 1:
        return str(start + 1)
    return f"{start + 1 if count else start},{count}"


def _git_mode(status: Stat | None) -> int:
    """The mode as git has it, 0 for what it does not keep."""
    if status is None or not (status.is_file or status.is_link):
        return 0
    if status.is_link:
        return _GIT_LINK
    return stat.S_IFREG | (0o755 if status.mode & 0o100 else 0o644)


def quoted(name: bytes) -> bytes:
    """A name as git writes it: in C-style quotes when it has bytes that need them."""
    if all(0x20 <= byte < 0x7F and byte not in _ESCAPES for byte in name):
        return name
    return b'"' + b"".join(_escape(byte) for byte in name) + b'"'


def _escape(byte: int) -> bytes:
    if byte in _ESCAPES:
        return b"\\" + _ESCAPES[byte]
    return bytes([byte]) if 0x20 <= byte < 0x7F else b"\\%03o" % byte
