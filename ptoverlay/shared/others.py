"""What the supervisor of a sandbox asks the kernel of the processes that come to it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

_NAMESPACES = ("mnt", "pid", "user")


def namespaces() -> list[str]:
    """Where paths and process ids of this process mean what they mean."""
    return [os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES] + [str(os.stat("/").st_ino)]


def is_inside(pid: int) -> bool:
    """Whether a process is under more seccomp filters than we are, as all inside of the sandbox are."""
    return _filters(f"/proc/{pid}/status") > _filters("/proc/self/status")


def is_dead(pid: int) -> bool:
    """Whether a process has ended, or is about to, whatever of it is still open."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return True
    except OSError:
        pass  # gone, or not ours to see
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _filters(path: str) -> int:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = {name: value for name, _, value in (line.partition(":\t") for line in file)}
    except OSError:
        return 0
    return int(found.get("Seccomp_filters", found.get("Seccomp", "0")))
