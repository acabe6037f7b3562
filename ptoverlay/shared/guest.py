"""A command that runs in a named sandbox: it asks the sandbox's supervisor to be let in, which it starts if there is
none, starts CMD, and brings it there.

Rules: CMD is our child, in our session and on our terminal; with us its part of the run ends, and with the supervisor
all of it; who asks for other layers or places than are there is refused before anything runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ptoverlay import errors
from ptoverlay.core import ffi, lib
from ptoverlay.errors import Failure, InUse
from ptoverlay.options import Request
from ptoverlay.run import CoreView, carry_out, environment_of, recorded, told_elsewhere
from ptoverlay.sandboxes.names import check_name, sandboxes_path
from ptoverlay.shared.launch import launch, serves
from ptoverlay.shared.talk import Gone, Talk, wishes
from ptoverlay.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ptoverlay.api.beginning import Beginning

_MOST_LAUNCHED = 8  # supervisors, each of which was gone again
_PAUSE = 0.003  # seconds
_PATIENCE = 0.3  # seconds, with who has the sandbox and may be a supervisor that comes or goes
_LONG_PATIENCE = 30.0  # with one that is


class GuestView(CoreView):
    """What a guest has for a view: the talk with who has it.  handle: the result, by which the core knows the run."""

    __slots__ = ("_talk",)

    def __init__(self, talk: Talk, result: Any) -> None:
        super().__init__()
        self._talk = talk
        self.handle = result

    def __enter__(self) -> CoreView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, command: Any, result: Any) -> int:
        """pto_join."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ask, answer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs, ask, answer:
            fds = [fd for fd in (command.message_fd, command.trace_fd, command.record_fd) if fd >= 0]
            self._talk.ask({"verb": "run", "trap": command.trap, "flags": command.flags, "features": command.features,
                            "verbose": command.verbose, "messages": command.message_fd >= 0,
                            "traces": command.trace_fd >= 0, "records": command.record_fd >= 0},
                           [theirs.fileno(), answer.fileno(), *fds])
            theirs.close()
            answer.close()
            return lib.pto_join(ours.fileno(), ask.fileno(), command, result)


def run_as_guest(request: Request, beginning: Beginning | None = None) -> tuple[int, Any]:
    """Runs the request's command in the sandbox that it names; as `run.run`."""
    errors.need_proc()
    assert request.name is not None
    os.environ["PTOVERLAY_NAME"] = request.name
    result: Any = ffi.new("struct pto_result *")
    with recorded(request) as recording, _entered(request) as (talk, answer), Signals() as signals:
        chdir = request.chdir
        request.limit = answer["limit"]
        if answer["told"] and request.verbose >= 0:
            errors.report(answer["told"])
        if chdir is None and answer["elsewhere"]:
            chdir = told_elsewhere(answer["cwd"], request)
        carry_out(request, GuestView(talk, result), chdir, result, signals, beginning, recording)
        if recording is not None:
            from ptoverlay.sandboxes.sandbox import Sandbox

            box = Sandbox.open(request.name)
            recording.finish([(box.overlay(), box.upper, box.work)], result, environment_of(request))
    return result.status, result


@contextmanager
def _entered(request: Request) -> Iterator[tuple[Talk, dict[str, Any]]]:
    """The talk with the supervisor, who knows of us, and its answer.  At the end what we did is a step."""
    talk, answer = _enter(request)
    with talk:
        try:
            yield talk, answer
        finally:
            try:
                lost = talk.ask({"verb": "done"}, waits=True)["lost"]
                if lost:
                    errors.report(lost)
            except Gone:
                pass


def _enter(request: Request) -> tuple[Talk, dict[str, Any]]:
    assert request.name is not None
    directory = f"{sandboxes_path()}/{check_name(request.name)}"
    message = {"verb": "enter", **wishes(request)}
    begun = time.monotonic()
    launched = 0
    while True:
        talk = None
        try:
            talk = Talk.to(directory)
            return talk, talk.ask(message, waits=True)
        except Gone:
            if talk is not None:
                talk.close()
        except BaseException:
            assert talk is not None
            talk.close()
            raise
        if launched == _MOST_LAUNCHED:
            raise Failure(f"sandbox {request.name}", "its supervisor ends before it can be entered",
                          "ptoverlay --check tells what this machine lacks")
        try:
            launch(request)
            launched += 1
        except InUse as failure:
            patience = _LONG_PATIENCE if serves(directory) else _PATIENCE
            if time.monotonic() - begun > patience:
                raise failure from None
            time.sleep(_PAUSE)
