"""Builds a copy of the package whose core is killed where it is told to (tests/subjects/points.c), and runs it.

Rules: that core is never the shipped one: it is made below the tests' directory from the same sources, and only the
calls of csrc/view are wrapped.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .box import ROOT_DIRECTORY, Box
from .core import Description, object_name
from .faults import wrapped
from .oracle import Words
from .subjects import SOURCES


def build(directory: Path) -> Path:
    """The directory for PYTHONPATH."""
    directory.mkdir()
    package = directory / "ptoverlay"
    shutil.copytree(ROOT_DIRECTORY / "ptoverlay", package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    core = Description()
    binding = core.write_binding(directory / "_core.c")
    include = [f"-I{ROOT_DIRECTORY / 'csrc'}", f"-I{sysconfig.get_path('include')}"]

    def compile_one(source: Path) -> str:
        output = str(directory / object_name(source))
        subprocess.run(["gcc", *core.flags, "-O1", "-fPIC", *include, "-c", str(source), "-o", output], check=True)
        return output

    view = [source for source in core.sources if "view" in source.parts]
    with ThreadPoolExecutor() as pool:
        inner = list(pool.map(compile_one, [SOURCES / "points.c", *view]))
        outer = list(pool.map(compile_one, [binding, *(source for source in core.sources if source not in view)]))
    wraps = [f"-Wl,--wrap={name}" for name in wrapped()]
    whole = str(directory / "view.o")
    subprocess.run(["gcc", "-r", "-nostdlib", "-o", whole, *inner, *wraps], check=True)
    library = str(package / "_core.abi3.so")
    subprocess.run(["gcc", "-shared", "-pthread", "-o", library, whole, *outer], check=True)
    return directory


class KilledBox(Box):
    """A box whose supervisor is killed at a point."""

    package: Path
    point = 0

    @classmethod
    def of(cls, box: Box, package: Path, point: int) -> KilledBox:
        killed = cls.__new__(cls)
        killed.__dict__.update(box.__dict__)
        killed.package = package
        killed.point = point
        return killed

    def wrap(self, command_: Words, cwd: Path | None) -> list[str]:
        where = ["-C", str(cwd)] if cwd else []
        environment = [f"PYTHONPATH={self.package}", f"PTOVERLAY_KILL_AT={self.point}"]
        words = ["env", *environment, sys.executable, "-P", "-m", "ptoverlay", "run", *self.options, *where, "--"]
        return [*self.begin(), *words, *(os.fspath(c) for c in command_)]
