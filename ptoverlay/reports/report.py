"""A page about a run: where its time went, what it changed, as a tree, and how files of text differ.

The page is one file that loads nothing: styles, script and data are in it.  report.html is the template (Jinja2),
tree.js builds a folder's rows when it is opened.  The tree is one block of JSON, columns over all rows in the order
of a walk; the differences are blocks of some hundred KiB, compressed, of which one is unpacked at a click.

Rules: every text that comes from outside goes through the template's escaping or `_json`; a layer of any size and depth
makes a page that a browser can show; the same layer gives the same page.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shlex
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptoverlay import __version__
from ptoverlay.console.terminal import human, shown
from ptoverlay.layer.changes import TYPE_NAMES, Change, Kind, changes
from ptoverlay.layer.patch import Patch
from ptoverlay.layer.view import Stat, View
from ptoverlay.reports.stats import Call, Statistics
from ptoverlay.sandboxes.sandbox import Run, Sandbox

_KINDS = [str(kind) for kind in Kind]
_LARGEST_FILE = 256 << 10  # bytes of a file whose differences are shown
_MOST_LINES = 3000  # of one file's differences
_LARGEST_DIFF = 24 << 20  # bytes of all differences of a layer, before they are compressed
_BLOCK = 256 << 10  # bytes of differences that are compressed together
_NOT_SHOWN = 0  # in place of a block and a number: it differs, and that is too long to be in the page


@dataclass
class Node:
    """A row of the tree: a directory on the way, or a change."""

    name: str
    change: Change | None = None
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def is_dir(self) -> bool:
        return self.change is None or self.change.type == stat.S_IFDIR

    @property
    def note(self) -> str:
        """What the kind alone does not say."""
        if self.change is None:
            return ""
        notes = []
        if self.change.kind is Kind.RENAMED and self.change.old_path is not None:
            notes.append(f"was {shown(self.change.old_path)}")
        if self.change.kind is Kind.REMOVED and self.change.entries:
            notes.append(f"with {self.change.entries} {'entry' if self.change.entries == 1 else 'entries'}")
        if self.change.type not in (stat.S_IFREG, stat.S_IFDIR):
            notes.append(TYPE_NAMES.get(self.change.type, ""))
        notes += self.change.metadata
        return ", ".join(notes)

    def join_down(self) -> None:
        """Takes the directory into this row that is alone in it, and so on, where nothing happened to either."""
        while self.change is None and len(self.children) == 1:
            (child,) = self.children.values()
            if child.change is not None or not child.children:
                break
            self.name = f"{self.name.rstrip('/')}/{child.name}"
            self.children = child.children

    def rows(self) -> list[Node]:
        """Children, directories first, by name."""
        return sorted(self.children.values(), key=lambda node: (not node.children, node.name))


@dataclass(frozen=True)
class Section:
    """One overlay of the run.  data: what tree.js reads; blocks: of differences; size, old_size: bytes of the files
    now and before."""

    number: int
    title: str
    upper: str
    lowers: str
    counts: dict[str, int]
    size: int
    old_size: int
    data: dict[str, Any]
    blocks: list[str]


def page(sandboxes: Sequence[Sandbox], run: Run | None, statistics: Statistics | None) -> str:
    """The text of the page; run and statistics: None when no run is known."""
    return render([_layer(*each) for each in enumerate(sandboxes)], run, statistics)


def render(layers: Sequence[Section], run: Run | None, statistics: Statistics | None) -> str:
    """The same of what was found."""
    command = shown(shlex.join(run.argv)) if run else ""
    text: str = template("report.html").render(
        version=__version__, command=command, run=run, began=_when(run), outcome=_outcome(run), layers=layers,
        statistics=statistics, parts=list(_parts(statistics)), kinds=_KINDS,
        longest=max((call.nanoseconds for call in statistics.calls), default=0) or 1 if statistics else 1)
    return text


def template(name: str, folder: str = os.path.dirname(__file__)) -> Any:
    """A template, with the filters that all of them use."""
    import jinja2
    from markupsafe import Markup

    loader = jinja2.FileSystemLoader(folder)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(human=human, shown=shown, count=lambda number: f"{number:,}",
                               data=lambda data: Markup(_json(data)))
    return environment.get_template(name)


def _json(data: object) -> str:
    """For a script element, which ends at the first "</script" and begins to mean something else at "<!--"."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def _layer(number: int, box: Sandbox) -> Section:
    with box.view() as view, box.base() as base:
        found, differences = compared(view, base, box.mount, Room())
    counts = {kind: sum(change.kind == kind for change in found) for kind in _KINDS}
    title = f"sandbox {box.name}" if box.name else "upper layer"
    return Section(number, title, shown(box.upper), shown(":".join(box.lowers)), counts,
                 sum(change.size for change in found), sum(change.old_size + change.bytes for change in found),
                 columns(tree(found, box.mount), differences.places), differences.blocks())


