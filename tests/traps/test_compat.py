"""Calls of the 32-bit architecture: i386 programs on x86-64, and int 0x80 from 64-bit code.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support.box import force_inside
from support.compare import LISTED, all_of, assert_lines
from support.trees import Node
from support.world import World

pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the 32-bit gate is of x86-64"),
    pytest.mark.debian("gcc", "libc6-dev-i386", "lib32gcc-12-dev", "linux-libc-dev"),
]

HEADERS = Path("/usr/include/x86_64-linux-gnu")
#: Without gcc-multilib, which Debian cannot have beside the compilers for other machines, gcc does not look there.
FLAGS = ("-m32", "-D_FILE_OFFSET_BITS=64", f"-I{HEADERS}")
TABLE = Path(__file__).resolve().parents[2] / "csrc/calls/compat_table.c"
#: From here on a call has the same number on all machines.
SAME_EVERYWHERE = 424
#: What an ordinary user's run leaves otherwise, as in test_calls.py.
USER_DIFFERENCES = (r"^noaccess$", r"^setgid/socket$")


def headers(name: str) -> dict[str, int]:
    """Numbers of calls by name, of asm/NAME."""
    text = (HEADERS / "asm" / name).read_text()
    return {call: int(nr) for call, nr in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.MULTILINE)}


def test_numbers_are_the_kernels() -> None:
    """The table has each call of the headers by its number; from 424 on both architectures have the same."""
    kernel, own = headers("unistd_32.h"), headers("unistd_64.h")
    rows = re.findall(r"\b(?:SAME|AS|FREE|REFUSED|SOCKETS)\((\d+), (\w+)", TABLE.read_text())
    table = {call: int(nr) for nr, call in rows}
    assert len(table) == len(rows)
    assert table == {call: nr for call, nr in kernel.items() if nr < SAME_EVERYWHERE}
    later = {call: nr for call, nr in kernel.items() if nr >= SAME_EVERYWHERE}
    assert later == {call: own[call] for call in later}


@pytest.mark.parametrize("subject", ["stat", "fdmeta", "times", "socket", "readdir"])
def test_subject(world: World, subject: str) -> None:
    """What a 32-bit build of a subject gets is what it gets natively."""
    world.lay_out_standard(subject)
    program = [world.subjects.path(subject, *FLAGS), world.mount]
    plain = world.plain().check(program, env=world.env)
    box = world.box().check(program, env=world.env)
    all_of(
        lambda: assert_lines(f"{subject} in ptoverlay", plain, box, LISTED["box"], subject, world.who.name),
        lambda: world.assert_same_tree(ignore=() if world.who.is_root else USER_DIFFERENCES),
    )


def test_programs(world: World) -> None:
    """32-bit programs, static and with an interpreter that the view alone has, are started by 64-bit programs and by
    such as they are, and start 64-bit ones; scripts too."""
    static, dynamic = (world.subjects.path("show", *FLAGS, *more, static=not more).read_bytes()
                       for more in ((), (f"-Wl,--dynamic-linker={world.mount}/ld.so",)))
    world.lay_out([
        Node("ld.so", mode=0o755, content=Path("/lib/ld-linux.so.2").read_bytes()),
        Node("static", mode=0o755, content=static),
        Node("dynamic", mode=0o755, content=dynamic),
        Node("wide", mode=0o755, content=world.subjects.path("show").read_bytes()),
        Node("start", mode=0o755, content=world.subjects.path("start", *FLAGS).read_bytes()),
        Node("script", mode=0o755, content=f"#!{world.mount}/static one\n".encode()),
        Node("around", mode=0o755, content=f"#!{world.mount}/start {world.mount}/script\n".encode()),
    ])
    script = "for i in static dynamic wide script around; do ./$i 1 2; ./start ./$i 3; done; ./start /bin/echo 4"
    command = ["sh", "-c", script]
    plain = world.plain().check(command, env=world.env, cwd=world.mount)
    assert plain.endswith("\n4\n")
    assert world.box().check(command, env=world.env, cwd=world.mount) == plain
    world.assert_lowers_untouched()


@pytest.mark.parametrize("how", ["first", "thread"])
def test_gate(world: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes something by int 0x80 changes the view as it changes a plain directory, and never the host: of
    all threads, with answers inside and without."""
    force_inside(world.who, monkeypatch)
    world.lay_out([Node("d", "dir", 0o755), Node("e", content=b"e"), Node("f", content=b"lower"),
                   Node("l", "link", target="f")])
    program = [str(world.subjects.path("gate")), str(world.mount), how]
    plain = world.plain().check(program, env=world.env)
    assert "truncate64 = 0" in plain
    assert world.box().check(program, env=world.env) == plain
    world.assert_same_tree()


def test_refused(world: World) -> None:
    """What no handler knows is refused, and said once."""
    world.lay_out([Node("f", content=b"lower")])
    done = world.box().run([world.subjects.path("gate"), world.mount, "refused"], env=world.env)
    found = dict(line.split(" = ") for line in done.out.splitlines())
    assert found.pop("open_by_handle_at") == "-22"    # a handle of no bytes
    assert set(found.values()) == {"-38"}
    assert len(found) == 6
    told = [line for line in done.err.splitlines() if line.startswith("ptoverlay: ")]
    assert len(told) == 1
    why = "a 32-bit call that is not known here is refused with ENOSYS: run a 64-bit build of it"
    assert re.fullmatch(rf"ptoverlay: gate \(process \d+\): {why}", told[0])
    world.assert_lowers_untouched()


def test_fake_root(world: World) -> None:
    """With --fake-root a 32-bit program is told what a 64-bit one is: root, then whom it has made itself."""
    world.lay_out([Node("f", content=b"lower")])
    expected = ["start 0 0 0, group 0", "told 0 0, secure 0", "chown 0: 1 2", "set 0 0", "then 7 7 7, group 5",
                "peer 7"]
    for flags in ((), FLAGS):
        program = [world.subjects.path("who", *flags), world.mount / "f"]
        assert world.box("--fake-root").check(program, env=world.env).splitlines() == expected
    world.assert_lowers_untouched()
