"""Answers inside of tracees (csrc/untouched): the stub and its table, without a run and in runs.

PTOVERLAY_TEST_RACE: for how many seconds names change while threads ask (default: once through all).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY, Box, in_front
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
    "forgotten: fstat": "trap", "forgotten: list": "trap",
    "by inode": "0", "by inode: list": "trap", "touched: by inode": "trap", "forgotten: by inode": "trap",
    "in the lower's part": "0", "open in the lower's part": "open", "not in the lower's part": "ENOENT",
    "touched: in the lower's part": "trap", "in two places": "open", "in two places: by inode": "trap",
    "noted as opened": "1", "not noted as opened": "0",
    "relative, directory not known": "trap", "relative": "0",
    "relative, in a directory that is not learnt": "trap", "relative, in a directory": "0",
    "open of a known file": "open", "noted as opened, known": "1", "touched: open of a known file": "trap",
    "open of a bad address": "trap",
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


def whole(world: World) -> Box:
    """Over all of /: there alone, and with one lower at its own place, calls are answered inside."""
    return Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)


def part(world: World) -> Box:
    """Over a directory alone, which is its own lower."""
    return Box(world.subjects, world.who, world.mount, [world.mount], world.upper, world.work, trap=world.trap)


VIEWS = {"/": whole, "part": part}

#: Of the race: how long it goes on, run after run.
SECONDS = float(os.environ.get("PTOVERLAY_TEST_RACE", "0"))
NAMES = 24


def lay_out_race(program: Path, tree: Path) -> None:
    (tree / "dir").mkdir(parents=True)
    (tree / "target").write_text("ttt")
    for line in run([program, tree, "list"]).out.splitlines():
        way, form = line.split()
        for number in range(NAMES):
            name = tree / ("dir" if number >= NAMES // 2 else ".") / f"{way}-{number}"
            if form in ("empty", "parent"):
                name.mkdir()
            if form in ("file", "parent"):
                (name if form == "file" else name / "x").write_text("o")


@needs_stub
@pytest.mark.parametrize(("mode", "view"), [("16", "/"), ("check", "/"), ("16", "part")])
def test_no_answer_is_older_than_the_last_change(world: World, mode: str, view: str) -> None:
    """Eight threads ask while names change in all ways, by absolute and relative paths and by descriptors."""
    program = world.subjects.path("untouched_race", static=False)
    world.lay_out([])
    asked, end = 0, time.monotonic() + SECONDS
    while not asked or time.monotonic() < end:
        tree = world.mount / f"tree{asked}"
        lay_out_race(program, tree)
        if os.geteuid() == 0:
            for path in (tree, *tree.rglob("*")):
                os.chown(path, *world.owner)
        before = world.raw_snapshot(tree)
        box = VIEWS[view](world)
        box.options.append("--stats")
        done = box.run([program, tree], env={**world.env, "PTOVERLAY_INJECT": mode})
        assert (done.out, done.status) == ("asked wrong 0\n", 0), done.err
        assert_equal("the host changed", before, world.raw_snapshot(tree), UNTOUCHED, exact=True)
        # With "check" at once, so that before its execve CMD is a program of its own.
        assert re.search(r"[1-9][0-9]{2,} calls answered inside of (1 program|2 programs)\b", done.err), done.err
        (questions,) = re.findall(r"^(\d+) questions$", done.err, re.MULTILINE)
        asked += int(questions)
    print(f"{asked} questions in {SECONDS} s: 0 answers were wrong")


ASKS = "for i in $(seq 20); do test -e /etc/passwd; test -e f; done; "


def as_natively(world: World, files: dict[str, str], script: str, mode: str = "always", view: str = "/") -> str:
    """A shell prints the same in a view, in a directory of its own and with a stub, as in a copy: its statistics."""
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
    box = VIEWS[view](world)
    box.options.append("--stats")
    done = box.run(["sh", "-ec", f"cd {world.mount}; {ASKS}{script}"], env={**world.env, "PTOVERLAY_INJECT": mode})
    assert (done.out, done.status) == (natively.out, natively.status), done.err
    assert_equal("the host changed", before, world.raw_snapshot(world.mount), UNTOUCHED, exact=True)
    assert "answered inside" in done.err, done.err
    return done.err


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_descriptors_that_the_stub_opened_follow_a_copy_up(world: World, mode: str) -> None:
    script = "exec 4<$PWD/f 5<f; /bin/echo new >>$PWD/f; cat <&4; cat <&5"
    as_natively(world, {"f": "old\n"}, script, mode)


#: By vfork in directories of their own, and by fork.
SPAWNS = """
import os, subprocess, sys

