"""A run of which layers, times and calls are remembered, other than a command's in a sandbox (shared/guest.py): one
with a report, and one inside of another run.

Rules: a sandbox that was made for a CMD that never ran goes away again; nothing that a run could not write down
changes its exit status.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ptoverlay import errors, extras
from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.record import HistoryStep
from ptoverlay.options import HIDDEN, OverlaySpec, Request
from ptoverlay.reports.stats import Statistics
from ptoverlay.run import exit_as, run_and_exit
from ptoverlay.sandboxes.named import sandbox_of
from ptoverlay.sandboxes.sandbox import Run, Sandbox
from ptoverlay.sandboxes.state import read, write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ptoverlay.api.beginning import Beginning

_Prepared = list[tuple[OverlaySpec, str | None, str | None]]


def run_remembered(request: Request, beginning: Beginning | None) -> int:
    """As keep.run_kept()."""
    report = _writable(request.report) if request.report is not None else None
    if request.name is None:
        return run_and_exit(request, Keeper(request, None, report), beginning)
    if not lib.pto_is_nested():
        return _run_reported(request, report, beginning)
    with sandbox_of(request.name, request.overlays[0]) as sandbox:
        record = Keeper(request, sandbox, report)
        record.begin()
        request.overlays[0] = sandbox.overlay()
        request.places += [(HIDDEN, path) for path in sandbox.hidden()]
        try:
            return run_and_exit(request, record, beginning)
        except Failure as failure:
            record.failed(failure)
            raise


def _run_reported(request: Request, report: int | None, beginning: Beginning | None) -> int:
    """In the sandbox, with whoever else is in it."""
    from ptoverlay.shared.guest import run_as_guest

    assert request.name is not None
    record = Keeper(request, None, report)
    status, result = run_as_guest(request, beginning)
    box = record.sandbox = Sandbox.open(request.name)
    statistics = _remembered(box, record.run) or record.ended(result)
    prepared = [(overlay, overlay.upper, overlay.work) for overlay in request.overlays]
    prepared[0] = (prepared[0][0], box.upper, box.work)
    record.write_down(prepared, statistics, remembered=True)
    return exit_as(request, status, result)


def _remembered(box: Sandbox, run: Run) -> Statistics | None:
    """What the sandbox's supervisor has written down of this run; None when that is of another one, who ended later."""
    last = box.metadata.last_run
    if last is None or box.directory is None or (last.argv, last.cwd) != (run.argv, run.cwd):
        return None
    run.started, run.ended, run.status = last.started, last.ended, last.status
    try:
        return Statistics.from_json(read(box.directory / "stats.json"))
    except (OSError, ValueError, KeyError):
        return None


class Keeper:
    """Called when CMD has ended: writes down what is to be remembered."""

    def __init__(self, request: Request, sandbox: Sandbox | None, report: int | None) -> None:
        self.request = request
        self.sandbox = sandbox
        self.report = report
        self.run = Run(list(request.told or request.argv), os.getcwd(), time.time())
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

    def failed(self, failure: Failure) -> None:
        """CMD never ran, or was lost."""
        try:
            if self.sandbox is not None and self.sandbox.directory is not None:
                steps.finish(self.sandbox, failure.status)
        except (Failure, OSError):
            pass  # the next run puts it in order; what went wrong first is what is told

    def ended(self, result: Any) -> Statistics:
        """It has, just now."""
        self.run.ended = time.time()
        self.run.status = os.waitstatus_to_exitcode(result.status)
        return Statistics.of(result, time.monotonic() - self._clock)

    def __call__(self, prepared: _Prepared, result: Any) -> None:
        self.write_down(prepared, self.ended(result))

    def write_down(self, prepared: _Prepared, statistics: Statistics, *, remembered: bool = False) -> None:
        """remembered: the sandbox has its part already."""
        try:
            if self.sandbox is not None and self.sandbox.directory is not None and not remembered:
                self._remember(self.sandbox, self.sandbox.directory, statistics)
            if self.report is not None:
                self._write_report(prepared, statistics)
        except OSError as error:
            errors.report(errors.not_written(error, self.request.report or "standard output"))

    def _remember(self, box: Sandbox, directory: Path, statistics: Statistics) -> None:
        box.save()
        write_whole(directory / "stats.json", json.dumps(statistics.as_json()).encode() + b"\n", sync=False)
        steps.finish(box, self.run.status)
        if len(box.steps) > self.keep:
            from ptoverlay.history.fold import fold_oldest

            fold_oldest(box, self.keep)

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
    extras.need("--report", "report")
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise errors.from_os_error(f"--report {path}", error) from error
