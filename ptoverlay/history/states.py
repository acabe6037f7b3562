"""What the view of a sandbox was after a step, and what changed between two of these.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ptoverlay.errors import Failure
from ptoverlay.history.record import History, HistoryStep, directories
from ptoverlay.layer.changes import Change, changes
from ptoverlay.layer.view import View
from ptoverlay.sandboxes.sandbox import Sandbox


def history_of(box: Sandbox) -> History:
    """Failure for layers that have no name."""
    return History.load(home_of(box))


def home_of(box: Sandbox) -> Path:
    if box.directory is None:
        raise Failure(str(box), "only a sandbox with a name has steps", "ptoverlay run --name NAME makes one")
    return box.directory


@contextmanager
def between(box: Sandbox, older: int, newer: int) -> Iterator[tuple[View, View]]:
    """The views after two steps, the newer one first; 0: before all of them.  For `changes`."""
    history = history_of(box)
    if not older < newer:
        raise Failure(f"{older}..{newer}", "the earlier step comes first")
    below, above = history.at(older), history.at(newer)
    if above[len(above) - len(below):] != below:
        raise Failure(f"{older}..{newer}", f"step {newer} does not come after step {older}", f"{older} was undone")
    with _state(box, above, len(above) - len(below)) as view, _state(box, below, 0) as base:
        yield view, base


@contextmanager
def after(box: Sandbox, number: int) -> Iterator[View]:
    """The view after a step."""
    with _state(box, history_of(box).at(number), 0) as view:
        yield view


def before(history: History, step: HistoryStep) -> int:
    """The number of the step that a step was made on, 0: none."""
    others = [other for other in history.steps if other.number < step.number and other.undone <= step.undone]
    return others[-1].number if others else 0


def step_changes(box: Sandbox, number: int) -> list[Change]:
    """What a step changed.  Failure for one that is not there."""
    history = history_of(box)
    step = history.step(number)
    with between(box, before(history, step), number) as (view, base):
        return changes(view, base, box.mount)


@contextmanager
def _state(box: Sandbox, layers: list[str], count: int) -> Iterator[View]:
    """The view of some layers, topmost first, of which the first ones count as its upper."""
    uppers = [directories(home_of(box), layer)[0] for layer in layers]
    ended = {step.layer for step in history_of(box).steps if step.ended}
    for layer, upper in zip(layers, uppers, strict=True):
        if layer in ended and not os.path.isdir(upper):  # an upper that is not there is one that changes nothing
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), upper)
    if count:
        piece = Sandbox(box.metadata, uppers[0], directories(home_of(box), layers[0])[1], None, uppers[1:])
        with piece.view() as view:
            view.steps = count - 1
            yield view
    else:
        piece = Sandbox(replace(box.metadata, lowers=[*uppers, *box.lowers]), "", "")
        with piece.base() as view:
            yield view
