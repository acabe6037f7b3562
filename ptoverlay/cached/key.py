"""What a command is: all that it is given before it asks for its first file.

Rules: whatever a program can see of how it was started, and of the machine, is in the key, or is taken away from it;
another version of ptoverlay remembers nothing of this one's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ptoverlay import __version__
from ptoverlay.options import Request

FORM = 2  # of what is kept
#: What differs from shell to shell, and is not given to CMD.
LEFT_OUT = ("_", "OLDPWD", "SHLVL", "WINDOWID", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK",
            "XDG_SESSION_ID", "PTOVERLAY_NAME")
_LIMITS = ("CPU", "FSIZE", "DATA", "STACK", "CORE", "NOFILE", "AS", "NPROC")


@dataclass(frozen=True, slots=True)
class Key:
    """stdin: digest of what it can be given to read, "" for nothing; times: whether times of files count; clock: what
    is done about the time of day."""

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    stdin: str
    times: bool
    clock: str
    settings: tuple[str, ...]
    machine: tuple[str, ...]
    version: str = field(default=f"{__version__}:{FORM}")

    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True).encode("utf-8", "surrogateescape")
        return hashlib.sha256(text).hexdigest()


def _machine() -> tuple[str, ...]:
    system = os.uname()
    umask = os.umask(0o077)
    os.umask(umask)
    limits = [f"{name}={resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))}" for name in _LIMITS]
    return (system.sysname, system.nodename, system.release, system.version, system.machine,
            str(sorted(os.sched_getaffinity(0))), f"{os.getresuid()}{os.getresgid()}{sorted(os.getgroups())}",
            f"{umask:03o}", str(os.nice(0)), f"terminal={has_terminal()}", *limits)


def has_terminal() -> bool:
    """Whether /dev/tty leads anywhere."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def key_of(request: Request, environment: Mapping[str, str], stdin: str, times: bool, clock: str) -> Key:
    """The key of a request."""
    overlay = request.overlays[0]
    settings = (repr(overlay.layers()), repr(overlay.n_data), repr(overlay.mount_point()), repr(overlay.flags),
                repr(request.places), repr(request.network), repr(request.memory), repr(request.limit))
    return Key(tuple(request.argv), os.path.abspath(request.chdir or os.getcwd()), dict(environment), stdin, times,
               clock, settings, _machine())


def inherited() -> list[int]:
    """Descriptors besides the standard ones that CMD would have from whoever started us."""
    import fcntl

    found = []
    for number in sorted(map(int, os.listdir("/proc/self/fd"))):
        try:
            flags = fcntl.fcntl(number, fcntl.F_GETFD)
        except OSError:
            continue  # by which the directory was listed
        if number > 2 and not flags & fcntl.FD_CLOEXEC and not is_null(os.fstat(number)):
            found.append(number)
    return found


def is_null(status: os.stat_result) -> bool:
    """/dev/null."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
