"""Names of system calls, by number on this machine.

The core's own table comes first, since it knows newer calls; the rest are named by python-ptrace.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
from functools import cache

from ptoverlay.core import ffi, lib


@cache
def _core_names() -> dict[int, str]:
    names = {}
    nr = ffi.new("int *")
    for row in range(lib.pto_table_size()):
        name = os.fsdecode(ffi.string(lib.pto_table_name(row, nr)))
        if nr[0] >= 0:
            names[int(nr[0])] = name
    return names


@cache
def call_name(nr: int) -> str:
    """The call's name, or "syscall_NR" when nobody has one for it."""
    return _core_names().get(nr) or _other_name(nr)


def _other_name(nr: int) -> str:
    try:
        from ptrace.syscall import SYSCALL_NAMES  # takes longer to import than a small command to run
    except ModuleNotFoundError:
        return f"syscall_{nr}"
    return SYSCALL_NAMES.get(nr) or f"syscall_{nr}"
