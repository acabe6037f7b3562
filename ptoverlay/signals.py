"""Signals while CMD runs: what reaches us goes on to CMD, and nothing ends us before the layers are put away.

The core holds them back and hands them on (csrc/front/signals.c says which, and how).

Rule: no handler in Python runs while CMD does, so none can raise.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os

from ptoverlay.core import ffi, lib
from ptoverlay.errors import Failure, no_more_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Signals:
    """Holds the signals back for as long as the context lasts, which must be the main thread's."""

    __slots__ = ("_held",)

    def __enter__(self) -> Signals:
        self._held: Any = lib.pto_signals_hold()
        if not self._held:
            raise Failure("signals", os.strerror(errno.ENOMEM))
        return self

    @property
    def blocked(self) -> int:
        """Those that were blocked before: bit n - 1 for signal n."""
        return int(lib.pto_signals_blocked(self._held))

    def forward(self, run: Any, command: str | None) -> None:
        """Starts handing signals on to the CMD of a run (the core's view).  command: what it is called where a person
        is told that it has ended and others are still running; None: nothing is told."""
        error = lib.pto_signals_forward(self._held, run, ffi.NULL if command is None else os.fsencode(command))
        if error:
            raise no_more_processes("thread") if error == -errno.EAGAIN else Failure("signals", os.strerror(-error))

    def stop(self) -> None:
        """Ends that: nothing asks about the run any more."""
        lib.pto_signals_stop(self._held)

    def __exit__(self, *_: object) -> None:
        lib.pto_signals_release(self._held)
