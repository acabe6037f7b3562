"""What is answered inside of programs (csrc/untouched): the same answers as natively, and how many calls are left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.box import Box
from support.snapshot import UNTOUCHED, assert_equal
from support.world import World

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="this machine has no stub")


def lay_out(world: World) -> Path:
    """The tree that the subject asks about, below the host's own place, and a copy of it."""
    world.lay_out([])
    for top in (world.mount, world.home / "copy"):
        (top / "sub").mkdir(parents=True)
        for name, text in (("file", "text"), ("empty", ""), ("sub/inner", "x"), ("gone", "gone"), ("named", "named")):
            (top / name).write_text(text)
        for name, target in (("link", "file"), ("dangling", "nothing"), ("gone-link", "/target/of/it")):
            (top / name).symlink_to(target)
        os.setxattr(top / "named", "user.name", b"value")
        if os.geteuid() == 0:
            for path in (top, *top.rglob("*")):
                os.chown(path, *world.owner, follow_symlinks=False)
    return world.home / "copy"


def whole(world: World, mode: str, *command: str | Path) -> tuple[str, dict[str, int], str]:
    """What the command prints over all of / with a stub in it; how many of each call were trapped; what is told."""
    box = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    box.options.append("--stats")
    done = box.run(command, env={**world.env, "PTOVERLAY_INJECT": mode})
    assert done.status == 0, done.err
    trapped = {call: int(n) for call, n in re.findall(r"^(\w+) +(\d+) ", done.err, re.MULTILINE)}
    return done.out, trapped, done.err


#: Of 60 rounds: how many of these calls are trapped at most, where a stub comes in.
LEFT = {
    "answers": {"getxattr": 900, "lgetxattr": 40, "listxattr": 80, "llistxattr": 40, "statx": 220, "newfstatat": 200,
                "access": 600, "faccessat": 300, "openat": 200, "total": 2400},
    "descriptors": {"newfstatat": 20, "fstat": 20},
    "current": {"getcwd": 220},
    "buffers": {"total": 9000},
}


@pytest.mark.parametrize("case", LEFT)
@pytest.mark.parametrize("mode", ["always", "check"])
def test_as_natively(world: World, case: str, mode: str) -> None:
    copy = lay_out(world)
    program = world.subjects.path("inside", static=False)
    before = world.raw_snapshot(world.mount)
    out, trapped, told = whole(world, mode, program, case, world.mount)
    native = Box.run_as(world.who, [program, case, copy], world.env)
    assert (out, native.status) == (native.out, 0)
    assert_equal("the host changed", before, world.raw_snapshot(world.mount), UNTOUCHED, exact=True)
    if "answered inside" in told:
        assert "compared" not in told or ", 0 different" in told
        over = {call: n for call, n in trapped.items() if mode == "always" and n > LEFT[case].get(call, 1000)}
        assert not over


#: In a directory that is made in the run: names of it by relative and absolute paths, through links and descriptors.
CHANGES = """
    show() { for i in 1 2 3; do for p in "$@"; do
        if [ -d $p ]; then printf "$p:"; (cd $p && printf '%s ' *); elif read line <$p; then printf "$p=$line "
        else printf "$p! "; fi; done; done 2>/dev/null; echo; }
    below() { (cd $1 && shift && show "$@") 2>/dev/null || :; }
    all() { show own/x own/sub/y own/none own/l/y $PWD/own/x $PWD/own/sub/y $PWD/own/l/y $PWD/own/sub
            below own x sub/y l/y sub ./x sub/../x ../file; below own/sub y ../x
            find own 2>/dev/null | sort; ls -ln own 2>/dev/null | wc -l; }
    mkdir -p own/sub own/other; echo x >own/x; echo y >own/sub/y; echo z >own/other/y; ln -s sub own/l; all
    ln -sfn other own/l; all; ln -sfn $PWD/own/sub own/l; all
    echo new >own/x; rm own/sub/y; all; mv own/other/y own/sub/y; all
    i=$(stat -c %i file); mv file own/x; all; [ $(stat -c %i own/x) = $i ] && echo same; stat -c %h,%s,%U,%a own/x
    ln own/x own/sub/hard; rm own/x; ln own/sub/hard own/x; stat -c %h own/x own/sub/hard; all
    mv own/sub own/moved; all; show own/moved/y; mv own/moved own/sub; all; rm -r own/sub; all
    mkdir own/sub; echo again >own/sub/y; all; mv own renamed; all; show renamed/x; mv renamed own; all
    mv sub own/lower 2>/dev/null || cp -r sub own/lower; show own/lower/inner own/lower; all
    cp named own/attributes; chmod 600 own/x; stat -c %a own/x; touch -d @5 own/x; stat -c %Y own/x
    rm -r own; all; mkdir own; all; echo x >own/x; all
    mkdir gone.d; echo a >gone.d/a; show gone.d/a $PWD/gone.d/a; rm -r gone.d; show gone.d/a $PWD/gone.d/a
    rm -r deep; mkdir deep; echo n >deep/n; show deep/n deep/old $PWD/deep/old $PWD/deep/n deep
"""


