"""Builds tests/subjects/faults.c with the view, every call of which goes through the program's wrappers.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .oracle import ROOT, Done, Who, as_user, run
from .subjects import SOURCES

VIEW = SOURCES.parent.parent / "csrc/view"
COMPILE = ["gcc", "-std=gnu11", "-g", "-O1", "-pthread"]


def wrapped() -> list[str]:
    """The functions that wrap.h has wrappers for."""
    return re.findall(r"^WRAP(?:_[A-Z]+)?\([^,]*, (\w+)", (SOURCES / "wrap.h").read_text(), re.MULTILINE)


def build(directory: Path, *flags: str) -> Path:
    """The program; flags go to the compiler."""
    directory.mkdir()
    program = directory / "faults"

    def compile_one(source: Path) -> str:
        output = str(directory / f"{source.stem}.o")
        subprocess.run([*COMPILE, *flags, "-c", str(source), "-o", output], check=True)
        return output

    with ThreadPoolExecutor() as pool:
        objects = list(pool.map(compile_one, [SOURCES / "faults.c", *sorted(VIEW.glob("**/*.c"))]))
    wraps = [f"-Wl,--wrap={name}" for name in wrapped()]
    subprocess.run([*COMPILE, *flags, "-o", str(program), *objects, *wraps], check=True)
    return program


def _takes_attributes(directory: str) -> bool:
    """A tmpfs has user.* attributes since Linux 6.6."""
    if not Path(directory).is_dir():
        return False
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        try:
            os.setxattr(file.name, "user.name", b"value")
        except OSError:
            return False
    return True


@contextmanager
def memory_directory() -> Iterator[Path]:
    """An empty directory on a file system in memory, where there is one that layers of all users can be on."""
    place = "/dev/shm" if _takes_attributes("/dev/shm") else None
    path = Path(tempfile.mkdtemp(prefix="ptoverlay-faults-", dir=place))
    path.chmod(0o755)
    try:
        yield path
    finally:
        subprocess.run(["chmod", "-R", "u+rwx", str(path)], check=False)
        shutil.rmtree(path)


def complaints(done: Done) -> str:
    """What the program found wrong."""
    lines = [line for line in done.out.splitlines() if not re.search(r": \d+ calls$", line)]
    return "\n".join([*lines[:60], done.err[-4000:]])


def check(
    program: Path, options: Sequence[str], mode: str, *scenarios: str, before: Sequence[str] = (), who: Who = ROOT
) -> None:
    """Runs it, as many at a time as there are processors, each in a directory of its own; it has to find nothing
    wrong.  before: words before the command; who: runs it."""
    parts = len(os.sched_getaffinity(0))

    def run_part(part: int) -> Done:
        with memory_directory() as directory:
            if os.geteuid() == 0:
                os.chown(directory, who.uid, who.gid)
            words = [*options, "-p", f"{part}/{parts}", mode, str(directory), *scenarios]
            return run([*as_user(who), *before, str(program), *words], timeout=900)

    with ThreadPoolExecutor(parts) as pool:
        wrong = [complaints(done) for done in pool.map(run_part, range(parts)) if done.status != 0]
    assert not wrong, f"faults {mode}:\n" + "\n".join(wrong)
