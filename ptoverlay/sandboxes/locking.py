"""The file that is locked (flock(2)) by whoever changes a sandbox, and says who that is.

Rule: what is in the file is written by who has the lock, and is of no use without it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: Its name in the directory of a sandbox.
LOCK = "lock"
_SUPERVISOR = b"serves"  # in it: who holds it is the supervisor of those who are in the sandbox (shared/host.py)
_LARGEST_PID = 1 << 22  # proc(5), /proc/sys/kernel/pid_max
_TRIES, _PAUSE = 5, 0.002  # who asks whether a sandbox is in use has its lock for a moment


def lock_file(path: Path) -> int:
    """Opens and locks the file, which then names us.  BlockingIOError, with the holder's process id for a file
    name, when somebody else has it; FileNotFoundError when the sandbox was removed while we asked."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for tries in range(_TRIES, -1, -1):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if not tries:
                    raise BlockingIOError(error.errno, error.strerror, str(holder(fd))) from error
                time.sleep(_PAUSE)
        _say_who(fd, path)
        if not os.path.samestat(os.fstat(fd), os.stat(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except BaseException:
        os.close(fd)
        raise
    return fd


def holder(fd: int) -> int:
    """The process id that an open lock names, -1 for none."""
    try:
        pid = int(os.pread(fd, 32, 0).split()[0])
    except (ValueError, IndexError, OSError):
        return -1
    return pid if 0 < pid <= _LARGEST_PID else -1


def _say_who(fd: int, path: Path) -> None:
    """Whose lock it is."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError as error:
        error.filename = str(path)
        raise


def say_supervisor(path: Path) -> None:
    """Says of a lock that we hold that a supervisor does, who can be spoken with (shared/talk.py)."""
    with open(path, "ab") as file:
        file.write(_SUPERVISOR + b"\n")


def says_supervisor(path: Path | str) -> bool:
    """Whether it says so.  OSError: it is not there, or not ours to read."""
    with open(path, "rb") as file:
        return _SUPERVISOR in file.read()
