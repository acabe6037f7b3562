"""A page about a run: what it changed, as a tree with sizes, and where its time went.

The page is one file that loads nothing: styles and script are in it.  report.html is the template (Jinja2).

Rules: every text that comes from outside goes through the template's escaping; a layer of any size makes a page that a
browser can show, so what is beyond `_MOST_ROWS` is counted and not listed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ptoverlay import __version__
from ptoverlay.changes import TYPE_NAMES, Change, Kind, changes
from ptoverlay.sandbox import Run, Sandbox
from ptoverlay.stats import Call, Statistics
from ptoverlay.terminal import human, shown

_MOST_ROWS = 5000


@dataclass
class Node:
    """A row of the tree: a directory on the way, or a change.  size, old_size: bytes of all that is below it now, and
    of what was there before in its place; count: changes below it, itself included."""

    name: str
    change: Change | None = None
    children: dict[str, Node] = field(default_factory=dict)
    size: int = 0
    old_size: int = 0
    count: int = 0
    left_out: int = 0

    @property
    def kind(self) -> str:
        return str(self.change.kind) if self.change else ""

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

    def join_up(self) -> None:
        """Puts directories on the way that hold one directory and nothing else into one row with it."""
        while self.change is None and len(self.children) == 1:
            (child,) = self.children.values()
            if child.change is not None or not child.children:
                break
            self.name = f"{self.name.rstrip('/')}/{child.name}"
            self.children = child.children
            self.left_out += child.left_out
        for child in self.children.values():
            child.join_up()

    def rows(self) -> list[Node]:
        """Children, directories first, by name."""
        return sorted(self.children.values(), key=lambda node: (not node.children, node.name))


@dataclass(frozen=True)
class Layer:
    """One overlay of the run."""

    title: str
    upper: str
    lowers: str
    tree: Node
    counts: dict[str, int]


def page(sandboxes: Sequence[Sandbox], run: Run | None, statistics: Statistics | None) -> str:
    """The text of the page; run and statistics: None when no run is known."""
    import jinja2

    loader = jinja2.FileSystemLoader(os.path.dirname(__file__))
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(human=human, shown=shown, count=lambda number: f"{number:,}")
    layers = [_layer(box) for box in sandboxes]
    command = shown(shlex.join(run.argv)) if run else ""
    return environment.get_template("report.html").render(
        version=__version__, command=command, run=run, began=_when(run), outcome=_outcome(run), layers=layers,
        statistics=statistics, parts=list(_parts(statistics)), kinds=[str(kind) for kind in Kind],
        longest=max((call.nanoseconds for call in statistics.calls), default=0) or 1 if statistics else 1)


def _layer(box: Sandbox) -> Layer:
    with box.view() as view, box.base() as base:
        found = changes(view, base, box.mount)
    counts = {str(kind): sum(change.kind is kind for change in found) for kind in Kind}
    title = f"sandbox {box.name}" if box.name else "upper layer"
    return Layer(title, shown(box.upper), shown(":".join(box.lowers)), _tree(found, box), counts)


def _tree(found: Sequence[Change], box: Sandbox) -> Node:
    root = Node(box.mount)
    for number, change in enumerate(found):
        names = [] if change.path == box.mount else box.relative(change.path).split("/")
        node = root
        way = [root]
        for name in names:
            if number >= _MOST_ROWS and name not in node.children:
                break
            node = node.children.setdefault(name, Node(shown(name)))
            way.append(node)
        if number < _MOST_ROWS:
            node.change = change
        else:
            node.left_out += 1
        for above in way:
            above.size += change.size
            above.old_size += change.old_size + change.bytes
            above.count += 1
    root.join_up()
    return root


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
