"""The supervisor of a run is killed at every call by which the view touches the upper or work directory.

Rules: after each kill no tracee is left, the next run opens the upper and finds the state before the program's one
change or the one after it, the work directory is empty, and the lowers are what they were.  Times of directories do not
count, as in faults.c.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support import points
from support.oracle import Who
from support.snapshot import Snapshot, differences
from support.world import World

#: Of the points of a kind every STRIDEth is tried, another one first for each kind; --all-points: all.
STRIDE = 7
KILLED = 128 + 9
MOST_POINTS = 500


@dataclass(frozen=True)
class Kind:
    """A program that makes one change, and one that has been run before it."""

    name: str
    change: str
    before: str = ""
    options: tuple[str, ...] = ()


KINDS = (
    Kind("create", ": > new"),
    Kind("create deep", ": > dir/sub/new"),
    Kind("create over a whiteout", ": > file", "rm file"),
    Kind("mkdir", "mkdir new"),
    Kind("mkdir opaque", "mkdir dir", "rm -r dir"),
    Kind("symlink", "ln -s target dir/new"),
    Kind("fifo", "mkfifo new"),
    Kind("copy-up", "echo more >> dir/sub/x"),
    Kind("copy-up with holes", "echo more >> big"),
    Kind("truncate", ": > file"),
    Kind("mode", "chmod 600 dir/a"),
    Kind("mode again", "chmod 640 dir/a", "chmod 600 dir/a"),
    Kind("mode without data", "chmod 600 big", options=("-o", "metacopy=on")),
    Kind("times", "touch -d 2001-01-01 dir/a"),
    Kind("attribute", "setfattr -n user.new -v value file"),
    Kind("attribute removed", "setfattr -x user.test file"),
    Kind("hard link", "ln file dir/hard"),
    Kind("hard link of two", "echo more >> hard1"),
    Kind("unlink", "rm dir/a"),
    Kind("unlink the upper's", "rm dir/a", "chmod 600 dir/a"),
    Kind("unlink one of two", "rm hard2", "chmod 600 hard1"),
    Kind("rmdir", "rmdir empty"),
    Kind("rmdir of whiteouts", "rmdir dir/sub", "rm dir/sub/x"),
    Kind("rename", "mv file dir/moved"),
    Kind("rename over", "mv file ro"),
    Kind("rename directory", "mv dir moved"),
    Kind("rename directory again", "mv moved again", "mv dir moved"),
    Kind("rename unwritable directory", "mv shut moved"),
)


@pytest.fixture(scope="session")
def package(base: Path) -> Path:
    """The core that is killed."""
    return points.build(base / "points")


def lay_out(world: World) -> None:
    """A lower with something for each kind."""
    lower = world.add_lower()
    for name in ("dir/sub", "empty", "shut"):
        (lower / name).mkdir(parents=True)
    for name in ("file", "ro", "dir/a", "dir/sub/x", "shut/in", "hard1"):
        (lower / name).write_text(f"{name} of the lower\n")
    os.link(lower / "hard1", lower / "hard2")
    with (lower / "big").open("wb") as big:
        big.write(b"data")
        big.truncate(3 << 20)
    os.setxattr(lower / "file", "user.test", b"1")
    (lower / "ro").chmod(0o444)
    (lower / "shut").chmod(0o555)
    for path in (lower, *lower.rglob("*")):
        os.chown(path, *world.owner)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    world.freeze()


def shown(world: World, kind: Kind) -> Snapshot:
    """What a new run finds."""
    found = world.box(*kind.options).snapshot()
    assert os.listdir(world.work / "work") == []
    return {path: replace(entry, mtime="") if entry.type == "dir" else entry for path, entry in found.items()}


def start_anew(world: World, kind: Kind) -> None:
    """Empty layers, or what the program before has made of them."""
    for directory in (world.upper, world.work):
        for path in (directory, *directory.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        for path in directory.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if kind.before:
        world.box(*kind.options).check(["sh", "-c", kind.before], env=world.env)


def run_killed(world: World, kind: Kind, package: Path, point: int) -> int:
    """The status of the run.  It holds our pipes until its last tracee has ended: one goes on as long as it is let."""
    box = points.KilledBox.of(world.box(*kind.options), package, point)
    script = f"sleep 300 & {kind.change}; status=$?; kill $!; exit $status"
    done = box.run(["sh", "-c", script], env=world.env, timeout=60)
    assert done.status in (0, KILLED), f"point {point}: status {done.status}: {done.err}"
    return done.status


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_killed_at_every_point(make_world: Callable[[Who, str], World], who: Who, trap: str, package: Path, kind: Kind,
                               request: pytest.FixtureRequest) -> None:
    """Point by point until the run survives; then it has done all that it does."""
    world = make_world(who, trap)
    lay_out(world)
    start_anew(world, kind)
    states = {"old": shown(world, kind)}
    assert run_killed(world, kind, package, 0) == 0
    states["new"] = shown(world, kind)
    every = request.config.getoption("--all-points")
    stride = 1 if every else STRIDE
    point = 1 if every else 1 + KINDS.index(kind) % STRIDE
    while point < MOST_POINTS:
        start_anew(world, kind)
        if run_killed(world, kind, package, point) == 0:
            break
        found = shown(world, kind)
        wrong = {name: differences(state, found) for name, state in states.items()}
        assert not all(wrong.values()), f"killed at point {point}: neither the old nor the new state: {wrong}"
        point += stride
    assert point < MOST_POINTS
