"""Runs the hostile program of tests/subjects/adversary.c and tells which of its ways changed the host.

The lower holds a directory for each way, named like it, so that what changed says by which way.

`python -m support.adversary [--calls N] [--seed N] [--view V] [--trap T] [--who W] [PATTERN…]` in tests/ lists them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import box as box_module
from . import host
from .box import Box, in_front
from .oracle import ROOT, USER, Who, as_user, run
from .snapshot import UNTOUCHED, Snapshot, differences, parse
from .subjects import Subjects
from .trees import remove

#: Where the lower is, what the view covers, and what is direct.
VIEWS = ("elsewhere", "itself", "whole", "direct")


@dataclass
class Result:
    """What one run did: by way the calls, and those of them that did not fail; the differences, a line each, by the
    way that made them; and what went wrong with the run itself."""

    ways: dict[str, tuple[int, int]]
    changed: dict[str, list[str]]
    said: str

    @property
    def calls(self) -> int:
        """All that were made."""
        return sum(calls for calls, _ in self.ways.values())

    @property
    def done(self) -> int:
        """Those that did not fail."""
        return sum(good for _, good in self.ways.values())


@dataclass
class Grounds:
    """The directories of one user's runs:

    lower mnt   the same tree twice; mnt is where the view appears, or lies in the view of /
    beside      not covered, or direct
    shm         below /dev/shm, which is direct
    """

    area: Path
    shm: Path
    subjects: Subjects
    who: Who

    def __post_init__(self) -> None:
        self.program = self.subjects.path("adversary")
        self.beside = self.area / "beside"
        for path in (self.area, self.shm):
            self._directory(path)
        self.trees = {name: self._laid(self.area / name) for name in ("lower", "mnt")}

    def _directory(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, self.who.uid, self.who.gid)
        return path

    def _laid(self, path: Path) -> Snapshot:
        self._directory(path)
        done = run([*as_user(self.who), self.program, "lay", path, self.beside])
        assert done.status == 0, done.out
        return self.snapshot(path)

    def snapshot(self, path: Path) -> Snapshot:
        done = run([self.subjects.path("tree"), path])
        assert done.status == 0, done.err
        return parse(done.out)

    def _box(self, area: Path, view: str, trap: str) -> Box:
        lower, mount = self.area / "lower", self.area / "mnt"
        lowers, at, options = {
            "elsewhere": ([lower], mount, ()),
            "itself": ([mount], mount, ()),
            "whole": ([Path("/")], Path("/"), ()),
            "direct": ([Path("/")], Path("/"), ("--direct", str(self.beside))),
        }[view]
        upper, work = self._directory(area / "upper"), self._directory(area / "work")
        return Box(self.subjects, self.who, at, lowers, upper, work, trap=trap, options=options)

    def run(
        self, view: str, trap: str, calls: int, seed: int, ways: Sequence[str] = (), *, forbid: str = "",
        timeout: float = 600
    ) -> Result:
        """So many calls by these ways (all), in a new upper; afterwards the trees are looked at.

        The view "none" is the host itself.  forbid: the run has a profile of subjects/forbid.c around it."""
        area = self._directory(self.area / "run")
        # In the view of / nothing but direct places is not covered.
        beside = self._directory(self.shm / "beside") if view == "whole" else self._directory(self.beside)
        places = [self.area / "mnt", beside, self._directory(self.shm / "shm")]
        command = [str(self.program), "run", *map(str, places), str(calls), str(seed), *ways]
        if view == "none":
            done = run([*as_user(self.who), *command], cwd=self.area, timeout=timeout)
        else:
            words = self._box(area, view, trap).wrap(command, self.area)
            profile = [str(self.subjects.path("forbid")), forbid] if forbid else []
            done = run(in_front(self.who, words, profile), cwd=self.area, timeout=timeout)
        said = "" if done.status == 0 and done.out.endswith("through\n") else f"status {done.status}: {done.out[-300:]}"
        result = Result(self._counted(done.out), self._changed(), said + done.err)
        for path in (area, *([self.beside] if self.beside.exists() else []), *self.shm.iterdir()):
            remove(path)
        if view == "none":   # the names that were just removed were some of the trees' own files
            self.trees = {name: self.snapshot(self.area / name) for name in self.trees}
        return result

    @staticmethod
    def _counted(out: str) -> dict[str, tuple[int, int]]:
        lines = [line.split() for line in out.splitlines() if re.fullmatch(r"\S+ \d+ \d+", line)]
        return {way: (int(calls), int(good)) for way, calls, good in lines}

    def _changed(self) -> dict[str, list[str]]:
        changed: dict[str, list[str]] = {}
        for name, before in self.trees.items():
            after = self.snapshot(self.area / name)
            for line in differences(before, after, UNTOUCHED, exact=True):
                changed.setdefault(line.split("/")[0].split(":")[0], []).append(f"{name}/{line}")
            self.trees[name] = after
        more = set(os.listdir(self.area)) - {"lower", "mnt", "beside", "run"}
        return {**changed, **({"(none)": [f"made beside the trees: {sorted(more)}"]} if more else {})}


def grounds(area: Path, subjects: Subjects) -> tuple[Callable[[Who], Grounds], Callable[[], None]]:
    """A function that gives a user's grounds, made when first asked for, and one that removes them all."""
    made: dict[str, Grounds] = {}

    def give(who: Who) -> Grounds:
        if who.name not in made:
            shm = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm"))
            made[who.name] = Grounds(area / who.name, shm, subjects, who)
        return made[who.name]

    def clean() -> None:
        for ground in made.values():
            remove(ground.area)
            remove(ground.shm)

    return give, clean


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="support.adversary")
    parser.add_argument("--calls", type=int, default=0, help="of each run (default: 30 a way)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--view", choices=VIEWS, action="append")
    parser.add_argument("--trap", choices=["ptrace", "notify"], action="append")
    parser.add_argument("--who", choices=["root", "user"], action="append")
    parser.add_argument("--forbid", default="", help="calls that fail, as subjects/forbid.c takes them")
    parser.add_argument("-v", "--verbose", action="store_true", help="what changed, too")
    parser.add_argument("ways", nargs="*")
    return parser.parse_args()


def main() -> int:
    """One run for each view, trap and user; the ways that changed the host."""
    arguments = _arguments()
    area = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-"))
    area.chmod(0o755)
    (area / "subjects").mkdir()
    subjects = Subjects(area / "subjects")
    for path in host.python_paths():
        host.let_others_through(path)
    give, clean = grounds(area, subjects)
    count = len(run([subjects.path("adversary"), "ways", *arguments.ways]).out.splitlines())
    failed = 0
    try:
        for who, view, trap in itertools.product(
            [w for w in (ROOT, USER) if w.name in (arguments.who or ["root", "user"])],
            arguments.view or VIEWS,
            arguments.trap or box_module.traps(),
        ):
            result = give(who).run(view, trap, arguments.calls or 30 * count, arguments.seed, arguments.ways,
                                   forbid=arguments.forbid)
            print(
                f"== {who.name} {view} {trap}: {result.calls} calls, {result.done} did not fail, "
                f"{len(result.changed)} of {count} ways changed the host",
                result.said,
                flush=True,
            )
            for way, lines in sorted(result.changed.items()):
                print(
                    f"{who.name} {view} {trap} {way}: {len(lines)}",
                    *(lines[:6] if arguments.verbose else lines[:1]),
                    sep="\n    " if arguments.verbose else " ",
                    flush=True,
                )
            failed += len(result.changed)
    finally:
        clean()
        remove(area)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
