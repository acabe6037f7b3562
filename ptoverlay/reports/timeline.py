"""A page about the steps of a sandbox: a time line, the tree of what each changed, and how texts differ, side by side.

The page is one file that loads nothing, as the one of `report`: timeline.html is the template, timeline.js shows a step
when it is chosen, and tree.js its tree.

Rules: those of report.py; what a step holds is unpacked when it is looked at, so that many of them are no slower than
one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ptoverlay import __version__
from ptoverlay.console.terminal import count, shown
from ptoverlay.history.record import History, HistoryStep
from ptoverlay.history.states import before, between
from ptoverlay.history.told import command, name_of, outcome, when
from ptoverlay.layer.changes import Kind
from ptoverlay.reports.report import Room, Section, columns, compared, template, tree
from ptoverlay.sandboxes.sandbox import Sandbox

_KINDS = [str(kind) for kind in Kind]


@dataclass(frozen=True)
class ShownStep:
    """One step.  failed: whether its command did not end well; changes: what it changed."""

    number: int
    name: str
    command: str
    message: str
    cwd: str
    when: str
    outcome: str
    failed: bool
    undone: bool
    folded: str
    changes: Section

    @property
    def total(self) -> int:
        return sum(self.changes.counts.values())

    @property
    def bars(self) -> list[tuple[str, float]]:
        """Its kinds of changes, and what part of them each is, in percent."""
        return [(kind, 100 * number / self.total) for kind, number in self.changes.counts.items() if number]


def page(box: Sandbox, history: History, chosen: Sequence[HistoryStep]) -> str:
    """The text of the page: of these steps, in this order."""
    room = Room()
    steps = [_step(box, history, step, room) for step in chosen]
    text: str = template("timeline.html").render(
        version=__version__, name=box.name, lowers=shown(":".join(box.lowers)), steps=steps, kinds=_KINDS,
        most=max((step.total for step in steps), default=0) or 1)
    return text


def _step(box: Sandbox, history: History, step: HistoryStep, room: Room) -> ShownStep:
    with between(box, before(history, step), step.number) as (view, base):
        found, differences = compared(view, base, box.mount, room)
    counts = {kind: sum(change.kind == kind for change in found) for kind in _KINDS}
    section = Section(step.number, name_of(step), "", "", counts, sum(change.size for change in found),
                      sum(change.old_size + change.bytes for change in found),
                      columns(tree(found, box.mount), differences.places), differences.blocks())
    folded = f"with {count(step.folded, 'older step')}, which cannot be undone any more" if step.folded else ""
    return ShownStep(step.number, shown(name_of(step)), shown(command(step)), step.message, shown(step.cwd), when(step),
                outcome(step), bool(step.status), step.undone, folded, section)
