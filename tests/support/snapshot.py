"""A snapshot of a tree: every entry with contents, attributes, xattrs and links, and readable differences.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace

#: Times before this second were set by somebody; later ones come from the clock.
RECENT = 1_500_000_000

#: What must be the same in a tree that a program made twice: on a plain copy and over a view.
TREE = ("type", "mode", "uid", "gid", "size", "mtime", "rdev", "content", "group", "target", "xattrs")
#: What must be the same in a tree that nobody touched.
UNTOUCHED = (*TREE, "nlink", "ctime", "blocks", "flags", "generation")


@dataclass(frozen=True)
class Entry:
    """One line of the subject `tree`; sizes in bytes, times as decimal seconds."""

    path: str
    type: str
    mode: str = ""
    uid: str = ""
    gid: str = ""
    nlink: str = ""
    size: str = ""
    mtime: str = ""
    ctime: str = ""
    rdev: str = ""
    content: str = ""
    blocks: str = ""
    flags: str = ""
    generation: str = ""
    group: str = ""
    target: str = ""
    xattrs: tuple[str, ...] = ()


_TEXTS = tuple(f.name for f in fields(Entry) if f.name != "xattrs")
Snapshot = dict[str, Entry]


def parse(text: str) -> Snapshot:
    """The output of the subject `tree`."""
    width = len(_TEXTS)
    snapshot: Snapshot = {}
    for line in text.splitlines():
        parts = line.split("\t")
        named = dict(zip(_TEXTS, parts, strict=False))
        entry = Entry(**named, xattrs=tuple(parts[width:]))
        if entry.path in snapshot:  # an error after the entry's own line: keep both visible
            entry = Entry(entry.path, f"{snapshot[entry.path].type}{entry.type}")
        snapshot[entry.path] = entry
    members = Counter(entry.group for entry in snapshot.values())
    for path, entry in snapshot.items():
        if members[entry.group] == 1:  # its other names are not in this tree, or gone
            snapshot[path] = replace(entry, group="-")
    return snapshot


def _value(entry: Entry, name: str) -> object:
    value: object = getattr(entry, name)
    if name == "mtime" and entry.mtime and float(entry.mtime) >= RECENT:
        return "now"
    if entry.type == "dir" and name in ("size", "blocks", "nlink"):
        return ""
    if entry.type == "link" and name == "mode":
        return ""
    return value


def _exact(entry: Entry, name: str) -> object:
    return getattr(entry, name)


def differences(
    expected: Snapshot,
    found: Snapshot,
    names: Collection[str] = TREE,
    *,
    exact: bool = False,
    ignore: Collection[str] = (),
) -> list[str]:
    """One line a difference.  `names`: the fields that count; exact: times from the clock count too;
    ignore: patterns of paths that are left out."""
    return list(_differences(expected, found, names, _exact if exact else _value, ignore))


def _differences(
    expected: Snapshot,
    found: Snapshot,
    names: Collection[str],
    value: Callable[[Entry, str], object],
    ignore: Collection[str],
) -> Iterator[str]:
    for path in sorted(expected.keys() | found.keys()):
        if any(re.search(pattern, path) for pattern in ignore):
            continue
        if path not in found:
            yield f"{path}: missing (expected {expected[path].type})"
            continue
        if path not in expected:
            yield f"{path}: not expected ({found[path].type})"
            continue
        for name in names:
            want, have = value(expected[path], name), value(found[path], name)
            if want != have:
                yield f"{path}: {name} is {have!r}, expected {want!r}"


def assert_equal(
    what: str,
    expected: Snapshot,
    found: Snapshot,
    names: Collection[str] = TREE,
    *,
    exact: bool = False,
    ignore: Collection[str] = (),
) -> None:
    """Fails with the first differences when the two are not equal."""
    lines = differences(expected, found, names, exact=exact, ignore=ignore)
    if lines:
        more = f"\n… and {len(lines) - 40} more" if len(lines) > 40 else ""
        raise AssertionError(f"{what}: {len(lines)} differences\n" + "\n".join(lines[:40]) + more)
