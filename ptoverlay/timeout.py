"""Ends a run when its time is over, as timeout(1) does: SIGTERM to CMD, and a while later SIGKILL to all that is left.

Only a run with --timeout imports it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from ptoverlay import errors
from ptoverlay.core import lib
from ptoverlay.options import Request

_GRACE = 5.0  # seconds between the two
_AGAIN = 0.05  # seconds: what is killed may have started others meanwhile


class Timeout:
    """For as long as the context lasts.  run: the core's view, of which pto_run is under way."""

    def __init__(self, run: Any, request: Request) -> None:
        self._run = run
        self._request = request
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _wait(self) -> None:
        if self._over.wait(self._request.timeout):
            return
        self._request.timed_out = True
        if self._request.verbose >= 0:
            errors.report(f"{self._request.argv[0]}: ended after {self._request.timeout:g} s (--timeout)")
        lib.pto_signal(self._run, signal.SIGTERM)
        if self._over.wait(_GRACE):
            return
        lib.pto_signal(self._run, signal.SIGKILL)
        while not self._over.wait(_AGAIN):
            lib.pto_end(self._run)