os.environ["PATH"] = ":".join(f"{os.getcwd()}/d{number}" for number in range(9))

def spawn(*names, cwd=None):
    for name in names:
        try:
            subprocess.run([name], cwd=cwd, check=True)
        except OSError as error:
            print(name, error.strerror, flush=True)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            try:
                os.chdir(cwd or ".")
                os.execvp(name, [name])
            except OSError as error:
                print(name, error.strerror, flush=True)
            os._exit(1)
        os.waitpid(child, 0)

def put(name, text):
    with open(name, "w") as file:
        print("#!/bin/sh", f"echo {text}", sep="\\n", file=file)
    os.chmod(name, 0o755)

for _ in range(20):
    spawn("nothing")
spawn("prog", "./prog", "d5/prog")
put("d5/prog", "five")
spawn("prog", "./prog", "d5/prog")
spawn("prog", "./prog", "../d5/prog", cwd="d5")
spawn("./prog", "../prog", cwd="d4")
os.rename("d5", "d50")
spawn("prog", "d5/prog", "d50/prog")
os.symlink("../d50/prog", "d3/prog")
spawn("prog")
os.unlink("d50/prog")
spawn("prog", "d3/prog")
put("d8/prog", "eight")
spawn("prog", "f/prog", "")
os.execvp("prog", ["prog"])
"""


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_programs_that_are_not_there(world: World, mode: str) -> None:
    """execve says so inside, in children that have their parent's memory, too."""
    files = {"f": "", "spawns": SPAWNS, **{f"d{number}/x": "" for number in range(9)}}
    err = as_natively(world, files, "exec python3 spawns", mode)
    (trapped,) = re.findall(r"^execve +(\d+)", err, re.MULTILINE)
    assert mode == "check" or int(trapped) < 300, err


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


#: What is known of a directory by its inode, while what leads there changes.
DIRECTORIES = """
import os

def show(what, ask):
    for _ in range(3):
        try:
            print(what, ask(), flush=True)
        except OSError as error:
            print(what, error.strerror, flush=True)

def opened(path, flags, fd=None):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | flags, dir_fd=fd)
    names = sorted(os.listdir(fd))
    os.close(fd)
    return names

def look(fd):
    for name in ("sub", "link", "file", "gone", "."):
        show(name, lambda: oct(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode))
        for flags in (0, os.O_NOFOLLOW):
            show(f"open {name}", lambda: opened(name, flags, fd))
    for path in ("top/sub", "top/sub/", "top/link", "top/link/", "top/file/", "top/gone/", "top/sub//", "/", "", "//"):
        for flags in (0, os.O_NOFOLLOW):
            show(f"open {path}", lambda: len(path) > 2 and opened(path, flags))

here = os.open(".", os.O_RDONLY)
top = os.open("top", os.O_RDONLY)
os.symlink("sub", "top/link")
look(top)
os.chmod("top", 0o755)
look(top)
os.chmod("top", 0o000)
look(top)
os.chmod("top", 0o755)
look(top)
os.rename("top/sub", "top/moved")
look(top)
os.mkdir("top/sub")
look(top)
os.rename("top", "other")
look(top)
os.rename("other", "top")
os.rmdir("top/sub")
os.rename("top/moved", "top/sub")
look(top)
os.unlink("top/link")
os.symlink("../others", "top/link")
look(top)
os.chmod("others", 0o600)
look(top)
"""


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_directories_that_are_known(world: World, mode: str) -> None:
    files = {"f": "", "ask": DIRECTORIES, "top/file": "text", "top/sub/inner": "", "others/one": "", "others/two": ""}
    as_natively(world, files, "exec python3 ask", mode)


@needs_stub
@pytest.mark.parametrize("mode", ["always", "check"])
def test_ways_from_the_host_into_a_view_of_a_part(world: World, mode: str) -> None:
    """Symlinks and ".." of the host's lead there, and later elsewhere."""
    script = """
        show() { for i in 1 2 3; do test -e $1 && cat $1 || printf -; done; }
        host() { show $PWD-link/x; show ../${PWD##*/}/b/x; show $PWD/b/x; show b/x; }
        mkdir $PWD-host; ln -s $PWD/a $PWD-link; host; rm b/x; host; rm $PWD-link; ln -s $PWD/b $PWD-link; host
        printf c >b/x; host; mv a $PWD/c; rm $PWD-link; ln -s $PWD-host $PWD-link; host; printf d >$PWD-host/x; host
        cd $PWD-link; show x; show ../${OLDPWD##*/}/c/x; cd $OLDPWD; rm -r $PWD-link $PWD-host; host"""
    as_natively(world, {"a/x": "a", "b/x": "b"}, script, mode, "part")


