"""A step in words.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import shlex
import time

from ptoverlay.history.record import BEFORE, CHECKPOINT, RUN, WHOLE, HistoryStep


def name_of(step: HistoryStep) -> str:
    """A step in a few words."""
    return step.message.partition("\n")[0] or command(step) or step.kind


def command(step: HistoryStep) -> str:
    """As a shell would take it."""
    return shlex.join(step.argv)


def outcome(step: HistoryStep, *, running: bool = False) -> str:
    """How its command ended.  running: it has not yet."""
    if step.status is None and (running or (step.ended and step.kind in (RUN, CHECKPOINT))):
        return "and it goes on" if running else "and it went on"
    if step.status is None:
        return "killed" if step.kind not in (BEFORE, *WHOLE) else "of an earlier ptoverlay"
    return f"exit {step.status}" if step.status >= 0 else f"signal {-step.status}"


def when(step: HistoryStep) -> str:
    """When it began, and how long it took; "" when that is not known."""
    if not step.started:
        return ""
    took = f", {step.ended - step.started:.1f} s" if step.ended else ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(step.started)) + took
