"""Numbers of system calls, from the kernel headers of this machine.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import re
import subprocess

#: Names of asm-generic that count.
_NO_CALLS = frozenset(("arch_specific_syscall", "syscalls"))


def _preprocessed(source: str, *flags: str) -> str:
    command = ["gcc", "-E", *flags, "-x", "c", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


@functools.cache
def kernel_calls() -> dict[str, int]:
    """By name; asm-generic gives some numbers by other names."""
    header = "#include <asm/unistd.h>\n"
    names = re.findall(r"^#define __NR_(\w+) ", _preprocessed(header, "-dM"), re.MULTILINE)
    told = _preprocessed(header + "".join(f'"call {name}" __NR_{name}\n' for name in names), "-P")
    return {n: int(v) for n, v in re.findall(r'"call (\w+)" (\d+)$', told, re.MULTILINE) if n not in _NO_CALLS}


def named(*names: str) -> str:
    """A line of Python that gives these numbers their names: SYS_name."""
    return "".join(f"SYS_{name} = {kernel_calls()[name]}\n" for name in names)