@needs_stub
def test_calls_of_a_view_of_a_part_are_not_trapped(world: World) -> None:
    """By paths from the root, from the current directory, and from descriptors."""
    world.lay_out([])
    for number in range(300):
        (world.mount / f"tree/dir{number % 3}").mkdir(parents=True, exist_ok=True)
        (world.mount / f"tree/dir{number % 3}/f{number}").write_text("x")
    box = part(world)
    box.options.append("--stats")
    tree = world.mount / "tree"
    ask = f"cd {tree}; find . -size +9k; stat -c %n dir0/f* {tree}/dir1/f* {tree}/no 2>&-"
    done = box.run(["sh", "-c", ask], env={**world.env, "PTOVERLAY_INJECT": "16"})
    assert len(done.out.splitlines()) == 200, done.err
    trapped = [int(count) for count in re.findall(r"^(?:statx|newfstatat) +(\d+)", done.err, re.MULTILINE)]
    assert sum(trapped) < 120, done.err


@needs_stub
def test_calls_of_a_merged_directory_are_not_trapped(world: World) -> None:
    """As of git status after .git/index was replaced: by names of the directory, of one below it, and of ones gone."""
    world.lay_out([])
    for number in range(400):
        (world.mount / f"tree/dir{number % 2}").mkdir(parents=True, exist_ok=True)
        (world.mount / f"tree/dir{number % 2}/f{number}").write_text("x" * number)
    (world.mount / "tree/.git").mkdir()
    (world.mount / "tree/.git/index").write_text("old")
    (world.mount / "tree/gone").write_text("x")
    if os.geteuid() == 0:
        for path in world.mount.rglob("*"):
            os.chown(path, *world.owner)
    change = "cp .git/index .git/lock; mv .git/lock .git/index; rm gone; printf new >dir0/new"
    asks = "stat -c '%n %s' dir0/f* dir1/f* gone dir0/new 2>&1"
    native = run(["sh", "-c", f"cd {world.mount}/tree; {asks}"]).out
    box = whole(world)
    box.options.append("--stats")
    done = box.run(["sh", "-c", f"cd {world.mount}/tree; {change}; cd ../tree; {asks}"],
                   env={**world.env, "PTOVERLAY_INJECT": "16"})
    files = [line for line in native.splitlines() if "cannot" not in line and "gone" not in line]
    assert [line for line in done.out.splitlines() if "cannot" not in line] == [*files, "dir0/new 3"], done.err
    trapped = [int(count) for count in re.findall(r"^(?:statx|newfstatat) +(\d+)", done.err, re.MULTILINE)]
    assert sum(trapped) < 80, done.err


@needs_stub
@pytest.mark.parametrize("mode", ["16", "check"])
def test_find_is_not_trapped(world: World, mode: str) -> None:
    """Neither of an untouched tree, nor where a file was made, another changed and a third removed."""
    world.lay_out([])
    for number in range(400):
        (world.mount / f"tree/dir{number % 40}/sub").mkdir(parents=True, exist_ok=True)
        (world.mount / f"tree/dir{number % 40}/sub/f{number}").write_text("x" * number)
    if os.geteuid() == 0:
        for path in world.mount.rglob("*"):
            os.chown(path, *world.owner)
    finds = "find . -type f -size +200c -printf '%P %s %i\\n' | sort"
    native = run(["sh", "-c", f"cd {world.mount}/tree; {finds}"]).out.splitlines()
    changed = [line for line in native if not line.startswith("dir1/sub/f2")]
    assert 0 < len(changed) < len(native)
    for change, shown in (("", native), ("mkdir new; rm dir1/sub/f2*; ", changed)):
        box = whole(world)
        box.options.append("--stats")
        done = box.run(["sh", "-c", f"cd {world.mount}/tree; {change}{finds}"],
                       env={**world.env, "PTOVERLAY_INJECT": mode})
        assert done.out.splitlines() == shown, done.err
        trapped = dict(re.findall(r"^(newfstatat|openat|getdents64|fstat) +(\d+)", done.err, re.MULTILINE))
        assert mode == "check" or sum(map(int, trapped.values())) < 150, done.err


BOUND = """
import os, sys
for _ in range(20):
    os.stat("one")
first = os.open("one", os.O_PATH)
with open("one/file", "a") as file:
    file.write("more")
for _ in range(20):
    os.stat("other")
other = os.open("other", os.O_RDONLY)
print([os.stat("file", dir_fd=directory).st_size for directory in (first, other)])
print(os.listdir(other), os.stat("other/file").st_size, os.stat("one/file").st_size)
"""


