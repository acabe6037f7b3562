"""The history of a sandbox while commands run in it.

Each command is a step, and several at a time change one layer.  So a layer is closed where one of them begins or ends,
or by a checkpoint, if it holds a change by then, and is the step of that command; the next one begins at once, under
the commands that are running.

Rules: the layer that is written belongs to the last step, which has not ended; what is left of it without a change goes
when the last command has ended.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ptoverlay import errors
from ptoverlay.errors import Failure
from ptoverlay.history import links, steps
from ptoverlay.history.record import CHECKPOINT, History, HistoryStep
from ptoverlay.options import METACOPY
from ptoverlay.sandboxes.sandbox import Run, Sandbox

#: Makes a layer, by its name, the upper of the view, and what was the upper a lower, when what is in the context has
#: been done: the history has it then.  Failure, OSError: all is as it was.
Switch = Callable[[str], AbstractContextManager[None]]


class LiveHistory:
    """box: locked by us, and the only one that changes its history.  All of it by one thread at a time."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self._runs: list[Run] = []
        self._parts: dict[int, list[int]] = {}  # by id() of a run, numbers of steps that were closed before its end
        self.switch: Switch | None = None

    @property
    def home(self) -> Path:
        """The sandbox's directory."""
        assert self.box.directory is not None
        return self.box.directory

    # ---- commands

    def begin(self, run: Run) -> None:
        """A command is about to run.  Before the first one, with no view yet, the layer is chosen for it."""
        if self.switch is None:
            steps.begin(self.box, _step_of(run))
        else:
            history = History.load(self.home)
            step = history.open_step()
            if step is None or not (step.ended or steps.changed(self.box)) or not self._tried(history, run):
                self._label(run)
        self._runs.append(run)

    def end(self, run: Run) -> None:
        """It has ended, or never ran.  run.ended: 0.0 for one that was killed with who had started it."""
        self._runs.remove(run)
        history = History.load(self.home)
        self._end_parts(history, run)
        step = history.open_step()
        if step is None:
            return
        if step.ended or not steps.changed(self.box):
            if self._runs:
                self._label(self._runs[-1])
            elif not step.ended:
                steps.take_out(history, step)  # before the command's end is told; its layer is the view's as yet
                steps.save(self.box, history)
            return
        _describe(step, run)
        history.steps = history.done
        if not self._runs:
            steps.save(self.box, history)
        elif not self._tried(history, self._runs[-1]):
            self._label(self._runs[-1])

    def _end_parts(self, history: History, run: Run) -> None:
        numbers = self._parts.pop(id(run), [])
        for step in history.steps:
            if step.number in numbers:
                step.ended, step.status = run.ended, run.status
        if numbers:
            steps.save(self.box, history)

    def finish(self) -> None:
        """Nobody is left."""
        history = History.load(self.home)
        step, last = history.open_step(), history.last
        if step is not None and not step.ended and not steps.changed(self.box):
            steps.drop_open(self.box, history)
        elif step is None and last is not None and not steps.changed(self.box):
            history.top = last.layer
            steps.save(self.box, history)

    # ---- points

    def checkpoint(self, message: str, *, only_new: bool = False) -> HistoryStep | None:
        """What has changed until now is a step, or else the last one is called so.  None where there is neither, or
        where `only_new` would do.
        Failure where the layer can have no other on it now."""
        history = History.load(self.home)
        step = history.open_step()
        if step is None or step.ended or not steps.changed(self.box):
            before = [other for other in history.done if other is not step or other.ended]
            if not before or only_new:
                return None
            before[-1].message = message or before[-1].message
            steps.save(self.box, history)
            return before[-1]
        step.ended, step.message = time.time(), message
        step.kind = CHECKPOINT if message else step.kind
        history.steps = history.done
        self._next(history, self._runs[-1] if self._runs else Run())
        return step

    # ---- layers

    def _tried(self, history: History, run: Run) -> bool:
        """`_next`, where it can be now and there is room; False: the layer goes on."""
        try:
            self._next(history, run)
        except Failure:
            return False
        except OSError as error:
            if error.errno not in errors.FULL:
                raise
            return False
        return True

    def _next(self, history: History, run: Run) -> None:
        """A new layer on top, which is this command's until it is known whose changes it has."""
        if self.box.flags & METACOPY:
            raise Failure(str(self.box), "metacopy=on: files of a layer have their data below it",
                          "what runs is a step at its end")
        if links.are_left(self.box):
            raise Failure(str(self.box), "a file of several names was changed, and not all of these are known",
                          "what runs is a step at its end")
        assert self.switch is not None
        last = history.open_step()
        layer = steps.new_layer(self.box, history)
        try:
            with self.switch(layer):
                history.top = layer
                steps.append(history, _step_of(run))
                history.steps[-1].layer = layer
                steps.save(self.box, history)
        except BaseException:
            self.box.reload()
            steps.throw_away(self.box, History.load(self.home))
            raise
        for other in self._runs:
            if last is not None and not last.ended and (last.argv, last.started) == (other.argv, other.started):
                self._parts.setdefault(id(other), []).append(last.number)

    def _label(self, run: Run) -> None:
        """The layer that is written is this command's until it is known better."""
        history = History.load(self.home)
        step = history.open_step()
        if step is None:
            step = _step_of(run)
            step.layer = history.top
            steps.append(history, step)
        elif step.ended:
            return  # the layer goes on, as no other can lie on it
        _describe(step, run)
        steps.save(self.box, history)


def _step_of(run: Run) -> HistoryStep:
    return HistoryStep(0, argv=run.argv, cwd=run.cwd, started=run.started)


def _describe(step: HistoryStep, run: Run) -> None:
    step.argv, step.cwd, step.started = run.argv, run.cwd, run.started
    step.ended, step.status = run.ended, run.status
