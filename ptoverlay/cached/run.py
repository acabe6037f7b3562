"""A run that is looked up before it is made: what `ptoverlay cached` does.

    same command? → same inputs, of one that is remembered? → its changes, its output, its status
                                                       else → CMD in a layer, which is kept and then applied

Rules: the layer is applied as commit does it, whichever way it came to be; whatever is wrong with the store, CMD runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from typing import Any

from ptoverlay import errors
from ptoverlay.cached import changes as kept_changes
from ptoverlay.cached.changes import Replay, Unkept
from ptoverlay.cached.inputs import Found
from ptoverlay.cached.key import LEFT_OUT, inherited, key_of
from ptoverlay.cached.output import STREAM, Captured, captured, replay, take_stdin
from ptoverlay.cached.store import Damaged, Remembered, Store
from ptoverlay.commit.carry import commit
from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import changes
from ptoverlay.options import Request
from ptoverlay.record.asked import Asked, Stream
from ptoverlay.record.digests import Digests
from ptoverlay.record.states import States
from ptoverlay.run import environment_of
from ptoverlay.run import run as run_request
from ptoverlay.sandboxes.named import sandbox_of
from ptoverlay.sandboxes.sandbox import Sandbox


class Watch:
    """What a run tells of its inputs: a Recording that writes nothing (`run.recorded`)."""

    def __init__(self) -> None:
        self._stream = Stream()
        self.asked: Asked | None = None
        self.fd = self._stream.fd

    def finish(self, _prepared: object, _result: object, _environment: object) -> None:
        """CMD has ended."""
        self.asked = self._stream.read()

    def close(self) -> None:
        self._stream.close()


class Cached:
    """One command.  tell: gets what --explain says; times: whether times of files count; whole: all of standard input
    is read; closes: CMD gets no descriptors but the standard ones; epoch: the time of day at its start, in seconds
    since 1970, None: the kernel's; clock: a run that asks for the kernel's is not remembered."""

    def __init__(self, request: Request, store: Store, tell: Callable[[str], None], *, times: bool = True,
                 whole: bool = False, closes: bool = False, epoch: int | None = None, clock: bool = True) -> None:
        _check(request)
        if lib.pto_is_nested():
            raise Failure("cached", "inside a run the run around knows what CMD asks for", "use it outside")
        for name in LEFT_OUT:
            os.environ.pop(name, None)
        self._request = request
        self._store = store
        self._tell = tell
        self._times = times
        self._unkept = ""
        self._name = f"cached-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        descriptors = inherited()
        if closes:
            for number in descriptors:
                os.set_inheritable(number, False)
        elif descriptors:
            self._unkept = f"CMD has descriptor {descriptors[0]} from outside (--close-descriptors keeps it from it)"
        stdin = take_stdin(whole)
        if stdin == STREAM:
            self._unkept = "standard input is a pipe (--stdin reads it first; </dev/null is none)"
        kind = ("watched" if clock else "ignored") if epoch is None else str(epoch)
        self._key = key_of(request, environment_of(request), stdin, times, kind).digest()
        self._fix(epoch, clock)

    def run(self) -> int:
        """Replays or runs; CMD's wait status."""
        with Digests() as digests:
            states = States(digests)
            run, reasons = (None, []) if self._unkept else self._look(states)
            if run is not None:
                status = self._replay(run)
                if status is not None:
                    return status
            for reason in reasons[:1] or ([] if self._unkept else ["this command is not remembered"]):
                self._tell(f"runs: {reason}")
            return self._run(states)

    def _fix(self, epoch: int | None, clock: bool) -> None:
        """CMD's random bytes come from the store's secret and what CMD is, so that they are the same each time."""
        switches = lib.PTO_BUILD_RANDOM | lib.PTO_BUILD_ADDRESSES
        if epoch is not None:
            switches |= lib.PTO_BUILD_CLOCK
        elif clock:
            switches |= lib.PTO_BUILD_WATCHED
        seed = int.from_bytes(hashlib.sha256(self._store.secret() + self._key.encode()).digest()[:8])
        self._request.features |= lib.PTO_FEATURE_BUILD
        self._request.members = {"build": switches, "epoch": epoch or 0, "seed": seed}

    # ---- looking up ----

    def _look(self, states: States) -> tuple[Remembered | None, list[str]]:
        """What is to be replayed; else why each of those that are remembered is not."""
        reasons = []
        for run in self._store.runs(self._key):
            try:
                inputs = Found.from_json(run.data["inputs"])
            except (KeyError, TypeError, ValueError):
                self._store.forget(run)
                continue
            reason = inputs.difference(states, self._times)
            if not reason:
                return run, []
            reasons.append(reason)
        return None, reasons

    def _replay(self, run: Remembered) -> int | None:
        """The wait status; None where the store has not all of it."""
        data = run.data
        try:
            output = b"".join(self._store.get(data["output"]))
            done = kept_changes.of_json(data["changes"])
            if done:
                self._do(done, data)
        except (Damaged, KeyError, TypeError, ValueError) as error:
            errors.report(f"{self._store.directory}: {error} (CMD runs)")
            self._store.forget(run)
            return None
        replay(output, data["marks"])
        self._store.used(run)
        self._tell(f"replayed: {len(data['inputs']['files'])} inputs are as they were, {len(done)} changes")
        return int(data["status"])

    def _do(self, done: list[kept_changes.Deed], data: dict[str, Any]) -> None:
        with sandbox_of(self._name, self._request.overlays[0]) as box:
            try:
                os.makedirs(box.upper, exist_ok=True)
                with box.view(writable=True) as view:
                    Replay(view, self._store, data["started"], data["ended"], time.time_ns()).do(done)
            except BaseException:
                box.remove()
                raise
        self._apply()

    # ---- running ----

    def _run(self, states: States) -> int:
        request, watch, began = self._request, Watch(), time.time_ns()
        request.recorder = watch
        with sandbox_of(self._name, request.overlays[0]) as box:
            request.overlays[0] = box.overlay()
            try:
                with captured() as output:
                    status, _result = run_request(request)
            except Failure:
                box.remove()  # CMD never ran
                raise
            ended = time.time_ns()
            assert watch.asked is not None
            why = self._unkept or self._remember(watch.asked, states, box, output, status, (began, ended))
        self._tell(f"not remembered: {why}" if why else "remembered by all that it asked for")
        self._apply()
        return status

    def _remember(self, asked: Asked, states: States, box: Sandbox, output: Captured, status: int,
                  times: tuple[int, int]) -> str:
        """Why it cannot be remembered; "" when it was."""
        if os.WIFSIGNALED(status):
            return f"signal {os.WTERMSIG(status)} ended it"
        if not output.whole:
            return "not all of its output was kept"
        inputs = Found()
        why = inputs.take(asked, states, self._times, times[0])
        if why:
            return why
        with box.view() as view, box.base() as base:
            found = changes(view, base, box.mount)
            try:
                done, files = kept_changes.keep(view, found, self._store)
                digest, size = self._store.put(iter([output.blob()]))
            except Unkept as error:
                return str(error)
            except OSError as error:
                return f"{error.filename or self._store.directory}: {error.strerror}"
        files[digest] = size
        self._store.add(self._key, {"inputs": inputs.as_json(), "changes": done, "output": digest,
                                    "marks": output.marks(), "status": status, "started": times[0],
                                    "ended": times[1]}, files)
        return ""

    def _apply(self) -> None:
        """What the layer holds is done to the host, and the layer goes; Failure where the host refuses some of it."""
        box = Sandbox.open(self._name)
        if os.path.isdir(box.upper):
            outcome = commit(box)
            if outcome.refused:
                path, why = next(iter(outcome.refused.items()))
                raise Failure(f"cached: {path}", why, f"what was not applied is kept: ptoverlay diff {box.name}")
        with box.lock():
            box.remove()


def _check(request: Request) -> None:
    """Failure for what a cached run cannot have."""
    main = request.overlays[0]
    for option, given in (("--name", request.name), ("--upper", main.upper), ("--work", main.work),
                          ("--lower", main.lowers), ("--mount", main.mount), ("--overlay", request.overlays[1:]),
                          ("--rootfs", request.overlays[0].rootfs), ("--bind", request.binds),
                          ("--image", request.image), ("--trace", request.trace),
                          ("--stats", request.stats), ("--report", request.report),
                          ("--record", request.records), ("--timeout", request.timeout)):
        if given:
            raise Failure(f"cached {option}", "a cached run is over / and leaves nothing but its changes",
                          f"leave {option} out")
