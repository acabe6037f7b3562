"""What is asked of a sandbox whether commands run in it or not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from typing import Any

from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.record import HistoryStep
from ptoverlay.sandboxes.names import check_name
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.sandboxes.state import of
from ptoverlay.shared.talk import Gone, Talk


def checkpoint(box: Sandbox, message: str, *, only_new: bool = False) -> HistoryStep | None:
    """What has changed until now is a step, or else the last one gets the name.  None: nothing has changed.  only_new:
    the last one keeps its name.  Failure: somebody changes it who runs nothing in it."""
    assert box.directory is not None
    try:
        with Talk.to(box.directory) as talk:
            asked = {"verb": "checkpoint", "message": message, "only_new": only_new}
            step = talk.ask(asked, waits=True)["step"]
            return None if step is None else of(HistoryStep, step)
    except Gone:
        pass
    if lib.pto_is_nested():
        return None  # that this is running is known, and what has changed
    with box.change():
        return steps.checkpoint(box, message, only_new=only_new)


def fork_running(box: Sandbox, new: str) -> bool:
    """Makes a new sandbox of what one that runs has changed until now.  False: nothing runs in it."""
    assert box.directory is not None
    try:
        with Talk.to(box.directory) as talk:
            talk.ask({"verb": "fork", "new": check_name(new)}, waits=True)
    except Gone:
        return False
    return True


def inside(box: Sandbox) -> list[dict[str, Any]]:
    """The commands that are in: process id of who waits for it, argv, cwd, when it began."""
    if box.directory is None:
        return []
    try:
        with Talk.to(box.directory) as talk:
            found: list[dict[str, Any]] = talk.ask({"verb": "who"})["guests"]
    except (Gone, Failure):
        return []
    return found
