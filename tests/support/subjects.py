"""Compiles the C programs of tests/subjects, once a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "subjects"
WARNINGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]


@contextmanager
def shared_directory() -> Iterator[Path | None]:
    """Where the workers of a run of the suite have the programs that one of them has compiled; None: there is but one.
    Who goes last removes it."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield None
        return
    path = Path(tempfile.gettempdir(), f"ptoverlay-subjects-{run}")
    fd = _shared_fd(path)
    try:
        yield path
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
    finally:
        os.close(fd)


def _shared_fd(path: Path) -> int:
    """A descriptor of the directory, which is made if need be, with a lock that others may have, too."""
    while True:
        path.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(fd, fcntl.LOCK_SH)
            if os.fstat(fd).st_nlink:
                return fd
            os.close(fd)  # who went last has removed it meanwhile


class Subjects:
    """The compiled programs, by name; they are built in `directory` when first asked for, or copied from what another
    worker has built in `shared`."""

    def __init__(self, directory: Path, shared: Path | None = None) -> None:
        self.directory = directory
        self.shared = shared

    def path(self, name: str, *flags: str, static: bool = True) -> Path:
        """The program tests/subjects/NAME.c; `flags` go to the compiler as well."""
        variant = "".join(c if c.isalnum() else "_" for c in "".join(flags))[-60:]
        program = self.directory / f"{name}{'' if static else '-dynamic'}{variant}"
        if program.exists():
            return program
        line = ["gcc", *WARNINGS, *(["-static"] if static else []), str(SOURCES / f"{name}.c"), "-pthread", *flags]
        if self.shared is None:
            _compile(line, program)
        else:
            with open(self.shared / f"{program.name}.lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                built = self.shared / program.name
                if not built.exists():
                    _compile(line, built)
                shutil.copy(built, program)
        program.chmod(0o755)
        return program


def _compile(line: list[str], program: Path) -> None:
    """Runs the compiler, whose whole work or nothing is there afterwards."""
    new = program.with_name(f".{program.name}")
    done = subprocess.run([*line, "-o", str(new)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{line} does not compile:\n{done.stderr}")
    new.rename(program)
