"""Describes the core to cffi (API mode, abi3): setup.py's cffi_modules names `builder` here.

The declarations are the text between "cdef begin" and "cdef end" in ptoverlay.h, so there is one copy of
them.  Every C file below csrc/ is compiled, but of those in csrc/arch/ only this machine's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
from pathlib import Path

from cffi import FFI

HERE = Path(os.path.relpath(Path(__file__).parent))
COMPILE = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra"]
# For tests: HELD() of process/lock.h is asserted.
if os.environ.get("PTOVERLAY_CHECK_LOCKS"):
    COMPILE.append("-DPTO_CHECK_LOCKS")
# The same machine under the names that uname(2) has for it.
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def declarations(header: str) -> str:
    """The part of ptoverlay.h that is for cffi."""
    return header.split("/* cdef begin */")[1].split("/* cdef end */")[0]


def machine() -> str:
    """The machine whose registers the core is to know."""
    name = os.uname().machine
    if name not in MACHINES:
        raise SystemExit(f"ptoverlay: cannot be built: the core does not know {name}'s registers "
                         f"(it knows {' and '.join(sorted(set(MACHINES.values())))})")
    return MACHINES[name]


def sources() -> list[str]:
    """Every C file of the core that belongs into the module, sorted so that two builds are alike."""
    return sorted(str(path) for path in HERE.glob("**/*.c") if path.parent.name != "arch" or path.stem == machine())


def headers() -> list[str]:
    return sorted(str(path) for path in HERE.glob("**/*.h"))


builder = FFI()
builder.cdef(declarations((HERE / "ptoverlay.h").read_text()))
builder.set_source(
    "ptoverlay._core",
    '#include "ptoverlay.h"',
    sources=sources(),
    include_dirs=[str(HERE)],
    depends=headers(),
    extra_compile_args=COMPILE,
    extra_link_args=["-pthread"],
    py_limited_api=True,
)
