"""``run --name`` and ``run --report``: a run whose layers, times and calls are remembered.

Rules: a sandbox that was made for a CMD that never ran goes away again; nothing that a run could not write down
changes its exit status.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ptoverlay import errors
from ptoverlay.errors import Failure, Missing, Taken
from ptoverlay.history import steps
from ptoverlay.history.record import HistoryStep
from ptoverlay.options import USERXATTR, OverlaySpec, Request
from ptoverlay.reports.stats import Statistics
from ptoverlay.run import run_and_exit
from ptoverlay.sandboxes.sandbox import Run, Sandbox, check_name
from ptoverlay.sandboxes.state import write_whole

_TRIES = 20  # of opening and making a sandbox
_Prepared = list[tuple[OverlaySpec, str | None, str | None]]


def run_kept(request: Request) -> int:
    """Runs the request; returns CMD's exit status, or dies of the signal that CMD died of."""
    try:
        return _run(request)
    except OSError as error:
        raise errors.from_os_error(os.fsdecode(error.filename or "sandbox"), error) from error


def _run(request: Request) -> int:
    report = _writable(request.report) if request.report is not None else None
    if request.name is None:
        return run_and_exit(request, Keeper(request, None, report))
    with sandbox_of(request.name, request.overlays[0]) as sandbox:
        record = Keeper(request, sandbox, report)
        record.begin()
        request.overlays[0] = sandbox.overlay()
        return run_and_exit(request, record)


@contextmanager
def sandbox_of(name: str, asked: OverlaySpec) -> Iterator[Sandbox]:
    """The sandbox of a name, locked, made if it is missing; Failure when other layers are asked for than it has."""
    with ExitStack() as stack:
        sandbox, made = _hold(stack, check_name(name), asked)
        try:
            if not made:
                sandbox.metadata = Sandbox.open(name).metadata  # as it is since we have the lock; so are its layers
                _check_asked(sandbox, asked)
            yield sandbox
        finally:
            if made and not os.path.isdir(sandbox.upper):
                sandbox.remove()  # CMD never ran


def _hold(stack: ExitStack, name: str, asked: OverlaySpec) -> tuple[Sandbox, bool]:
    """Opens or makes it, and locks it; others may make and remove it meanwhile.  Returns also whether it was made."""
    for tries in range(_TRIES):
        try:
            sandbox = Sandbox.open(name)
            stack.enter_context(sandbox.change())
            return sandbox, False
        except Missing:
            pass
        try:
            sandbox = _make(name, asked)
            stack.enter_context(sandbox.change())
            return sandbox, True
        except Taken:
            if tries == _TRIES - 1:
                raise
    raise AssertionError


def _make(name: str, asked: OverlaySpec) -> Sandbox:
    lowers = [os.path.realpath(lower) for lower in asked.layers()]
    for lower in lowers:
        if not os.path.isdir(lower):
            raise Failure(lower, "lower: no such directory")
    return Sandbox.create(name, lowers, os.path.realpath(asked.mount_point()), n_data=asked.n_data,
                          flags=asked.flags | USERXATTR * (os.geteuid() != 0))


def _check_asked(sandbox: Sandbox, asked: OverlaySpec) -> None:
    """Failure when the options ask for other layers than the sandbox has."""
    if asked.lowers:
        sandbox.check_lowers([os.path.realpath(lower) for lower in asked.lowers], asked.n_data)
    if (asked.lowers or asked.mount is not None) and os.path.realpath(asked.mount_point()) != sandbox.mount:
        raise Failure(f"sandbox {sandbox.name}", f"it appears at {sandbox.mount}", "leave the mount point out")
    if asked.flags & ~sandbox.flags:
        raise Failure(f"sandbox {sandbox.name}", "it was made with other mount options", "leave the mount options out")


class Keeper:
    """Called when CMD has ended: writes down what is to be remembered."""

    def __init__(self, request: Request, sandbox: Sandbox | None, report: int | None) -> None:
        self.request = request
        self.sandbox = sandbox
        self.report = report
        self.run = Run(list(request.argv), os.getcwd(), time.time())
        self.keep = steps.KEEP if request.keep_steps is None else request.keep_steps
        self._clock = time.monotonic()

    def begin(self) -> None:
        if self.sandbox is not None:
            self.sandbox.metadata.last_run = self.run
            self.sandbox.metadata.runs += 1
            self.sandbox.save()
            if self.sandbox.directory is not None:
                run = self.run
                steps.begin(self.sandbox, HistoryStep(0, argv=run.argv, cwd=run.cwd, started=run.started))

    def __call__(self, prepared: _Prepared, result: Any) -> None:
        self.run.ended = time.time()
        self.run.status = os.waitstatus_to_exitcode(result.status)
        statistics = Statistics.of(result, time.monotonic() - self._clock)
        try:
            if self.sandbox is not None and self.sandbox.directory is not None:
                self.sandbox.save()
                write_whole(self.sandbox.directory / "stats.json", json.dumps(statistics.as_json()).encode() + b"\n",
                            sync=False)
                steps.finish(self.sandbox, self.run.status)
                if len(self.sandbox.steps) > self.keep:
                    from ptoverlay.history.fold import fold_oldest

                    fold_oldest(self.sandbox, self.keep)
            if self.report is not None:
                self._write_report(prepared, statistics)
        except OSError as error:
            what = os.fsdecode(error.filename or self.request.report or "standard output")
            told = f"{what}: {error.strerror}: not all of the run is written down"
            remedy = errors.full_remedy(error)
            errors.report(f"{told} ({remedy})" if remedy else told)

    def _write_report(self, prepared: _Prepared, statistics: Statistics) -> None:
        from ptoverlay.reports.report import page

        sandboxes = [_of_overlay(overlay, upper, work) for overlay, upper, work in prepared if upper is not None]
        if self.sandbox is not None:
            sandboxes[0] = self.sandbox
        assert self.report is not None
        with open(self.report, "w", encoding="utf-8", errors="replace") as file:
            file.write(page(sandboxes, self.run, statistics))


def _of_overlay(overlay: OverlaySpec, upper: str, work: str | None) -> Sandbox:
    return Sandbox.of(upper, overlay.layers(), n_data=overlay.n_data, mount=overlay.mount, work=work,
                      flags=overlay.flags)


def _writable(path: str) -> int:
    """A descriptor of the report's file: that it cannot be written is told before CMD runs."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise errors.from_os_error(f"--report {path}", error) from error
