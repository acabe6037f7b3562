"""Runs the checks of tools/lint, as many at a time as there are processors, and prints one line a check.

Rules: a check whose tool is missing is not passed over in silence: it fails where it could have been installed (as
root, in CI) and is named as left out otherwise.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BIN = TOP / ".venv/bin"
CORE = sorted(TOP.glob("csrc/**/*.c"))
HEADERS = sorted(TOP.glob("csrc/**/*.h"))
PROGRAMS = sorted(path for pattern in ("tests/subjects/*.[ch]", "tools/*.d/*.c", "tools/mutation/*.c")
                  for path in TOP.glob(pattern))
#: Files of these names are of one machine (csrc/arch, csrc/untouched/stub).
MACHINES = {"x86_64", "aarch64"}
STRICT = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{TOP / 'csrc'}"]
#: As csrc/build.py has it, but for what runs inside of tracees, without a C library.
LIBRARY = ["-include", "arch/libc.h"]
# What the analyzer of gcc 12 is often wrong about: memory that a structure goes on to own, a pointer that was
# tested together with another one, a buffer that a system call fills.
NOT_ANALYZED = ["-Wno-analyzer-malloc-leak", "-Wno-analyzer-null-argument", "-Wno-analyzer-possible-null-dereference",
                "-Wno-analyzer-use-of-uninitialized-value"]


@dataclass(frozen=True)
class Check:
    """name: for the command line; tool: the program it needs; commands: made when the check begins."""

    name: str
    tool: str
    commands: Callable[[], list[list[str]]]


def for_machine(machine: str) -> list[Path]:
    """The files of the core that are compiled for this machine."""
    return [path for path in CORE if path.stem not in MACHINES - {machine}]


def compilations(compiler: str, machine: str, *flags: str) -> list[list[str]]:
    return [[compiler, *STRICT, *([] if path.parent.name == "stub" else LIBRARY), *flags, "-c", str(path), "-o",
             os.devnull] for path in for_machine(machine)]


CHECKS = (
    Check("ruff", str(BIN / "ruff"), lambda: [[str(BIN / "ruff"), "check", "--quiet", "."]]),
    Check("mypy", str(BIN / "mypy"), lambda: [[str(BIN / "mypy"), "--no-error-summary"]]),
    Check("rooms", "nm", lambda: [[sys.executable, str(TOP / "tools/rooms.py")]]),
    Check("format", str(BIN / "clang-format"),
          lambda: [[str(BIN / "clang-format"), "--dry-run", "-Werror", str(path)]
                   for path in [*CORE, *HEADERS, *PROGRAMS]]),
    Check("warnings", "gcc", lambda: compilations("gcc", os.uname().machine)),
    Check("aarch64", "aarch64-linux-gnu-gcc", lambda: compilations("aarch64-linux-gnu-gcc", "aarch64")),
    Check("analyzer", "gcc", lambda: compilations("gcc", os.uname().machine, "-fanalyzer", *NOT_ANALYZED)),
)


def run(command: list[str]) -> str:
    """What the command printed if it failed, else ""."""
    done = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    return done.stdout + done.stderr or f"{' '.join(command)}: status {done.returncode}\n"


def installable() -> bool:
    """Whether a missing tool is the caller's fault and not the machine's."""
    return os.geteuid() == 0 or bool(os.environ.get("CI"))


def outcome(check: Check, pool: ThreadPoolExecutor) -> bool:
    """Runs one check and prints its line, below its complaints if it has any."""
    if shutil.which(check.tool) is None:
        print(f"{check.name:<10} left out: no {Path(check.tool).name} (tools/debian-packages.txt)", flush=True)
        return not installable()
    start = time.monotonic()
    complaints = "".join(pool.map(run, check.commands()))
    sys.stdout.write(complaints)
    print(f"{check.name:<10} {'FAILED' if complaints else 'ok'}  {time.monotonic() - start:.1f} s", flush=True)
    return not complaints


def main(names: list[str]) -> int:
    """Runs the named checks, or all."""
    unknown = set(names) - {check.name for check in CHECKS}
    if unknown:
        print(f"tools/lint: no such check: {' '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = [outcome(check, pool) for check in CHECKS if not names or check.name in names]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
