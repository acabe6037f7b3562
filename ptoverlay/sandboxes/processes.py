"""The processes of a run that is under way, and what they use.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Running:
    """One process.  cpu_seconds: on a processor so far; memory: resident, in bytes."""

    pid: int
    argv: list[str]
    cpu_seconds: float
    memory: int


def below(pid: int) -> list[Running]:
    """What the supervisor with this process id has started and is there now.

    Its helpers have its own command line and are left out; what another user's may not be asked counts as nothing.
    """
    try:
        supervisor = psutil.Process(pid)
        own, found = supervisor.cmdline(), supervisor.children(recursive=True)
    except psutil.Error:
        return []
    looked_at = [_look_at(process) for process in found]
    return [running for running in looked_at if running is not None and running.argv != own]


def _look_at(process: psutil.Process) -> Running | None:
    try:
        with process.oneshot():
            used = process.cpu_times()
            return Running(process.pid, process.cmdline(), used.user + used.system, process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
