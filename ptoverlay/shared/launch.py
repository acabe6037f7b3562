"""How a command starts the supervisor of its sandbox, where there is none.

Rule: this is imported by every command that joins; what only a supervisor needs is imported in its own process.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import sys

from ptoverlay.errors import Failure
from ptoverlay.sandboxes.locking import LOCK, says_supervisor
from ptoverlay.shared.talk import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ptoverlay.options import Request


def serves(directory: str) -> bool:
    """Whether the lock of a sandbox was taken by a supervisor."""
    try:
        return says_supervisor(f"{directory}/{LOCK}")
    except OSError:
        return False


def launch(request: Request) -> None:
    """Starts the supervisor of the sandbox that the request names; returns when it can be entered.  Failure: it cannot
    be; InUse: somebody else has the sandbox."""
    read, write = os.pipe()
    sys.stdout.flush()
    starter = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            from ptoverlay.shared.host import become_supervisor

            become_supervisor(request, starter, write)
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with open(read, "rb") as told:
        data = told.read()
    if not data:
        raise Failure(f"sandbox {request.name}", "its supervisor was killed")
    answer = json.loads(data)
    if "error" in answer:
        raise unpack(answer)
