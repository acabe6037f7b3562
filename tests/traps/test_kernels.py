"""Older kernels, as subjects/oldkernel.c makes them: what a run does there is right, by the traps that they have.

Others are booted by tools/vm; this is what each push can see of them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY, command, in_front, messages
from support.oracle import Done, Kernel, Who, as_user, run
from support.sandboxes import Tool
from support.snapshot import TREE, assert_equal
from support.subjects import Subjects
from support.trees import Node
from support.world import KEPT, World

#: What auto takes there.
TRAPS = {"4.18": "ptrace", "5.4": "ptrace", "5.10": "ptrace", "5.15": "ptrace", "6.1": "ptrace"}

#: What a view is for, each line as a program would do it.
CHANGES = """
import errno, fcntl, os, socket, subprocess

def told(what, *arguments):
    try:
        return what(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]

def sh(script):
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True).stdout.split()

print("copy-up", sh("echo more >>dir/file; cat dir/file"))
print("whiteout", sh("rm gone; ls -A; cat gone || echo none; echo again >gone; cat gone; rm gone"))
print("opaque", sh("rm -r tree; mkdir tree; ls -A tree; echo new >tree/new; ls -A tree"))
print("rename", told(os.rename, "dir", "moved"), sh("cat moved/file moved/sub/deep; ls -A; mkdir dir; ls -A dir"))
print("rename back", told(os.rename, "moved", "dir/moved"), sh("cat dir/moved/sub/deep"))
print("link", told(os.link, "file", "linked"), os.stat("file").st_nlink)
print("modes", told(os.chmod, "script", 0o711), oct(os.stat("script").st_mode), sh("./script"))
print("attribute", told(os.setxattr, "file", "user.name", b"value"), told(os.getxattr, "file", "user.name"))
print("lists", sorted(os.listdir("merged")), sh("rm merged/a; echo >merged/c; ls -A merged"))
print("held", sh("exec 3<held; read line <&3; echo longer than it was >held; cat <&3; echo $line"))

one = os.open("lock", os.O_RDONLY)
print("shared by dup", told(fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB))
other = os.open("lock", os.O_RDWR)
print("flock", told(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB))
os.write(other, b"written")
print("reads", os.read(one, 100))

server = socket.socket(socket.AF_UNIX)
print("bind", told(server.bind, "socket"), told(server.listen), server.getsockname())
client = socket.socket(socket.AF_UNIX)
print("connect", told(client.connect, "socket"), os.path.exists("socket"))
"""


#: openat2, faccessat2, fchmodat2, setxattrat and its kin; the arguments are nonsense.
NEWER = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
for number in (437, 439, 452, 463, 464, 465, 466, 470, 471):
    libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, (-1, 0, 0, 0, 0, 0)))
    print(number, ctypes.get_errno() == errno.ENOSYS)
"""


def numbers(kernel: str) -> tuple[int, int]:
    major, minor = kernel.split(".")
    return int(major), int(minor)


def on(kernel: str, world: World, words: Sequence[str], *options: str) -> Done:
    """Runs the command in the box as if under that kernel."""
    return run(prefixed(kernel, world, world.box(*options).wrap(words, world.mount)), env=world.env, timeout=60)


def prefixed(kernel: str, world: World, wrapped: Sequence[str]) -> list[str]:
    """A command that begins as `who`, under that kernel."""
    return in_front(world.who, wrapped, [world.subjects.path("oldkernel"), kernel])


def tree() -> list[Node]:
    files = ["dir/file", "dir/sub/deep", "gone", "tree/old", "tree/sub/old", "file", "merged/a", "merged/b", "held",
             "lock"]
    directories = ["dir", "dir/sub", "tree", "tree/sub", "merged"]
    return [Node(".", "dir", 0o755), *(Node(name, "dir", 0o755) for name in directories),
            *(Node(name, content=f"{name}\n".encode()) for name in files),
            Node("script", mode=0o755, content=b"#!/bin/sh\necho ran\n")]


def assert_lower_agrees(world: World) -> None:
    """The whiteouts are marked files, which the kernel reads in a lower: with the layer as one it shows the tree."""
    assert any("user.overlay.whiteout=" in x for e in world.raw_snapshot(world.upper).values() for x in e.xattrs)
    expected = world.plain().snapshot()
    assert_equal("ptoverlay shows another tree", expected, world.box().snapshot(), TREE)
    if os.geteuid() != 0:
        return   # only root can have the kernel follow redirects
    layer = world.trusted_copy("layer")
    lowers = Kernel(world.subjects, world.who, world.mount, [layer, *world.lowers], None, None)
    assert_equal("the kernel's overlayfs sees another tree", expected, lowers.snapshot(), TREE, ignore=KEPT)


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("kernel", TRAPS)
def test_changes(world: World, kernel: str) -> None:
    """By what auto takes: the same answers as on a plain copy, the trap, and a layer that the kernel reads."""
    world.lay_out(tree())
    plain = world.plain().check(["/usr/bin/python3", "-c", CHANGES], env=world.env)
    done = on(kernel, world, ["/usr/bin/python3", "-c", CHANGES], "-v", "--strict")
    assert (done.status, done.out) == (0, plain), done.err
    assert messages(done) == [f"ptoverlay: /usr/bin/python3: ran with the {TRAPS[kernel]} trap"]
    if world.who.is_root or numbers(kernel) >= (5, 8):
        world.assert_same_tree()
    else:
        assert_lower_agrees(world)


