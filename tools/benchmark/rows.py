"""What is measured: one table of works, each a command that prints the figures of its rows.

Rules: less is better in every row; a command prints one number a row, in the order of the rows, and nothing else; what
is not timed in a command (settling git's index, making clean) happens in the view as well.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support import wheels

from .peers import NATIVE, Peer, Place
from .trees import CALL, DEPTHS, LONG, PATHS, PROGRAM, Sizes

SECONDS, MIB = "s", "MiB"


@dataclass(frozen=True)
class Row:
    """name: for the command line and for --json; base: what native's figure is of, if of something else."""

    name: str
    title: str
    unit: str = SECONDS
    base: str = ""


@dataclass(frozen=True)
class Kit:
    """The programs by name, and how much of everything."""

    programs: Mapping[str, Path]
    sizes: Sizes

    def loop(self, *words: object) -> list[str]:
        return [str(self.programs["loop"]), *map(str, words)]


#: The command that a peer runs at a place.
Command = Callable[[Kit, Peer, Place], list[str]]


@dataclass(frozen=True)
class Work:
    """Rows that one command measures.

    tree: what it works on; dirty: it changes the tree, so that a peer without a layer gets a copy; of_layers: it means
    nothing without a layer, but for native's base; native_only: it is about the machine; outside: the command starts
    the peer itself; memory: not the command is measured but who supervises it; kind: of Sizes.rounds."""

    rows: tuple[Row, ...]
    tree: str
    command: Command
    dirty: bool = False
    of_layers: bool = False
    native_only: bool = False
    outside: bool = False
    memory: bool = False
    kind: str = PROGRAM

    def unfit(self, peer: Peer) -> str:
        """Why it is not measured with this peer, "" if it is."""
        if self.memory and not peer.supervised:
            return "no supervisor"
        if peer.name == NATIVE:
            return ""
        if self.native_only:
            return "native only"
        return "no layers" if self.of_layers and not peer.layered else ""


def call(operation: str, title: str, tree: str = "calls") -> Work:
    """One call, again and again."""
    return Work((Row(operation, title),), tree,
                lambda kit, _, place: kit.loop(operation, place.tree, kit.sizes.seconds), kind=CALL)


def floor(trap: str) -> Work:
    """What the kernel takes for a call that is trapped and goes on, whoever traps it."""
    return Work((Row(f"floor-{trap}", f"bare {trap} trap of a stat"),), "calls",
                lambda kit, _, place: [str(kit.programs["floor"]), trap, str(place.tree / "small"),
                                       str(kit.sizes.seconds)], native_only=True, kind=CALL)


def copied(peer: Peer) -> str:
    return "copy" if peer.name == NATIVE else "copy-up"


def copy_small(kit: Kit, peer: Peer, place: Place) -> list[str]:
    return kit.loop(copied(peer), place.tree, kit.sizes.seconds)


def copy_big(kit: Kit, peer: Peer, place: Place) -> list[str]:
    return kit.loop("once", copied(peer), place.tree / "big", place.layer / "copy")


def start(kit: Kit, peer: Peer, place: Place) -> list[str]:
    words = [sys.executable, "-c", "pass"] if peer.name == NATIVE else peer.command(place, ["true"])
    return kit.loop("run", 5, *words)


def script(template: str) -> Command:
    """A shell script; TIME in it times the command that follows and prints its seconds, CALLS is how many are many."""
    def command(kit: Kit, _: Peer, place: Place) -> list[str]:
        timer = " ".join(kit.loop("run", 1))
        return ["sh", "-euc", template.replace("TIME", timer).replace("CALLS", str(kit.sizes.calls))]
    return command


def program(name: str, title: str, tree: str, text: str) -> Work:
    return Work((Row(name, title),), tree, script(text), dirty=True)


#: A shell that starts a program again and again.
STARTS = "i=0; while [ $i != 300 ]; do /bin/true; i=$((i + 1)); done"
IMPORTS = "import json, email.message, http.client, unittest"
#: In a tree that the view alone has.
MADE = "mkdir tmp/made; cp -a .git directory-* tmp/made; cd tmp/made; git status -s"
FIND = "find . -size +1k"


PIP = f"{sys.executable} -m pip install -q --no-index --no-deps --target site ./{wheels.NAME}"
NPM = "npm ci --offline --silent --no-audit --no-fund"
#: Prints a line and waits for one, before the supervisor's memory is looked at.
PAUSE = "echo ready; read _"

WORKS = (
    call("stat", "stat"),
    floor("notify"),
    floor("ptrace"),
    call("stat-missing", "stat of a missing name"),
    call("open", "open and close"),
    call("readlink", "readlink"),
    call("readdir", "readdir of a large directory"),
    call("create", "create and unlink"),
    call("mkdir", "mkdir and rmdir"),
    call("rename", "rename"),
    Work((Row("copy-4k", "copy-up of a 4 KiB file", base="a copy"),), "copies", copy_small, dirty=True, of_layers=True,
         kind=CALL),
    Work((Row("copy-big", "copy-up of a large file", base="a copy"),), "big", copy_big, of_layers=True),
    call("read", "sequential read, 64 KiB", "data"),
    call("write", "sequential write, 64 KiB", "data"),
    call("pread", "random read, 4 KiB", "data"),
    call("pwrite", "random write, 4 KiB", "data"),
    call("spawn", "fork, exec and exit"),
    *(call(f"depth-{n}", f"stat, {n} directories down") for n in DEPTHS),
    *(call(f"path-{n}", f"spawn, the last of {n} in $PATH") for n in PATHS),
    program("true-300", "sh: 300 × /bin/true", "calls", f"TIME sh -c '{STARTS}'"),
    program("python", "python3 with imports", "calls", f"TIME {sys.executable} -c '{IMPORTS}'"),
    Work((Row("gcc", "gcc of 20 files, make -j1"), Row("make-nothing", "make with nothing to do")), "build",
         script("TIME make -s; TIME make -s"), dirty=True),
    program("wide", "build by 16 processes, make -j16", "wide", "TIME make -s -j16"),
    Work((Row("configure", "hello: ./configure"), Row("make-j1", "hello: make -j1"), Row("make-j2", "hello: make -j2")),
         "source", script("TIME ./configure; TIME make -s; make -s clean >tmp/out; TIME make -s -j2"), dirty=True,
         kind=LONG),
    Work((Row("git-status", "git status"), Row("find", "find, of the same tree")), "git",
         script(f"git status -s; TIME git status -s; TIME {FIND}"), dirty=True),
    Work((Row("git-status-made", "git status of a tree made in the view"), Row("find-made", "find, of the same tree")),
         "git", script(f"{MADE}; TIME git status -s; TIME {FIND}"), dirty=True),
    program("git-checkout", "git checkout of a branch", "git", "git status -s; TIME git checkout -q other"),
    program("tar", "tar x", "archive", "TIME tar xf pack.tar -C tmp"),
    program("pip", "pip install of a wheel", "wheel", f"TIME {PIP}"),
    program("npm", "npm ci of 50 packages", "npm", f"TIME {NPM}"),
    Work((Row("start", "start-up, of true", base="python3 -c pass"),), "calls", start, outside=True, kind=CALL),
    Work((Row("memory", "supervisor's memory, gcc build", MIB), Row("growth", "the same, growth by many calls", MIB)),
         "build", script(f"make -s; {PAUSE}; i=0; while [ $i != CALLS ]; do i=$((i + 1)); [ -e f1.c ]; done; {PAUSE}"),
         dirty=True, memory=True),
)

ROWS = {row.name: row for work in WORKS for row in work.rows}