@needs_stub
@pytest.mark.parametrize("mode", ["0", "always"])
def test_a_directory_in_two_places(world: World, mode: str) -> None:
    """What the host has bound elsewhere is two directories of the view: a change in the one is none in the other."""
    world.lay_out([])
    for name in ("one", "other"):
        (world.mount / name).mkdir()
    (world.mount / "one/file").write_text("text")
    if os.geteuid() == 0:
        for path in world.mount.rglob("*"):
            os.chown(path, *world.owner)
    box = whole(world)
    stage: list[str | Path] = [world.subjects.path("stage"), *([] if world.who.is_root else ["--user-namespace"]),
             "--bind", world.mount / "one", world.mount / "other", "--"]
    words = in_front(world.who, box.wrap([sys.executable, "-c", BOUND], world.mount), stage)
    done = run(words, env={**world.env, "PTOVERLAY_INJECT": mode})
    assert (done.out, done.status) == ("[8, 4]\n['file'] 4 8\n", 0), done.err


@needs_stub
@pytest.mark.parametrize("mode", ["16", "check"])
def test_files_made_in_a_merged_directory_are_answered_inside(world: World, mode: str) -> None:
    """As after a checkout of another branch: new files in the place of the lower's, a copy, and one that is gone."""
    world.lay_out([])
    names = [f"f{number}" for number in range(200)]
    (world.mount / "dir").mkdir()
    for name in names:
        (world.mount / "dir" / name).write_text("old")
    if os.geteuid() == 0:
        for path in (world.mount / "dir", *(world.mount / "dir").iterdir()):
            os.chown(path, *world.owner)
    (world.home / "change").write_text(
        f"cd dir; rm {' '.join(names[:100])}; for i in $(seq 0 99); do printf newer >f$i; done\n"
        ": >f7; printf x >>f150; rm f151\n")
    (world.home / "ask").write_text(
        "for (@ARGV) { print -e $_ && -s $_ ? '' : s{dir/}{}r . ' '; print <F> if open F, '<', $_ } print qq{\n}; ")
    asks = "".join(f"perl {world.home}/ask {' '.join(before + name for name in names)}; cd {world.mount}; "
                   for before in ("", "dir/"))
    box = whole(world)
    box.options.append("--stats")
    done = box.run(["sh", "-c", f"cd {world.mount}; (. {world.home}/change); cd dir; {asks}"],
                   env={**world.env, "PTOVERLAY_INJECT": mode})
    shown = ["newer" if number < 100 else "old" for number in range(200)]
    shown[7], shown[150], shown[151] = "f7 ", "oldx", "f151 "
    assert done.out.splitlines() == ["".join(shown)] * 2, done.err
    rows = dict(re.findall(r"^(newfstatat|openat) +(\d+)", done.err, re.MULTILINE))
    assert mode == "check" or (int(rows["newfstatat"]) < 400 and int(rows["openat"]) < 300), done.err


@needs_stub
@pytest.mark.parametrize("case", ["bad_pointers", "flags", "signals", "jumps", "threads", "cancellation", "directories",
                                  "own_filter", "little_memory", "not_restarted", "profiled", "after_threads",
                                  "wanted_place", "under_filter", "actions", "spawns"])
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
    answered = re.search(r"^[1-9]\d* calls? answered inside", done.err, re.MULTILINE) is not None
    if case == "cancellation":  # though they are cancellation points
        assert sum(int(count) for count in re.findall(r"^openat +(\d+)", done.err, re.MULTILINE)) < 300, done.err
    assert answered == (case != "under_filter"), done.err


@needs_stub
@pytest.mark.parametrize("trap", ["notify"], indirect=True)
def test_who_spawns_has_few_calls_trapped(world: World) -> None:
    """Children set all their signals; only where a handler comes to be that matters to the supervisor it is asked."""
    world.lay_out([])
    (world.mount / "file").write_text("text")
    box = whole(world)
    box.options.append("--stats")
    done = box.run([world.subjects.path("untouched_robust", "-pthread"), "spawns", world.mount], env=world.env)
    answered = re.search(r"^(\d+) calls? answered inside of 1 program", done.err, re.MULTILINE)
    assert answered, done.err
    assert int(answered[1]) > 9 * 60, done.err


