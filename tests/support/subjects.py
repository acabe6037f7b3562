"""Compiles the C programs of tests/subjects, once a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "subjects"
WARNINGS = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]


class Subjects:
    """The compiled programs, by name; they are built in `directory` when first asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str, *flags: str, static: bool = True) -> Path:
        """The program tests/subjects/NAME.c; `flags` go to the compiler as well."""
        variant = "".join(c if c.isalnum() else "_" for c in "".join(flags))[-60:]
        program = self.directory / f"{name}{'' if static else '-dynamic'}{variant}"
        if program.exists():
            return program
        link = ["-static"] if static else []
        source = SOURCES / f"{name}.c"
        command = ["gcc", *WARNINGS, *link, "-o", str(program), str(source), "-pthread", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{source} does not compile:\n{done.stderr}")
        program.chmod(0o755)
        return program