@pytest.mark.parametrize("trap", ["notify"], indirect=True)
@pytest.mark.parametrize("kernel", [name for name in TRAPS if numbers(name) < (5, 19)])
def test_notify_that_is_not_there(world: World, kernel: str) -> None:
    """Who asks for it is told what it needs, and what to do."""
    world.lay_out(tree())
    done = on(kernel, world, ["/bin/true"])
    assert (done.status, done.err) == (125, "ptoverlay: user notification: Invalid argument (the notify trap needs "
                                            "Linux 5.19 or newer: --trap ptrace)\n")


@pytest.mark.parametrize("trap", ["notify"], indirect=True)
def test_notify_of_6_1(world: World) -> None:
    """It works without FD_SYNC_WAKE_UP for who asks for it."""
    world.lay_out(tree())
    plain = world.plain().check(["/usr/bin/python3", "-c", CHANGES], env=world.env)
    done = on("6.1", world, ["/usr/bin/python3", "-c", CHANGES], "-v", "--strict")
    assert (done.status, done.out) == (0, plain), done.err
    assert messages(done) == ["ptoverlay: /usr/bin/python3: ran with the notify trap"]


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("kernel", ["5.4", "6.1", "99.0"])
def test_calls_that_the_kernel_lacks(world: World, kernel: str) -> None:
    """They are ENOSYS in the view too; on a kernel of tomorrow those are there that this one has."""
    world.lay_out(tree())
    words = ["/usr/bin/python3", "-c", NEWER]
    native = run(prefixed(kernel, world, [*as_user(world.who), *words]), env=world.env)
    done = on(kernel, world, words)
    assert (done.status, done.out) == (0, native.out), done.err


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the 32-bit gate is of x86-64")
@pytest.mark.parametrize("trap", ["auto"], indirect=True)
def test_the_32_bit_gate_of_4_18(world: World) -> None:
    """Registers do not tell by which table a number goes: the filter does, and the view is changed and not the host."""
    world.lay_out_standard()
    done = on("4.18", world, [str(world.subjects.path("refused", "-no-pie")), str(world.mount), "int80"])
    assert (done.status, done.out.count(" = ")) == (0, 4), done.err
    assert " = -" not in done.out
    world.assert_lowers_untouched()


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("kernel", ["4.18", "5.2"])
def test_signals(world: World, kernel: str) -> None:
    """Without pidfds, too, the command gets what is sent to ptoverlay."""
    world.lay_out(tree())
    script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done"
    words = prefixed(kernel, world, world.box().wrap(["/bin/sh", "-c", script], world.mount))
    with subprocess.Popen(words, env=world.env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.read() == "got it\n"
    assert process.returncode == 7


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
def test_a_run_inside_a_run(world: World) -> None:
    """It needs pidfds: one line that says so."""
    world.lay_out(tree())
    done = on("4.18", world, [*command(), "--", "true"])
    assert (done.status, done.err) == (125, "ptoverlay: run inside a run: Function not implemented (it needs Linux 5.3 "
                                            "or newer)\n")


@pytest.mark.parametrize("kernel", ["4.18", "5.10"])
def test_a_sandbox(area: Path, who: Who, subjects: Subjects, kernel: str) -> None:
    """Its supervisor is there at once where descriptors have to be closed one by one (before 5.9), too."""
    tool = Tool(area, who)
    (tool.lower / "file").write_text("old\n")
    os.chown(tool.lower / "file", who.uid, who.gid)
    words = tool.words("run", "--name", "trial", "-l", str(tool.lower), "-m", str(tool.lower), "--", "sh", "-c",
                       f"echo new >{tool.lower}/file; cat {tool.lower}/file")
    done = run(in_front(who, words, [subjects.path("oldkernel"), kernel]), env=tool.env, timeout=30)
    assert (done.status, done.out, done.err) == (0, "new\n", "")
    assert (tool.lower / "file").read_text() == "old\n"


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
def test_check_tells_the_marks(world: World) -> None:
    """Before 5.8 an ordinary user makes no devices 0/0."""
    world.lay_out(tree())
    told = run(prefixed("5.4", world, [*as_user(world.who), *command(), "--check"]), env=world.env, timeout=60).out
    expected = "ok  whiteouts: devices 0/0 can be made" if world.who.is_root else (
        "no  whiteouts: devices 0/0: Operation not permitted; they are files with an attribute; lost: ")
    assert expected in told
    assert "\nno  pidfd_getfd: Function not implemented; lost: watches (inotify)" in told
    assert told.endswith("\na run will work, with the ptrace trap\n")


def test_the_page_of_machines() -> None:
    """It says of each of these kernels which trap is taken, and its table names each that tools/vm boots, and when."""
    page = (ROOT_DIRECTORY / "docs/machines.rst").read_text()
    assert dict(re.findall(r"^(\d+\.\d+) +``(\w+)``", page, re.MULTILINE)) == {**TRAPS, "6.6": "notify"}
    assert "\n.. include:: machines-table.inc\n" in page
    source = (ROOT_DIRECTORY / "tools/guest/matrix.py").read_text()
    rows = re.findall(r'\("([\w.]+)", "(\w+)"\)', source[source.index("\nROWS = "):source.index("\nPYTEST = ")])
    table = (ROOT_DIRECTORY / "docs/machines-table.inc").read_text()
    assert len(rows) >= 6
    ran = r"^([\w.]+) +\S+ +(\w+) +(?:20\d\d-\d\d-\d\d +``(?:notify|ptrace)``|not run)"
    assert re.findall(ran, table, re.MULTILINE) == rows
