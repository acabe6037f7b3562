"""Which trap a run takes, and what it does where a container's profile refuses calls that it wants.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

import pytest
from support import box
from support.box import ROOT_DIRECTORY
from support.oracle import Done, as_user, run
from support.trees import Node
from support.world import World

_X86 = os.uname().machine == "x86_64"
IOCTL = 16 if _X86 else 29
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
    start = len(as_user(world.who))
    profile = [str(world.subjects.path("forbid")), ",".join(refused)]
    return run([*wrapped[:start], *profile, *wrapped[start:]], env=world.env, timeout=60)


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
    expected = "notify" if _X86 and "notify" in box.traps() else "ptrace"
    done = small.box("-v").run(["./script"], env=small.env)
    assert (trap_of(done), done.out) == (expected, "lower\nchanged\n")


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", [ADDFD, SET_FLAGS], ids=["ADDFD", "SET_FLAGS"])
def test_auto_falls_back(small: World, call: str, error: int) -> None:
    """A profile that refuses what only the notify trap wants: ptrace is taken, without a word."""
    done = forbidden(small, [f"{call}={error}"], "auto", "./script")
    assert (trap_of(done), done.out) == ("ptrace", "lower\nchanged\n")
    assert len(done.err.splitlines()) == 1, done.err


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
def test_auto_within_a_listener(small: World) -> None:
    """Another listener is in the way: ptrace is taken by itself where it is allowed."""


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=errno.errorcode.get)
def test_without_pidfd_getfd(small: World, error: int) -> None:
    """pidfd_getfd is a short way only: names of sockets of the view work without it, by both traps."""
    bind = ("import socket, os; s = socket.socket(socket.AF_UNIX); s.bind('sock'); s.listen(); "
            "c = socket.socket(socket.AF_UNIX); c.connect('sock'); print(s.getsockname(), c.getpeername(), "
            "os.path.exists('sock'))")
    done = forbidden(small, [f"{PIDFD_GETFD}={error}"], small.trap, "/usr/bin/python3", "-c", bind)
    assert (trap_of(done), done.out) == (small.trap, "sock sock True\n")
    assert not (small.lowers[0] / "sock").exists()
