"""Older kernels, as subjects/oldkernel.c makes them: what a run does there is right, by the traps that they have.

Others are booted by tools/vm; this is what each push can see of them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.box import command, traps
from support.oracle import Done, as_user, run
from support.trees import Node
from support.world import World

#: What auto takes there; --trap notify works from 5.19 on.
TRAPS = {"4.18": "ptrace", "5.4": "ptrace", "5.10": "ptrace", "5.15": "ptrace", "6.1": "ptrace"}
NOTIFY_SINCE = (5, 19)

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


def numbers(kernel: str) -> tuple[int, int]:
    major, minor = kernel.split(".")
    return int(major), int(minor)


def on(kernel: str, world: World, words: Sequence[str], *options: str) -> Done:
    """Runs the command in the box as if under that kernel."""
    wrapped = world.box(*options).wrap(words, world.mount)
    start = len(as_user(world.who))
    return run([*wrapped[:start], str(world.subjects.path("oldkernel")), kernel, *wrapped[start:]], env=world.env,
               timeout=60)


def tree() -> list[Node]:
    files = ["dir/file", "dir/sub/deep", "gone", "tree/old", "tree/sub/old", "file", "merged/a", "merged/b", "held",
             "lock"]
    directories = ["dir", "dir/sub", "tree", "tree/sub", "merged"]
    return [Node(".", "dir", 0o755), *(Node(name, "dir", 0o755) for name in directories),
            *(Node(name, content=f"{name}\n".encode()) for name in files),
            Node("script", mode=0o755, content=b"#!/bin/sh\necho ran\n")]


@pytest.mark.parametrize("trap", ["auto"], indirect=True)
@pytest.mark.parametrize("kernel", TRAPS)
def test_changes(world: World, kernel: str) -> None:
    """By what auto takes: the same answers as on a plain copy, the trap, and a layer that the kernel reads."""
    world.lay_out(tree())
    plain = world.plain().check(["/usr/bin/python3", "-c", CHANGES], env=world.env)
    done = on(kernel, world, ["/usr/bin/python3", "-c", CHANGES], "-v", "--strict")
    assert (done.status, done.out) == (0, plain), done.err
    assert done.err == f"ptoverlay: /usr/bin/python3: ran with the {TRAPS[kernel]} trap\n"
    world.assert_same_tree()
