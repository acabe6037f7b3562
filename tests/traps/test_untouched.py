"""Answers inside of tracees (csrc/untouched): the stub and its table, without a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY, Box
from support.oracle import run
from support.snapshot import UNTOUCHED, assert_equal
from support.subjects import Subjects
from support.world import World

CORE = ROOT_DIRECTORY / "csrc"
MACHINE = os.uname().machine
SOURCES = [str(CORE / "untouched" / name) for name in ("table.c", "image.c")]
needs_stub = pytest.mark.skipif(MACHINE != "x86_64", reason="this machine has no stub")

#: What the stub answers, and what it leaves to the supervisor.
ANSWERS = {
    "the head": "1", "stat, nothing learnt": "trap", "stat": "0", "as natively": "1", "stat of nothing": "ENOENT",
    "stat of an empty file": "trap", "stat below a file, not learnt": "trap", "stat of a fifo": "trap",
    "stat of a followed link, not learnt": "trap", "lstat of a link": "0", "readlink": "4",
    "readlink of a file": "EINVAL", "readlink into nothing": "trap", "stat of ..": "trap",
    "stat of a slash at the end": "trap", "stat into a bad address": "trap", "stat of a bad address": "trap",
    "access": "0", "access to write": "trap", "open": "open", "open of nothing": "ENOENT", "open to write": "trap",
    "open to make": "trap", "open of a fifo": "trap", "openat with an absolute path": "open", "statx": "0",
    "mkdir": "trap",
    "stat below a file": "ENOTDIR", "stat of a followed link": "0", "open of a followed link": "open",
    "touched: stat": "trap", "touched: stat of a link to it": "trap", "touched: stat below it": "trap",
    "touched: open": "trap", "touched: stat of another": "0",
    "fstat, not seen": "trap", "seen": "0", "fstat": "0", "fstat by newfstatat": "0",
    "name below a descriptor, not seen": "trap", "list, not seen": "trap", "directory seen": "open",
    "name below a descriptor": "0", "two names below a descriptor": "trap", "list": "list",
    "forgotten: fstat": "trap", "forgotten: list": "trap", "noted as opened": "1", "not noted as opened": "0",
    "relative, directory not known": "trap", "relative": "0",
    "relative, in a directory that is not learnt": "trap", "relative, in a directory": "0",
    "touched: relative": "trap", "relative, another directory": "trap",
    "a file with two names": "0", "linked: a file with two names": "trap", "forgotten: stat": "trap",
    "learnt again: stat": "0", "off here": "trap", "off": "trap",
    "counted": "1", "the last is there": "1", "the first is there": "0", "written by a tracee": "0",
}


@needs_stub
@pytest.mark.quick
def test_stub(subjects: Subjects, area: Path) -> None:
    """The stub answers what is learnt and not touched, by what the kernel says, and leaves all else to the trap."""
    for name in ("file", "other", "twin"):
        (area / name).write_text("x")
    (area / "empty").touch()
    (area / "twins").hardlink_to(area / "twin")
    (area / "dir").mkdir()
    (area / "dir/inner").write_text("x")
    (area / "link").symlink_to("file")
    os.mkfifo(area / "fifo")
    done = run([subjects.path("untouched", *SOURCES, f"-I{CORE}"), area])
    assert done.status == 0, done.err
    assert dict(line.split(" = ", 1) for line in done.out.splitlines()) == ANSWERS


WAYS = ("unlink", "rename", "write", "over", "truncate")


def whole(world: World) -> Box:
    """Over all of /: there alone, and with one lower at its own place, calls are answered inside."""
    return Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)


@needs_stub
@pytest.mark.parametrize("mode", ["16", "check"])
def test_no_answer_is_older_than_the_last_change(world: World, mode: str) -> None:
    """Eight threads ask while names change in all ways, by absolute and relative paths and by descriptors."""
    world.lay_out([])
    tree = world.mount
    (tree / "dir").mkdir()
    for number in range(64):
        for way in WAYS:
            (tree / ("dir" if number >= 32 else ".") / f"{way}-{number}").write_text("o")
    if os.geteuid() == 0:
        for path in (tree / "dir", *tree.rglob("*")):
            os.chown(path, *world.owner)
    before = world.raw_snapshot(tree)
    program = world.subjects.path("untouched_race", "-pthread")
    box = whole(world)
    box.options.append("--stats")
    done = box.run([program, tree], env={**world.env, "PTOVERLAY_INJECT": mode})
    assert (done.out, done.status) == ("asked wrong 0\n", 0), done.err
    assert_equal("the host changed", before, world.raw_snapshot(tree), UNTOUCHED, exact=True)
    if world.trap == "notify":
        # With "check" at once, so that before its execve CMD is a program of its own.
        assert re.search(r"[1-9][0-9]{2,} calls answered inside of (1 program|2 programs)\b", done.err), done.err
    assert "differ" not in done.err.replace(", 0 different", "")


ASKS = "for i in $(seq 20); do test -e /etc/passwd; test -e f; done; "


def as_natively(world: World, files: dict[str, str], script: str, mode: str = "always") -> None:
    """A shell prints the same over all of /, in a directory of its own and with a stub, as in a copy."""
    world.lay_out([])
    copy = world.home / "copy"
    copy.mkdir()
    for top in (world.mount, copy):
        for name, text in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
    if os.geteuid() == 0:
        for path in (copy, *copy.rglob("*"), *world.mount.rglob("*")):
            os.chown(path, *world.owner)
    before = world.raw_snapshot(world.mount)
    natively = Box.run_as(world.who, ["sh", "-ec", f"cd {copy}; {ASKS}{script}"], world.env)
    box = whole(world)
    box.options.append("--stats")
    done = box.run(["sh", "-ec", f"cd {world.mount}; {ASKS}{script}"], env={**world.env, "PTOVERLAY_INJECT": mode})
    assert (done.out, done.status) == (natively.out, natively.status), done.err
    assert_equal("the host changed", before, world.raw_snapshot(world.mount), UNTOUCHED, exact=True)
    assert ("answered inside" in done.err) == (world.trap == "notify"), done.err
    assert "differ" not in done.err.replace(", 0 different", "")


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_descriptors_that_the_stub_opened_follow_a_copy_up(world: World, mode: str) -> None:
    script = "exec 4<$PWD/f 5<f; /bin/echo new >>$PWD/f; cat <&4; cat <&5"
    as_natively(world, {"f": "old\n"}, script, mode)


@needs_stub
def test_nobody_sees_the_stub(world: World) -> None:
    """Neither in maps nor in smaps."""
    script = "for f in maps smaps numa_maps; do grep -ci -e ^7e900 -e memfd /proc/$$/$f || :; done"
    as_natively(world, {"f": ""}, script)


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_current_directories(world: World, mode: str) -> None:
    """Of subshells, of programs that change theirs, of directories that are removed, moved and come again."""
    script = """
        show() { for i in 1 2 3; do test -e x && cat x || printf -; done; }
        cd a; show; (cd ../b; show); show; cd ../b; show; cd sub; show; cd ..; show
        rm x; show; printf c >x; show; cd ../a; show; mv ../b ../c; cd ../c; show
        cd ..; rm -r a; mkdir a; cd a; show; printf d >x; show; cd ../c/sub/..; show"""
    as_natively(world, {"a/x": "a", "a/sub/y": "", "b/x": "b", "b/sub/y": ""}, script, mode)


@needs_stub
@pytest.mark.parametrize("case", ["bad_pointers", "flags", "signals", "jumps", "threads", "cancellation", "directories",
                                  "own_filter", "little_memory"])
def test_unusual_programs(world: World, case: str) -> None:
    """What is unusual goes on as ever in a program with a stub."""
    world.lay_out([])
    for name in ("file", "sub/inner"):
        (world.mount / name).parent.mkdir(exist_ok=True)
        (world.mount / name).write_text("text")
    (world.mount / "link").symlink_to("file")
    box = whole(world)
    box.options.append("--stats")
    program = world.subjects.path("untouched_robust", "-pthread")
    done = box.run([program, case, world.mount], env={**world.env, "PTOVERLAY_INJECT": "always"})
    assert (done.out, done.status) == ("ok\n", 0), done.err
    assert ("answered inside" in done.err) == (world.trap == "notify"), done.err


@needs_stub
def test_option(world: World) -> None:
    """--inject does it without a variable, and says that it does not with --trace."""
    world.lay_out([])
    env = {name: value for name, value in world.env.items() if name != "PTOVERLAY_INJECT"}
    asks = ["sh", "-c", f"{ASKS}:"]
    told = {}
    for options in ((), ("--inject",), ("--inject", "--trace", str(world.home / "trace"))):
        box = whole(world)
        box.options += ["--stats", *options]
        done = box.run(asks, env=env)
        assert (done.status, done.out) == (0, ""), done.err
        told[len(options)] = ("answered inside" in done.err, "--inject: without effect" in done.err)
    assert told == {0: (False, False), 1: (world.trap == "notify", False), 3: (False, True)}