HAS_STUB = """
import os, sys
for _ in range(50):
    os.path.exists("/etc/passwd")
sys.stdout.flush()
try:
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(0x7e9000000000)
        print(os.getuid(), memory.read(8))
except OSError:
    print(os.getuid(), "none")
"""


@needs_stub
def test_other_users_have_none(world: World) -> None:
    """What stubs note all of them can write: a program of another user's would mislead those of the run's own."""
    world.lay_out([])
    box = whole(world)
    python = ["/usr/bin/python3", "-c", HAS_STUB]
    done = box.run(python, env=world.env)
    assert (done.out, done.status) == (f"{world.who.uid} b'ptostub1'\n", 0), done.err
    if world.who.is_root:
        done = box.run(["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups", *python], env=world.env)
        assert (done.out, done.status) == ("1234 none\n", 0), done.err


UNWINDS = r"""
#include <execinfo.h>
#include <signal.h>
#include <stdexcept>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
static volatile sig_atomic_t seen;
static void on_signal(int) {
    void *frames[64];
    seen += backtrace(frames, 64) > 1;  // at least the handler, and who was interrupted
}
static void ask_and_throw(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0)
        throw std::runtime_error("missing");
}
int main(int argc, char **argv) {
    int caught = 0;
    struct sigaction action = {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    void *first[4];
    backtrace(first, 4);                // loads what it needs
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    for (int i = 0; i < 3000 || seen < 5; i++)
        try {
            ask_and_throw(argv[1 + i % 2]);
        } catch (const std::runtime_error &) {
            caught += i < 3000;
        }
    setitimer(ITIMER_PROF, &never, NULL);
    printf("%d caught\n", caught);
}
"""


@needs_stub
@pytest.mark.debian("g++")
def test_backtraces_and_exceptions(world: World) -> None:
    """Exceptions of functions that have called the stub, and backtraces from a profiler's signal at any place."""
    world.lay_out([])
    (world.home / "unwinds.cc").write_text(UNWINDS)
    program = world.home / "unwinds"
    assert run(["g++", "-O1", "-o", program, world.home / "unwinds.cc"], timeout=120).status == 0
    (world.mount / "file").write_text("x")
    box = whole(world)
    box.options.append("--stats")
    done = box.run([program, world.mount / "file", world.mount / "none"], env=world.env)
    assert (done.out, done.status) == ("1500 caught\n", 0), done.err
    assert "calls answered inside" in done.err, done.err


@needs_stub
@pytest.mark.debian("gdb", "strace")
def test_debuggers_see_all_calls(world: World) -> None:
    """A program that is traced inside answers no call itself; one that is caught in a function goes on."""
    world.lay_out([])
    if world.trap == "ptrace":
        return  # nobody but the supervisor traces
    (world.mount / "file").write_text("x")
    asks = f"for i in $(seq 100); do test -e {world.mount}/file; done"
    told = whole(world).run(["strace", "-f", "-e", "trace=%file", "sh", "-c", asks], env=world.env).err
    assert told.count(f'"{world.mount}/file"') >= 100, told[-2000:]
    late = f"strace -qq -o $TMPDIR/told -p $$ & until grep -qs '{world.mount}/file' $TMPDIR/told; do " \
           f"test -e {world.mount}/file; done; kill $!; wait; echo over"
    done = whole(world).run(["sh", "-c", f"{asks}; {late}"], env=world.env)
    assert (done.out, done.status) == ("over\n", 0), done.err
    broken = ["gdb", "-q", "-batch", "-ex", "set breakpoint pending on", "-ex", "break stat64", "-ex",
              "break fstatat64", "-ex", "run", "-ex", "bt 1", "-ex", "delete", "-ex", "continue", "--args", "dash",
              "-c", asks]
    told = whole(world).run(broken, env=world.env, timeout=120).out
    assert "\nBreakpoint 2, " in told, told
    assert "exited normally" in told, told


@needs_stub
def test_option(world: World) -> None:
    """It is done without being asked for, but not with --no-inject, nor with --trace, which says so."""
    world.lay_out([])
    env = {name: value for name, value in world.env.items() if name != "PTOVERLAY_INJECT"}
    asks = ["sh", "-c", f"{ASKS}:"]
    told = {}
    for options in ((), ("--no-inject",), ("-v", "--trace", str(world.home / "trace"))):
        box = whole(world)
        box.options += ["--stats", *options]
        done = box.run(asks, env=env)
        assert (done.status, done.out) == (0, ""), done.err
        told[len(options)] = ("calls answered inside" in done.err, "--trace: no call is answered inside" in done.err)
    assert told == {0: (True, False), 1: (False, False), 3: (False, True)}
