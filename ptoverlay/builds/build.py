"""What `ptoverlay build` asks for beside a run, and how it becomes part of a request.

Rule: what is to be the same everywhere is said here or in the core, and never taken from what surrounds us.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ptoverlay.builds.inputs import Inputs, tell_missing
from ptoverlay.builds.sources import SOURCES
from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.options import OverlaySpec

if TYPE_CHECKING:
    from ptoverlay.options import Request

#: 2000-01-01: later than all that a zip archive cannot say.
EPOCH = 946684800
TREE = "/build"
HOME = "/build.home"
#: Order of listings → more of PTO_BUILD_*.
ORDERS = {"sorted": 0, "reversed": lib.PTO_BUILD_REVERSED, "shuffled": lib.PTO_BUILD_SHUFFLED}
#: Name of the host → the same.
HOSTS = {"build": 0, "other-host": lib.PTO_BUILD_OTHER_HOST}
#: What CMD finds in its environment.
VARIABLES = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": HOME, "USER": "build",
    "LOGNAME": "build", "SHELL": "/bin/sh", "TERM": "dumb", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC",
    "COLUMNS": "80", "LINES": "24",
}


class Build:
    """A run whose result depends on nothing but its inputs: for `Overlay(build=Build(…))`, and `ptoverlay build`.

    kept: the names of `SOURCES` that are left as they are; epoch: the time of day at the start, in seconds since 1970,
    None: $SOURCE_DATE_EPOCH, or 2000-01-01; seed: of random bytes; inputs: what is there to see beside the tree, none:
    all; listings: one of `ORDERS`; host: one of `HOSTS`; missing: where the core writes what was asked for and not
    there, -1: nowhere.  Failure for what cannot be meant."""

    __slots__ = ("declared", "epoch", "host", "inputs", "kept", "listings", "missing", "seed")

    def __init__(self, kept: Sequence[str] = (), epoch: int | None = None, seed: int = 0,
                 inputs: Sequence[str] = (), listings: str = "sorted", host: str = "build") -> None:
        for name in kept:
            if name not in SOURCES:
                raise Failure(f"--keep {name}", f"one of {', '.join(SOURCES)} is meant")
        self.kept = frozenset(kept)
        self.epoch = _of_environment() if epoch is None else epoch
        self.seed = seed
        if listings not in ORDERS:
            raise Failure(f"--listings {listings}", f"one of {', '.join(ORDERS)} is meant")
        self.listings = listings
        if host not in HOSTS:
            raise Failure(f"--host-name {host}", f"one of {', '.join(HOSTS)} is meant")
        self.host = host
        self.declared = tuple(inputs)
        self.inputs = Inputs(inputs) if inputs else None
        self.missing = -1

    def fixes(self, name: str) -> bool:
        """Whether this source is closed."""
        return name not in self.kept

    @property
    def switches(self) -> int:
        """PTO_BUILD_*."""
        switches: int = ORDERS[self.listings] | HOSTS[self.host]
        for name, chance in SOURCES.items():
            switches |= chance.bit * self.fixes(name)
        return switches

    def words(self) -> list[str]:
        """As options of `ptoverlay build`."""
        given = ["--epoch", str(self.epoch), "--seed", str(self.seed), "--listings", self.listings,
                 "--host-name", self.host]
        given += ["--keep", ",".join(sorted(self.kept))] if self.kept else []
        return [*given, *(word for path in self.declared for word in ("--input", path))]

    def apply(self, request: Request) -> None:
        """Makes a run that was asked for a build."""
        if request.name is not None:
            raise Failure("build --name", "a build is no step of a sandbox", "give --upper DIR to keep what it makes")
        request.members = {"build": self.switches, "epoch": self.epoch, "seed": self.seed % 2**64}
        request.features |= lib.PTO_FEATURE_BUILD
        request.inject = False
        if self.inputs is not None:
            if not self.fixes("place"):
                raise Failure("--input", "without a place of its own the tree would be hidden",
                              "leave --keep place out")
            self.missing = os.memfd_create("missing")
            request.members["build"] |= lib.PTO_BUILD_INPUTS
            request.members["missing_fd"] = self.missing
        if self.fixes("files"):
            request.ending = partial(_set_times, self.epoch, time.time_ns())
        if self.fixes("network"):
            request.network = False
        if self.fixes("environment"):
            request.bare_environment = True
            request.environment = [*self._variables(), *request.environment]
        if self.fixes("place"):
            self._place(request)
        if self.fixes("umask"):
            os.umask(0o022)

    def end(self, status: int) -> None:
        """When CMD has ended: where it has failed, what it has asked for and was not declared."""
        if self.missing < 0:
            return
        if status:
            tell_missing(os.pread(self.missing, os.fstat(self.missing).st_size, 0))
        os.close(self.missing)

    def _variables(self) -> list[str]:
        fixed = {**VARIABLES, "SOURCE_DATE_EPOCH": str(self.epoch)}
        if not self.fixes("place"):
            fixed["HOME"] = os.environ.get("HOME", "/")
        return [f"{name}={value}" for name, value in fixed.items()]

    def _place(self, request: Request) -> None:
        """The tree at its place, over a view of all of / whose changes are thrown away, with nothing in /tmp."""
        tree = request.overlays[0]
        if not tree.lowers:
            tree.lowers = [os.getcwd()]
        if tree.mount is None:
            tree.mount = TREE
        if request.chdir is None:
            request.chdir = tree.mount
        if self.fixes("environment"):
            request.environment.insert(0, f"PWD={request.chdir}")
        if self.inputs is not None:
            around, *others = self.inputs.overlays()
        else:
            around, others = OverlaySpec(), [OverlaySpec()]
            others[0].mount, others[0].lowers, others[0].empty = "/tmp", ["/tmp"], True
            if tree.mount.startswith("/tmp/"):
                others[0].made = (tree.mount.removeprefix("/tmp"),)
        around.made += (tree.mount, HOME)
        request.around = [around, *others]


def _set_times(epoch: int, started: int, uppers: list[str]) -> None:
    """What a run has made or written since it started, and what is younger than the epoch, gets the epoch's time."""
    for upper in uppers:
        for directory, directories, files in os.walk(upper, topdown=False):
            for path in (*(os.path.join(directory, name) for name in (*files, *directories)), directory):
                made = os.lstat(path).st_mtime_ns
                if made >= started or made > epoch * 10**9:
                    os.utime(path, (epoch, epoch), follow_symlinks=False)


def _of_environment() -> int:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    return EPOCH if not text else seconds(text, "SOURCE_DATE_EPOCH")


def seconds(text: str, what: str) -> int:
    """A time of day, in seconds since 1970."""
    if not text.isdecimal() or int(text) > sys.maxsize // 10**9:
        raise Failure(f"{what} {text}", "a number of seconds since 1970 is meant", "git log -1 --format=%ct")
    return int(text)