@pytest.mark.parametrize("mode", ["always", "check"])
def test_what_only_the_upper_has(world: World, mode: str) -> None:
    """A shell sees what it would in a copy while what it has made changes in all ways."""
    copy = lay_out(world)
    for top in (world.mount, copy):
        (top / "deep").mkdir()
        (top / "deep/old").write_text("old\n")
        if os.geteuid() == 0:
            for path in (top / "deep", top / "deep/old"):
                os.chown(path, *world.owner)
    before = world.raw_snapshot(world.mount)
    native = Box.run_as(world.who, ["sh", "-ec", f"cd {copy}; {CHANGES}"], world.env)
    out, trapped, told = whole(world, mode, "sh", "-ec", f"cd {world.mount}; {CHANGES}")
    assert (out.replace(str(world.mount), str(copy)), native.status) == (native.out, 0)
    assert_equal("the host changed", before, world.raw_snapshot(world.mount), UNTOUCHED, exact=True)
    if "answered inside" in told:
        assert "compared" not in told or ", 0 different" in told
        assert mode == "check" or trapped["newfstatat"] < 2500


def test_programs_known_to_ask_much(world: World) -> None:
    """They get a stub at their first call; who asks little gets none, also who asked much some time ago."""
    lay_out(world)
    much = "i=0; while [ $i -lt 40 ]; do [ -e /usr/none$i ]; i=$((i + 1)); done"
    lists = "i=0; while [ $i -lt 20 ]; do ls -l /etc >/dev/null; i=$((i + 1)); done"
    little = f"i=0; while [ $i -lt 4 ]; do sh -c '{much}'; i=$((i + 1)); done; " \
             "while [ $i -lt 40 ]; do sh -c :; i=$((i + 1)); done"
    _, trapped, told = whole(world, "16", "sh", "-c", lists)
    if "answered inside" not in told:
        return
    assert trapped["total"] < 20 * 16
    _, trapped, told = whole(world, "16", "sh", "-c", little)
    programs = re.search(r"answered inside of (\d+) programs", told)
    assert programs
    assert 4 <= int(programs[1]) <= 10, told


@pytest.mark.parametrize("mode", ["16", "check"])
def test_no_answer_about_the_upper_is_older_than_the_last_change(world: World, mode: str) -> None:
    """Eight threads ask while names change that only the upper has."""
    world.lay_out([])
    world.mount.chmod(0o777)
    program = world.subjects.path("untouched_race", static=False)
    make = f"""umask 022; mkdir -p own/dir; printf ttt >own/target; {program} own list | while read way form; do
        for i in $(seq 0 23); do [ $i -lt 12 ] && n=own/$way-$i || n=own/dir/$way-$i
        case $form in file) printf o >$n;; empty) mkdir $n;; parent) mkdir $n; printf o >$n/x;; esac; done; done"""
    out, _, told = whole(world, mode, "sh", "-ec", f"cd {world.mount}; {make}; exec {program} $PWD/own")
    assert out == "asked wrong 0\n", told
    assert "compared" not in told or ", 0 different" in told


@pytest.mark.parametrize("case", ["ends", "vfork", "execs", "stops"])
def test_while_other_things_happen(world: World, case: str) -> None:
    """Processes get a stub while threads of theirs end or execute, others run in their memory, or they are stopped."""
    world.lay_out([])
    (world.mount / "file").write_text("abc")
    out, _, told = whole(world, "always", world.subjects.path("untouched_storm"), case, world.mount / "file")
    assert out == "0 of 60\n", told
