"""ptoverlay itself as a place to run commands, by its command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .oracle import Done, Place, Who, Words, as_user, run
from .subjects import Subjects

ROOT_DIRECTORY = Path(__file__).resolve().parent.parent.parent


@functools.cache
def command() -> tuple[str, ...]:
    """How `python -m ptoverlay` is started here: installed, or from the tree that holds the tests."""
    installed = run([sys.executable, "-m", "ptoverlay", "--version"], cwd=Path("/"))
    if installed.status == 0:
        return (sys.executable, "-m", "ptoverlay")
    start = f"import sys; sys.path.insert(0, {str(ROOT_DIRECTORY)!r}); sys.argv[0] = 'ptoverlay'; import runpy; "
    return (sys.executable, "-c", start + "runpy.run_module('ptoverlay', run_name='__main__')")


@functools.cache
def traps() -> tuple[str, ...]:
    """The traps that this build and this machine have: ptrace always, notify once a run with it works."""
    if os.environ.get("PTOVERLAY_TEST_TRAPS"):
        return tuple(os.environ["PTOVERLAY_TEST_TRAPS"].split(","))
    done = run([*command(), "--trap", "notify", "--", "/bin/true"], cwd=Path("/"), timeout=30)
    return ("ptrace", "notify") if done.status == 0 else ("ptrace",)


class Box(Place):
    """`ptoverlay run -l LOWERS -u UPPER -w WORK -m MOUNT --trap TRAP -- CMD`."""

    def __init__(
        self,
        subjects: Subjects,
        who: Who,
        mount: Path,
        lowers: Sequence[Path],
        upper: Path | None,
        work: Path | None,
        *,
        trap: str = "ptrace",
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(subjects, who, mount)
        self.trap = trap
        self.options = ["--trap", trap, "-m", str(mount)]
        self.options += ["-l", ":".join(str(p).replace("\\", "\\\\").replace(":", "\\:") for p in lowers)]
        if upper:
            self.options += ["-u", str(upper)]
        if work:
            self.options += ["-w", str(work)]
        self.options += options

    @staticmethod
    def run_as(who: Who, command_: Words, env: Mapping[str, str]) -> Done:
        """Runs a command on the host itself as `who`: to prepare layers."""
        return run([*as_user(who), *command_], env=env)

    def wrap(self, command_: Words, cwd: Path | None) -> list[str]:
        where = ["-C", str(cwd)] if cwd else []
        return [*as_user(self.who), *command(), "run", *self.options, *where, "--", *(os.fspath(c) for c in command_)]
