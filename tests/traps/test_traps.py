"""Which trap a run takes, and what it does where a container's profile refuses calls that it wants.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable

import pytest
from support import box
from support.box import force_inside
from support.compare import LISTED, assert_lines
from support.oracle import Done, run
from support.trees import Node
from support.world import World

_X86 = os.uname().machine == "x86_64"
IOCTL = 16 if _X86 else 29
RELEASE = [int(number) for number in re.findall(r"\d+", os.uname().release)[:2]]
PTRACE = 101 if _X86 else 117
PIDFD_OPEN, PIDFD_GETFD = 434, 438
PROCESS_VM_READV = 310 if _X86 else 270
# linux/seccomp.h
ADDFD = f"{IOCTL}:{0x40182103:#x}"
SET_FLAGS = f"{IOCTL}:{0x40082104:#x}"
EXECUTED = "#!/bin/sh\ncp file copy && echo changed > file && cat copy file\n"


@pytest.fixture
def small(world: World) -> World:
    """A file, and a lower script that changes it by copies and redirections, executed as a program of the upper."""
    world.lay_out([Node(".", "dir", 0o755), Node("file", content=b"lower\n"),
                   Node("script", mode=0o755, content=EXECUTED.encode())])
    return world


def forbidden(world: World, refused: Iterable[str], trap: str, *command: str) -> Done:
    """Runs the command under a profile that refuses these calls."""
    wrapped = world.box("-v", "--trap", trap).wrap(command, world.mount)
    profile = [str(world.subjects.path("forbid")), ",".join(refused)]
    return run(box.in_front(world.who, wrapped, profile), env=world.env, timeout=60)


def trap_of(done: Done) -> str:
    """As -v tells it."""
    assert done.status == 0, done.err
    told = [line for line in done.err.splitlines() if line.endswith(" trap")]
    assert len(told) == 1, done.err
    return told[0].split()[-2]


@pytest.mark.quick
@pytest.mark.parametrize("trap", ["auto"], indirect=True)
def test_auto_is_notify(small: World) -> None:
    """Where nothing is in the way (Linux 6.6 and newer, x86-64, no Yama)."""
    expected = "notify" if _X86 and RELEASE >= [6, 6] and "notify" in box.traps() else "ptrace"
    done = small.box("-v").run(["./script"], env=small.env)
    assert (trap_of(done), done.out) == (expected, "lower\nchanged\n")


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", [ADDFD, SET_FLAGS], ids=["ADDFD", "SET_FLAGS"])
def test_auto_falls_back(small: World, call: str, error: int) -> None:
    """A profile that refuses what only the notify trap wants: ptrace is taken, without a word."""
    done = forbidden(small, [f"{call}={error}"], "auto", "./script")
    assert (trap_of(done), done.out) == ("ptrace", "lower\nchanged\n")
    assert len(box.messages(done)) == 1, done.err


@pytest.mark.parametrize("trap", ["notify"], indirect=True)
def test_notify_is_as_wanted(small: World) -> None:
    """Who asks for it gets it without SYNC_WAKE_UP too, which only makes it faster; without ADDFD it is refused."""
    done = forbidden(small, [f"{SET_FLAGS}={errno.EINVAL}"], "notify", "./script")
    assert (trap_of(done), done.out) == ("notify", "lower\nchanged\n")
    done = forbidden(small, [f"{ADDFD}={errno.EPERM}"], "notify", "./script")
    assert (done.status, done.out) == (125, "")
    assert re.fullmatch(r"ptoverlay: user notification: Operation not permitted \(.+\)\n", done.err)


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", [PTRACE, PROCESS_VM_READV], ids=["ptrace", "process_vm_readv"])
@pytest.mark.parametrize("trap", ["auto", "ptrace", "notify"], indirect=True)
def test_nothing_works_without(small: World, call: int, error: int) -> None:
    """Both traps need these: one line that names the call and a remedy, and no command that half works."""
    done = forbidden(small, [f"{call}={error}"], small.trap, "/bin/sh", "-c", "echo ran")
    name = "ptrace" if call == PTRACE else "process_vm_readv"
    assert (done.status, done.out) == (125, "")
    assert re.fullmatch(rf"ptoverlay: {name}: {os.strerror(error)} \(.+\)\n", done.err), done.err


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
def test_without_pidfd_getfd(small: World, error: int) -> None:
    """pidfd_getfd is a short way only: names of sockets of the view work without it, by both traps."""
    bind = ("import socket, os; s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); "
            "c = socket.socket(socket.AF_UNIX); c.connect('sock'); print(s.getsockname(), c.getpeername(), "
            "os.path.exists('sock'))")
    done = forbidden(small, [f"{PIDFD_GETFD}={error}"], small.trap, "/usr/bin/python3", "-c", bind)
    assert (trap_of(done), done.out) == (small.trap, "sock sock True\n")
    assert not (small.lowers[0] / "sock").exists()


@pytest.mark.parametrize("subject", ["readdir", "socket"])
def test_subjects_without_pidfd_getfd(world: World, subject: str) -> None:
    """Positions in merged directories and names of sockets are right without it, but for a name that is cut: of that
    the kernel tells nothing to go by."""
    world.lay_out_standard(subject, split=True)
    program = str(world.subjects.path(subject))
    plain = world.plain().check([program, world.mount], env=world.env)
    done = forbidden(world, [f"{PIDFD_GETFD}={errno.EPERM}"], world.trap, program, str(world.mount))
    assert trap_of(done) == world.trap
    expected, found = ("".join(line for line in text.splitlines(True) if "sockname cut" not in line)
                       for text in (plain, done.out))
    assert_lines(f"{subject} in ptoverlay", expected, found, LISTED["box"], subject, world.who.name)


def test_affinity_is_the_tracees_own(world: World) -> None:
    """Busy tracees are spread over the CPUs; neither they nor what they start sees anything of that."""
    world.lay_out([Node(".", "dir", 0o755), Node("file")])
    assert world.box().check([world.subjects.path("affinity"), world.mount], env=world.env) == "differing = 0\n"


def test_no_call_is_interrupted_that_does_not_wait(world: World) -> None:
    """Handlers that do not restart calls, and signals of all sorts from all sides: stat(2) never says EINTR."""
    world.lay_out_standard("interrupted", split=False)
    program = [world.subjects.path("interrupted"), world.mount]
    assert world.box().check(program, env=world.env) == world.plain().check(program, env=world.env)


def test_opens_that_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifo's opens meet, are ended by signals, stops and deaths, and hold up nobody else.

    Opens for reading of a lower at its own place, as root has it, are the kernel's, others the supervisor's."""
    force_inside(world.who, monkeypatch)
    world.lay_out([Node(".", "dir", 0o755), Node("fifo", "fifo", 0o644)])
    program = [world.subjects.path("fifo"), world.mount]
    plain = world.plain().check(program, env=world.env)
    assert plain.count("\n") == 60
    box = world.box().check(program, env=world.env)
    assert_lines("fifo in ptoverlay", plain, box, LISTED["box"], "fifo", world.who.name)
    world.assert_lowers_untouched(ignore=[r"^fifo$"])   # a listed difference: fifos are used in place
    world.freeze()
