"""Ends a process at its n-th call that changes something: before it, as if the power of decision had gone just then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from ptoverlay.commit import kernel

#: Functions of the os module by which the tools change something.
_CHANGING = ("chmod", "chown", "copy_file_range", "fchmod", "fsync", "ftruncate", "link", "mkdir", "mknod", "pwrite",
             "removexattr", "rename", "replace", "rmdir", "setxattr", "symlink", "truncate", "unlink", "utime")
_OF_KERNEL = ("clone", "rename2", "syncfs")

KILLED = 99
FAILED = 98


class _Counter:
    def __init__(self, last: int) -> None:
        self.left = last

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*args: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os._exit(KILLED)
            return function(*args, **named)
        return counted


def killed_at(n: int, action: Callable[[], object]) -> bool:
    """Runs the action in a child that ends at its n-th changing call; False when it came to its end before that."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        status = FAILED
        try:
            counter = _Counter(n)
            for module, names in ((os, _CHANGING), (kernel, _OF_KERNEL)):
                for name in names:
                    setattr(module, name, counter.wrap(getattr(module, name)))
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the action failed: {code}"
    return code == KILLED