def compared(view: View, base: View, mount: str, room: Room) -> tuple[list[Change], Differences]:
    """The changes, and the differences of as many of them as there is room for."""
    found = changes(view, base, mount)
    differences = Differences(view, base, mount, room)
    for change in sorted(found, key=lambda change: change.kind is not Kind.MODIFIED):
        differences.add(change)
    return found, differences


# ---- the tree


def tree(found: Sequence[Change], mount: str) -> Node:
    """The rows, and those of the directories on the way."""
    root = Node(shown(mount))
    for change in found:
        node = root
        for name in change.path[len(mount):].strip("/").split("/") if change.path != mount else ():
            node = node.children.setdefault(name, Node(shown(name)))
        node.change = change
    return root


def columns(root: Node, differences: dict[str, Any]) -> dict[str, Any]:
    """One list a property, over all rows, each directory before what is in it; `up`: the number of the row that it is
    in; `note` and `diff`: by number, for those that have any."""
    found: dict[str, list[Any]] = {name: [] for name in ("name", "up", "kind", "dir", "size", "old")}
    note: dict[int, str] = {}
    diff: dict[int, Any] = {}
    todo = [(root, -1)]
    while todo:
        node, up = todo.pop()
        node.join_down()
        number, change = len(found["up"]), node.change
        row = (node.name, up, _KINDS.index(str(change.kind)) if change else -1, int(node.is_dir),
               change.size if change else 0, change.old_size + change.bytes if change else 0)
        for column, value in zip(found.values(), row, strict=True):
            column.append(value)
        if node.note:
            note[number] = node.note
        if change is not None and change.path in differences:
            diff[number] = differences[change.path]
        todo += [(child, number) for child in reversed(node.rows())]
    return {**found, "note": note, "diff": diff}


# ---- differences


@dataclass
class Room:
    """What the differences of a page may take, in bytes."""

    left: int = _LARGEST_DIFF


class Differences:
    """Those that are in the page.  places: by path: number of the block and in it, or `_NOT_SHOWN`."""

    def __init__(self, view: View, base: View, mount: str, room: Room) -> None:
        self._views = view, base, mount
        self._texts: list[list[str]] = [[]]
        self._size = 0
        self._room = room
        self.places: dict[str, Any] = {}

    def add(self, change: Change) -> None:
        if not change.content or not any(map(_has_lines, (change.new, change.old))):
            return
        if self._room.left <= 0 or any(status and status.size > _LARGEST_FILE for status in (change.new, change.old)):
            self.places[change.path] = _NOT_SHOWN
            return
        patch = Patch(change, *self._views)
        if not patch.hunks:
            return
        text = _text(patch)
        if text is None:
            self.places[change.path] = _NOT_SHOWN
            return
        if self._size > _BLOCK:
            self._texts.append([])
            self._size = 0
        self.places[change.path] = [len(self._texts) - 1, len(self._texts[-1])]
        self._texts[-1].append(text)
        self._size += len(text)
        self._room.left -= len(text)

    def blocks(self) -> list[str]:
        return [base64.b64encode(gzip.compress(_json(texts).encode(), 6, mtime=0)).decode("ascii")
                for texts in self._texts if texts]


def _has_lines(status: Stat | None) -> bool:
    return status is not None and (status.is_link or (status.is_file and status.size > 0))


def _text(patch: Patch) -> str | None:
    """A unified diff without its head; None when it is too long."""
    if sum(len(hunk.lines) for hunk in patch.hunks) > _MOST_LINES:
        return None
    parts = []
    for hunk in patch.hunks:
        parts.append(hunk.header())
        for line in hunk.lines:
            parts.append(line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n")
    return b"".join(parts).decode("utf-8", "backslashreplace").rstrip("\n")


# ---- the run


def _when(run: Run | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(run.started)) if run else ""


def _outcome(run: Run | None) -> str:
    if run is None or run.status is None:
        return "no end is known"
    return f"exit status {run.status}" if run.status >= 0 else f"ended by signal {-run.status}"


def _parts(statistics: Statistics | None) -> Iterator[tuple[str, str, float, float]]:
    """Parts of the run's time: name for the style, text, seconds, percent."""
    if statistics is None or not statistics.seconds:
        return
    served = min(_seconds(statistics.totals), statistics.seconds)
    used = min(statistics.cpu_seconds, statistics.seconds - served)
    rest = statistics.seconds - served - used
    parts = (("served", "trapped calls, answered by the supervisor", served),
             ("used", "the command itself, on a processor", used), ("rest", "waiting, and everything else", rest))
    for name, text, seconds in parts:
        yield name, text, seconds, 100 * seconds / statistics.seconds


def _seconds(call: Call) -> float:
    return call.nanoseconds / 1e9
