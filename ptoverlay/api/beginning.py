"""How a supervisor tells the caller of the API, by a pipe, that CMD runs, or why it could not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import _thread
import os
import time

from ptoverlay.errors import Failure, InUse, Missing, Taken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: What the pipe holds first when CMD has begun; else what `pack` makes, or nothing when the supervisor was killed.
BEGUN = b"+"
_KINDS = {kind.__name__: kind for kind in (InUse, Missing, Taken)}
_PAUSE = 0.001  # seconds between two looks whether CMD has begun


class Beginning:
    """Writes BEGUN to the pipe as soon as CMD runs."""

    __slots__ = ("_fd", "_over", "_running")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._over = False
        self._running = _thread.allocate_lock()

    def watch(self, begun: "Callable[[], bool]") -> None:
        """Starts asking."""
        self._running.acquire()
        _thread.start_new_thread(self._watch, (begun,))

    def stop(self) -> None:
        """CMD has ended, or never ran: `begun` is not called any more."""
        self._over = True
        self._running.acquire()
        self._running.release()

    def _watch(self, begun: "Callable[[], bool]") -> None:
        try:
            while not self._over:
                if begun():
                    os.write(self._fd, BEGUN)
                    break
                time.sleep(_PAUSE)
        finally:
            self._running.release()


def pack(failure: Failure) -> bytes:
    """For `unpack`."""
    fields = (str(failure.number), type(failure).__name__, failure.what, failure.why, failure.remedy)
    return "\0".join(fields).encode("utf-8", "surrogateescape")


def unpack(data: bytes, command: str, cwd: str | None) -> Exception:
    """What to raise: an OSError when CMD or its directory is not there, else a Failure."""
    number, kind, what, why, remedy = data.decode("utf-8", "surrogateescape").split("\0")
    if number == "0":
        return _KINDS.get(kind, Failure)(what, why, remedy)
    return OSError(int(number), why, command if what == command or cwd is None else cwd)
