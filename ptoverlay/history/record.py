"""What a named sandbox remembers of its steps: history.json, beside sandbox.json.

    history.json    `History`: the steps, the newest last, and which layer is being written
    upper/ work/    the first layer
    steps/N/        upper/ and work/ of another one

A step is what one command changed, in a layer of its own.  Layers never move and never change once another one lies on
them, so each change of the history is one new file in the place of history.json, whatever kills it; directories that
it does not name are thrown away by whoever holds the lock next.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ptoverlay.errors import Failure
from ptoverlay.sandboxes import state

FILE = "history.json"
STEPS = "steps"
#: Kinds of steps.
RUN, CHECKPOINT, RESTORE, BEFORE, MERGE = "run", "checkpoint", "restore", "before", "merge"
#: Steps that we make ourselves: all of one or nothing.
WHOLE = (RESTORE, MERGE)
_VERSION = 1
_LAYER = re.compile(r"[0-9]{1,12}(-[0-9]{1,12})?|")
_MOST = 400  # layers that a view can merge, with room for those below


@dataclass
class HistoryStep:
    """One step.  layer: "" for the sandbox's upper/, else a name in steps/; kind: RUN…; argv, cwd: of its command;
    started, ended: seconds since 1970, ended 0 while it runs or when it was killed; status: as
    os.waitstatus_to_exitcode has it; message: what somebody called it; undone: not part of the view, until `redo`;
    folded: how many older steps its layer holds as well, which cannot be told apart any more."""

    number: int
    layer: str = ""
    kind: str = RUN
    argv: list[str] = field(default_factory=list)
    cwd: str = ""
    started: float = 0.0
    ended: float = 0.0
    status: int | None = None
    message: str = ""
    undone: bool = False
    folded: int = 0


@dataclass
class History:
    """steps: by number, the undone ones last; top: the layer that is written, which belongs to the last step that is
    not undone, or to none; next: the number of the next step; unfolded: why the oldest ones could not become one layer,
    the last time."""

    steps: list[HistoryStep] = field(default_factory=list)
    top: str = ""
    next: int = 1
    unfolded: str = ""
    version: int = _VERSION

    @classmethod
    def load(cls, directory: Path) -> History:
        """Of a sandbox's directory; an empty one where none is kept.  Failure when the file is not one of ours."""
        path = directory / FILE
        try:
            text = state.read_text(path)
            for before, history in _known:
                if text.rstrip() == before:
                    return history._copy()
            data = state.parsed(text)
            if state.of(int, data["version"]) > _VERSION:
                raise Failure(str(path), "written by a newer ptoverlay")
            made: History = state.of(cls, data)
            made._check()
        except FileNotFoundError:
            return cls()
        except (ValueError, KeyError) as error:
            raise Failure(str(path), "not the history of a sandbox", "ptoverlay remove throws it away") from error
        _known[:] = [(text.rstrip(), made._copy())]
        return made

    def _check(self) -> None:
        """ValueError for what is of the right types and means nothing."""
        layers = [step.layer for step in self.steps]
        for numbers in ([step.number for step in self.done], [step.number for step in self.undone]):
            if numbers != sorted(set(numbers)) or len(numbers) > _MOST or (numbers and numbers[0] < 1):
                raise ValueError("no such numbers")
        numbers = [step.number for step in self.steps]
        if self.next <= max(numbers, default=0) or not all(map(_LAYER.fullmatch, [self.top, *layers])):
            raise ValueError("no such layers")
        if len(set(layers)) != len(layers) or [step.undone for step in self.steps] != sorted(
                step.undone for step in self.steps):
            raise ValueError("no such order")

    def text(self) -> bytes:
        """As the file holds it, a step a line."""
        steps = ",\n".join(json.dumps(vars(step)) for step in self.steps)
        rest = json.dumps({name: value for name, value in vars(self).items() if name != "steps"})
        text = f'{{"steps": [\n{steps}],\n{rest[1:]}'.encode("utf-8", "surrogateescape")
        _known[:] = [(text, self._copy())]
        return text + b"\n"

    def _copy(self) -> History:
        return replace(self, steps=[replace(step) for step in self.steps])

    # ---- looking ----

    @property
    def done(self) -> list[HistoryStep]:
        """The steps that the view has, the oldest first."""
        return [step for step in self.steps if not step.undone]

    @property
    def undone(self) -> list[HistoryStep]:
        return [step for step in self.steps if step.undone]

    @property
    def last(self) -> HistoryStep | None:
        """The last step that the view has."""
        done = self.done
        return done[-1] if done else None

    def open_step(self) -> HistoryStep | None:
        """The step whose layer is the one that is written; None when that one belongs to no step."""
        last = self.last
        return last if last is not None and last.layer == self.top else None

    def below(self) -> list[str]:
        """The layers below the one that is written, topmost first."""
        return [step.layer for step in reversed(self.done) if step.layer != self.top]

    def step(self, number: int) -> HistoryStep:
        """The step of a number.  Failure for one that is not there."""
        for step in self.steps:
            if step.number == number:
                return step
        first = self.steps[0] if self.steps else None
        if first is not None and first.folded and number < first.number:
            raise Failure(f"step {number}", f"it was folded into step {first.number}", "the two cannot be told apart")
        raise Failure(f"step {number}", "there is none of this number", "ptoverlay log shows them")

    def at(self, number: int) -> list[str]:
        """The layers of the state after a step, topmost first; 0: none.  Failure for a step that is not there."""
        undone = self.step(number).undone if number else False
        return [step.layer for step in reversed(self.steps) if step.number <= number and step.undone <= undone]


#: The last text that was read or written here, and what it says: a supervisor reads its own many times.
_known: list[tuple[bytes, History]] = []


def directories(directory: Path, layer: str) -> tuple[str, str]:
    """The upper and the work directory of a layer."""
    top = directory / STEPS / layer if layer else directory
    return str(top / "upper"), str(top / "work")


def layers_of(directory: Path, history: History) -> tuple[str, str, list[str]]:
    """The upper, its work directory, and the uppers below it, topmost first."""
    upper, work = directories(directory, history.top)
    return upper, work, [directories(directory, layer)[0] for layer in history.below()]


def is_empty(upper: str) -> bool:
    """Whether a layer has nothing in it."""
    try:
        with os.scandir(upper) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
