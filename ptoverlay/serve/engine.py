"""What the verbs of `protocol` do, on one named sandbox.

A command is a `ptoverlay run --name` of its own below us, so that it is a step, is seen by ``ptoverlay list``, and
lives through our own end.

Rules: the sandbox is locked for one verb at a time and not between them, so that other shells have it, too; an answer
is no longer than a client can be expected to read (`MOST_CHANGES`, `LONGEST_PATCH`), and says what it leaves out.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ptoverlay import cli
from ptoverlay.commands.commit import as_json as outcome_as_json
from ptoverlay.commands.diff import patch_lines
from ptoverlay.commands.log import as_json as step_as_json
from ptoverlay.commit.carry import HOST, commit
from ptoverlay.commit.parts import finish_parts
from ptoverlay.errors import Failure, Missing
from ptoverlay.history.record import HistoryStep
from ptoverlay.history.states import before, between, history_of
from ptoverlay.history.steps import redo, settle, undo
from ptoverlay.layer.changes import Change, changes, select
from ptoverlay.layer.view import View
from ptoverlay.options import OverlaySpec
from ptoverlay.sandboxes.named import check_asked, sandbox_of
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.serve import protocol
from ptoverlay.serve.command import Command, Ended, Output
from ptoverlay.serve.protocol import Refused, as_data
from ptoverlay.settings.ignore import Ignore
from ptoverlay.shared.asking import checkpoint

#: Told while a command runs: the name of the event and its members.
Told = Callable[[str, dict[str, Any]], None]


class Engine:
    """words: options of `ptoverlay run` for every command, without --name."""

    def __init__(self, name: str, words: Sequence[str] = ()) -> None:
        self.name = name
        self.words = list(words)
        request = cli.parse([*words, "--name", name, "--", "true"])
        main = request.overlays[0]
        if main.upper is not None or main.work is not None:
            raise Failure("serve", "a named sandbox has an upper and a work directory of its own",
                          "leave --upper and --work out")
        for option, given in (("--chdir", request.chdir), ("--report", request.report)):
            if given is not None:
                raise Failure(option, "it is for one command", "leave it out")
        self.mount = _found_or_made(name, main).mount
        self._claimed: set[tuple[int, float]] = set()  # numbers and times of steps
        self._claiming = threading.Lock()

    def hello(self) -> dict[str, Any]:
        """What a client is told first."""
        from ptoverlay import __version__

        return {"protocol": protocol.PROTOCOL, "ptoverlay": __version__, "sandbox": self.name, "mount": self.mount,
                "verbs": list(protocol.REQUESTS), "longest": protocol.LONGEST}

    def answer(self, request: protocol.Request, told: Told, running: Callable[[Command], None]) -> dict[str, Any]:
        """Carries a request out.  running: is given the command as soon as there is one, to cancel it.  Refused,
        Failure, OSError: it could not be."""
        if isinstance(request, protocol.RunRequest):
            return self.run(request, told, running)
        return _VERBS[type(request)](self, request)

    # ---- run

    def run(self, asked: protocol.RunRequest, told: Told, running: Callable[[Command], None]) -> dict[str, Any]:
        """Runs a command; its status (negative: a signal), and the step that it is, if it changed something."""
        argv, data = asked.words(), asked.data()
        begun = time.time()
        command = Command(self._line(argv, asked.cwd), argv[0], asked.cwd, {**asked.env, "PTOVERLAY_NAME": self.name})
        running(command)
        told("started", {"pid": command.pid})
        output = Output(lambda stream, piece: told("output", {"stream": stream, **as_data(piece)}))
        ended = command.talk(data, output, asked.timeout)
        answer: dict[str, Any] = {"status": ended.status, "step": None, **_why(ended)}
        step = self._step_of(argv, begun)
        if step is None:
            return {**answer, "total": 0, "changes": []}
        return {**answer, **self.changes(protocol.Changes(step.number, patch=asked.patch))}

    def _line(self, argv: list[str], cwd: str | None) -> list[str]:
        return [*self.words, "--name", self.name, *(() if cwd is None else ("-C", cwd)), "--", *argv]

    def _step_of(self, argv: list[str], begun: float) -> HistoryStep | None:
        """The step that a command was.  begun: when it had not begun yet, in seconds since 1970."""
        box = self._box()
        with self._claiming:
            for step in history_of(box).steps:
                claim = step.number, step.started
                if step.started >= begun and step.argv == argv and claim not in self._claimed:
                    break
            else:
                return None
            self._claimed.add(claim)
        return step if step.ended else self._settled(box, step)

    def _settled(self, box: Sandbox, step: HistoryStep) -> HistoryStep | None:
        """A step whose supervisor was killed: whether it changed something is not known yet."""
        try:
            with box.change():
                history = settle(box)
        except Failure:  # somebody else is in it, and settles it
            return step
        return next((each for each in history.steps if each.number == step.number), None)

    # ---- what was changed

    def changes(self, asked: protocol.Changes) -> dict[str, Any]:
        """Of a step, or of the whole sandbox."""
        box = self._box()
        if not asked.step:
            with box.view() as view, box.base() as base:
                return {"step": None, **self._shown(box, view, base, asked)}
        history = history_of(box)
        older = before(history, history.step(asked.step))
        with between(box, older, asked.step) as (view, base):
            return {"step": asked.step, **self._shown(box, view, base, asked)}

    def _shown(self, box: Sandbox, view: View, base: View, asked: protocol.Changes) -> dict[str, Any]:
        found = changes(view, base, box.mount, expand=asked.patch)
        if asked.paths:
            found = select(found, asked.paths, box.mount)
        part = found[asked.offset:asked.offset + asked.limit]
        answer: dict[str, Any] = {"total": len(found), "changes": [change.as_json() for change in part]}
        if asked.patch:
            answer.update(_patch(part, view, base, box.mount))
        return answer

    def log(self, asked: protocol.Log) -> dict[str, Any]:
        """The steps."""
        return {"steps": _steps(history_of(self._box()).steps[::-1][:asked.count])}

    # ---- steps

    def checkpoint(self, asked: protocol.Checkpoint) -> dict[str, Any]:
        """The step that is called so now."""
        box = self._box()
        step = checkpoint(box, asked.message)
        if step is None:
            raise Failure(str(box), "nothing has changed in it yet")
        return {"step": step_as_json(step)}

    def undo(self, asked: protocol.Undo) -> dict[str, Any]:
        """The steps that are undone now, the last one first."""
        box = self._box()
        with box.change():
            return {"steps": _steps(undo(box, asked.count))}

    def redo(self, asked: protocol.Redo) -> dict[str, Any]:
        """The steps that are there again, the first one first."""
        box = self._box()
        with box.change():
            return {"steps": _steps(redo(box, asked.count))}

    def commit(self, asked: protocol.Commit) -> dict[str, Any]:
        """What was committed, and what was refused and why."""
        box, ignore = self._box(), Ignore.of_settings()
        if not asked.dry_run:
            finish_parts(box)
        outcome = commit(box, asked.paths, force=asked.force, dry_run=asked.dry_run, to=asked.to,
                         keep=asked.to == HOST, merge=asked.merge,
                         leave_out=lambda found: ignore.without(found, asked.paths, box.mount))
        told = outcome_as_json(outcome)
        committed = [change.as_json() for change in outcome.done[:protocol.MOST_CHANGES]]
        return {**told, "committed": committed, "total": len(outcome.done), "ignored": ignore.count}

    def hello_asked(self, asked: protocol.Hello) -> dict[str, Any]:
        """The hello again, for a client that speaks the same."""
        if asked.protocol != protocol.PROTOCOL:
            raise Refused(protocol.PROTOCOL_ERROR, f"protocol {asked.protocol}: this is protocol {protocol.PROTOCOL}")
        return self.hello()

    def _box(self) -> Sandbox:
        return Sandbox.open(self.name)


def _found_or_made(name: str, asked: OverlaySpec) -> Sandbox:
    """The sandbox; somebody may be in it."""
    try:
        box = Sandbox.open(name)
    except Missing:
        with sandbox_of(name, asked, keep=True) as box:
            return box
    check_asked(box, asked)
    return box


_VERBS: dict[type[protocol.Request], Callable[[Engine, Any], dict[str, Any]]] = {
    protocol.Hello: Engine.hello_asked, protocol.Changes: Engine.changes, protocol.Log: Engine.log,
    protocol.Checkpoint: Engine.checkpoint, protocol.Undo: Engine.undo, protocol.Redo: Engine.redo,
    protocol.Commit: Engine.commit}


def _why(ended: Ended) -> dict[str, bool]:
    """Why it ended, where that was not its own doing."""
    return {name: True for name, was in (("cancelled", ended.cancelled), ("timed_out", ended.timed_out)) if was}


def _steps(found: Iterable[HistoryStep]) -> list[dict[str, Any]]:
    return [step_as_json(step) for step in found]


def _patch(found: Sequence[Change], view: View, base: View, mount: str) -> dict[str, Any]:
    """The differences of whole files, as many as there is room for."""
    done = bytearray()
    for of_one in patch_lines(found, view, base, mount):
        text = b"".join(line for _, line in of_one)
        if len(done) + len(text) > protocol.LONGEST_PATCH:
            return {**as_data(bytes(done), "patch"), "truncated": True}
        done += text
    return as_data(bytes(done), "patch")
