"""``run --name`` and ``run --report``: which part of us runs them.

Rule: who joins a sandbox waits for what is imported, so nothing is here that it does not need.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

from ptoverlay import errors
from ptoverlay.core import lib
from ptoverlay.options import Request
from ptoverlay.run import exit_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ptoverlay.api.beginning import Beginning


def run_kept(request: Request, beginning: Beginning | None = None) -> int:
    """Runs the request; returns CMD's exit status, or dies of the signal that CMD died of.  beginning: as of `run`."""
    try:
        return _run(request, beginning)
    except OSError as error:
        raise errors.from_os_error(os.fsdecode(error.filename or "sandbox"), error) from error


def _run(request: Request, beginning: Beginning | None) -> int:
    if request.name is None or request.report is not None or lib.pto_is_nested():
        from ptoverlay.sandboxes.keeper import run_remembered

        return run_remembered(request, beginning)
    from ptoverlay.shared.guest import run_as_guest

    return exit_as(request, *run_as_guest(request, beginning))
