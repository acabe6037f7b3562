"""Describes the core to cffi (API mode, abi3): setup.py's cffi_modules names `builder` here.

The declarations are the text between "cdef begin" and "cdef end" in ptoverlay.h, so there is one copy of
them.  Every C file below csrc/ is compiled, but of those in csrc/arch/ only this machine's, and those in
csrc/untouched/stub/ not into the core: they run inside of tracees, and the core has their code as bytes, in
csrc/untouched/image.c, which is written here.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shlex
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

HERE = Path(os.path.relpath(Path(__file__).parent))
COMPILE = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-include", "arch/libc.h"]
# For tests: HELD() of process/lock.h is asserted.
if os.environ.get("PTOVERLAY_CHECK_LOCKS"):
    COMPILE.append("-DPTO_CHECK_LOCKS")
STUB = HERE / "untouched" / "stub"
IMAGE = HERE / "untouched" / "image.c"
# Freestanding, at a fixed address, without anything that the loader would have to do or that uses other registers.
STUB_FLAGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-ffreestanding", "-fno-builtin", "-fno-stack-protector",
              "-fno-stack-clash-protection", "-fcf-protection=none", "-fpie", "-mgeneral-regs-only", "-fno-jump-tables",
              "-fno-tree-loop-distribute-patterns", "-fvisibility=hidden", "-fno-asynchronous-unwind-tables",
              "-fno-lto", "-nostdlib", "-static", "-no-pie", "-Wl,--oformat=binary", "-Wl,--build-id=none"]
# The same machine under the names that Python has for it.
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def declarations(header: str) -> str:
    """The part of ptoverlay.h that is for cffi."""
    return header.split("/* cdef begin */")[1].split("/* cdef end */")[0]


def machine() -> str:
    """The machine whose registers the core is to know; Python is told of another one to build for by
    _PYTHON_HOST_PLATFORM=linux-NAME."""
    name = sysconfig.get_platform().rpartition("-")[2]
    if name not in MACHINES:
        raise SystemExit(f"ptoverlay: cannot be built: the core does not know {name}'s registers "
                         f"(it knows {' and '.join(sorted(set(MACHINES.values())))})")
    return MACHINES[name]


def stub() -> bytes:
    """The code of the stub, b"" where this machine has none."""
    script = STUB / f"{machine()}.ld"
    if not script.exists():
        return b""
    others = {*MACHINES.values()} - {machine()}
    parts = sorted(path for path in STUB.glob("*.c") if path.stem not in others)
    named = os.environ.get("PTOVERLAY_STUB_CC") or os.environ.get("CC")  # gcc, where the core's is another
    compiler = shlex.split(named or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory, "stub")
        subprocess.run([*compiler, *STUB_FLAGS, f"-Wl,-T,{script}", "-o", out, *parts], check=True)
        return out.read_bytes()


def write_image() -> None:
    """Brings image.c up to date; it is as old as the newest that it is made of, so that nothing else is made anew."""
    made_of = [Path(__file__), IMAGE.parent / "layout.h", *STUB.iterdir()]
    time = max(path.stat().st_mtime_ns for path in made_of)
    if IMAGE.exists() and IMAGE.stat().st_mtime_ns == time:
        return
    code = stub()
    lines = [", ".join(f"{byte:#04x}" for byte in code[at:at + 16]) + "," for at in range(0, len(code), 16)] or ["0"]
    text = "\n".join([
        "/* image.c - the code of the stub, as build.py has made it.", " *",
        " * SPDX-License-Identifier: GPL-2.0-or-later", " */",
        '#include "stub.h"', "", "/* clang-format off */", "const unsigned char stub_image[] = {", *lines, "};",
        f"const size_t stub_image_size = {len(code)};", ""])
    IMAGE.write_text(text)
    os.utime(IMAGE, ns=(time, time))


def sources() -> list[str]:
    """Every C file of the core that belongs into the module, sorted so that two builds are alike."""
    write_image()
    return sorted(str(path) for path in HERE.glob("**/*.c")
                  if path.parent.name != "stub" and path != command()
                  and (path.parent.name != "arch" or path.stem == machine()))


def command() -> Path:
    """The command ptoverlay, which is no part of the module."""
    return HERE / "front" / "main.c"


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
