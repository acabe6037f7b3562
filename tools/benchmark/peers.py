"""The ways to run a command that are compared, and whether this machine has them.

Rules: a peer gets what makes it fast (strace traces the calls with names only); a peer that is not there says why, and
the line that installs it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
PARTS = TOP / "tools/bench.d"
PTOVERLAY = str(Path(sys.executable).parent / "ptoverlay")
SANDLOCK = "0.9.0"
NATIVE = "native"
OURS = ("notify", "ptrace")


@dataclass(frozen=True)
class Place:
    """tree: what the command works on, its current directory; layer: an empty directory for what a peer writes."""

    tree: Path
    layer: Path


#: The words that go before a command there.
Prefix = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Peer:
    """layered: changes go to Place.layer, so that the tree stays as it is; supervised: by a process that has memory;
    needs: commands; install: the line that installs them; version: a command that prints it; probe, expected: what
    `true` is run with to see whether the peer is there, and what has to be in its messages."""

    name: str
    title: str
    prefix: Prefix
    layered: bool = True
    supervised: bool = True
    needs: tuple[str, ...] = ()
    install: str = ""
    version: tuple[str, ...] = ()
    probe: Prefix | None = None
    expected: str = ""

    def command(self, place: Place, words: Sequence[str]) -> list[str]:
        return [*self.prefix(place), *words]

    def missing(self) -> str:
        """Why it cannot be measured here; "" if it can."""
        for name in self.needs:
            if shutil.which(name) is None:
                return f"no {name}; {self.install}"
        with tempfile.TemporaryDirectory(prefix="ptoverlay-bench-", dir="/var/tmp") as directory:
            place = Place(Path(directory, "tree"), Path(directory, "layer"))
            place.tree.mkdir()
            place.layer.mkdir()
            words = [*(self.probe or self.prefix)(place), "true"]
            done = subprocess.run(words, cwd=place.tree, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  check=False)
        if done.returncode != 0:
            return f"{complaint(done.stderr) or f'status {done.returncode}'}; {self.install}".rstrip("; ")
        return "" if self.expected in done.stderr else "this machine or this build does not have it"

    def version_found(self) -> str:
        """The number that the version command prints first."""
        if not self.version:
            return ""
        done = subprocess.run(self.version, capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        return found.group() if found else ""


def complaint(text: str) -> str:
    """What an error message says, for one line of ours: its first line, but the last one of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1 if lines[0].startswith("Traceback") else 0]


def plain(*words: str) -> Prefix:
    """The same words wherever the command works."""
    return lambda _: list(words)


def ours(trap: str, *options: str) -> Prefix:
    return lambda place: [PTOVERLAY, *options, "--trap", trap, "-u", str(place.layer / "upper"), "--"]


def staged(kind: str) -> Prefix:
    stage = str(PARTS / "stage.sh")
    return lambda place: ["unshare", "-Urm", "sh", stage, kind, str(place.layer), str(place.tree)]


def sandlock(place: Place) -> list[str]:
    return [sys.executable, str(PARTS / "with_sandlock.py"), str(place.layer), str(place.tree)]


PEERS = (
    Peer(NATIVE, NATIVE, plain(), layered=False, supervised=False),
    *(Peer(trap, f"ptoverlay, {trap}", ours(trap), probe=ours(trap, "-v"), expected=f"ran with the {trap} trap")
      for trap in OURS),
    Peer("kernel", "kernel overlayfs", staged("kernel"), supervised=False, needs=("unshare",),
         install="apt-get install util-linux"),
    Peer("fuse", "fuse-overlayfs", staged("fuse"), needs=("unshare", "fuse-overlayfs"),
         install="apt-get install fuse-overlayfs", version=("sh", "-c", "fuse-overlayfs --version | grep ^fuse-")),
    Peer("proot", "PRoot", plain("proot"), layered=False, needs=("proot",), install="apt-get install proot",
         version=("proot", "--version")),
    Peer("sandlock", "sandlock", sandlock, install=f"{sys.executable} -m pip install sandlock=={SANDLOCK}",
         version=(sys.executable, "-m", "pip", "show", "sandlock")),
    Peer("strace", "strace", plain("strace", "-f", "--seccomp-bpf", "-e", "trace=%file", "-o", "/dev/null"),
         layered=False, needs=("strace",), install="apt-get install strace", version=("strace", "--version")),
)
