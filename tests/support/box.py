"""ptoverlay itself as a place to run commands, by its command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .oracle import Done, Place, Who, Words, as_user, run
from .subjects import Subjects

if TYPE_CHECKING:
    import pytest

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
def front() -> tuple[str, ...]:
    """The command that is installed beside this Python, which does plain runs without it; else as `command`."""
    beside = Path(sys.executable).with_name("ptoverlay")
    return (str(beside),) if os.access(beside, os.X_OK) else command()


@functools.cache
def traps() -> tuple[str, ...]:
    """The traps that this build and this machine have: ptrace always, notify once a run with it works."""
    if os.environ.get("PTOVERLAY_TEST_TRAPS"):
        return tuple(os.environ["PTOVERLAY_TEST_TRAPS"].split(","))
    done = run([*command(), "--trap", "notify", "--", "/bin/true"], cwd=Path("/"), timeout=30)
    return ("ptrace", "notify") if done.status == 0 else ("ptrace",)


def _forced() -> bool:
    """Whether calls are to be answered inside of all programs."""
    return os.environ.get("PTOVERLAY_INJECT") in ("always", "check")


def messages(done: Done) -> list[str]:
    """What a run with -v says, but for how much was answered inside of programs."""
    return [line for line in done.err.splitlines() if "answered inside" not in line]


def in_front(who: Who, wrapped: Sequence[str], words: Words) -> list[str]:
    """A command that begins as `who`, in a stage of its own or without, with `words` in front of what `who` starts."""
    stage = wrapped.index("--") + 1 if Path(wrapped[0]).name == "stage" else 0
    start = stage + len(as_user(who))
    return [*wrapped[:start], *(os.fspath(word) for word in words), *wrapped[start:]]


def force_inside(who: Who, environment: pytest.MonkeyPatch) -> None:
    """By root calls are answered inside of all programs from now on, each answer is compared with the supervisor's, and
    a difference fails the run; so that a test shows both, by its two users.  Not where the variable is given."""
    if who.is_root and "PTOVERLAY_INJECT" not in os.environ:
        environment.setenv("PTOVERLAY_INJECT", "check")


class Box(Place):
    """`ptoverlay run -l LOWERS -u UPPER -w WORK -m MOUNT --trap TRAP -- CMD`.

    Calls are answered inside of programs over a lower at its own place alone: where that is forced, the one lower is
    bound there."""

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
        elsewhere = len(lowers) == 1 and lowers[0] != mount
        self.bound = lowers[0] if _forced() and elsewhere and os.geteuid() == 0 else None
        shown = [mount] if self.bound else lowers
        self.options += ["-l", ":".join(str(p).replace("\\", "\\\\").replace(":", "\\:") for p in shown)]
        if upper:
            self.options += ["-u", str(upper)]
        if work:
            self.options += ["-w", str(work)]
        self.options += options

    @staticmethod
    def run_as(who: Who, command_: Words, env: Mapping[str, str]) -> Done:
        """Runs a command on the host itself as `who`: to prepare layers."""
        return run([*as_user(who), *command_], env=env)

    def begin(self) -> list[str]:
        """What goes before ptoverlay: the lower at its own place, and `who`."""
        bind = [str(self.subjects.path("stage")), "--bind", str(self.bound), str(self.mount), "--"]
        return [*(bind if self.bound else []), *as_user(self.who)]

    def wrap(self, command_: Words, cwd: Path | None) -> list[str]:
        where = ["-C", str(cwd)] if cwd else []
        return [*self.begin(), *front(), "run", *self.options, *where, "--",
                *(os.fspath(c) for c in command_)]
