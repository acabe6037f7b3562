"""One run of a command under some variations, in layers of its own, and what it has made.

The tree (the directory in which it is started) has a layer that is looked at afterwards; everything else that the
command changes is thrown away.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ptoverlay.core import lib
from ptoverlay.layer.changes import Kind, changes
from ptoverlay.layer.view import View
from ptoverlay.options import escape
from ptoverlay.process import plain_command
from ptoverlay.reproduce.variations import FIXED, Around, Variation

#: What `ptoverlay build` leaves as it is: it is varied around a run, and the rest by `build`.
_KEPT = "machine,addresses,environment,umask,place,network"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that was made.  type: of st_mode; digest: sha256 of a file's bytes; target: of a symlink; real: where
    the layer has it."""

    type: int
    mode: int
    digest: str
    target: str
    real: str

    def same(self, other: Item) -> bool:
        """But for where it is kept."""
        return (self.type, self.mode, self.digest, self.target) == (other.type, other.mode, other.digest, other.target)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run.  status: wait status; items: by path in the tree; output: the end of what it wrote."""

    status: int
    items: dict[str, Item]
    output: str

    def differing(self, other: Trial) -> list[str]:
        """Paths that are not the same in both."""
        paths = sorted({*self.items, *other.items})
        return [path for path in paths if path not in self.items or path not in other.items
                or not self.items[path].same(other.items[path])]


class Trials:
    """Runs of one command.  directory: for their layers; tree: what they are started in; patterns: of the files that
    count, none: all."""

    def __init__(self, argv: Sequence[str], tree: str, directory: Path, patterns: Sequence[str] = (),
                 options: Sequence[str] = ()) -> None:
        self.argv = list(argv)
        self.tree = tree
        self.directory = directory
        self.patterns = list(patterns)
        self.options = list(options)
        self.count = 0
        self._epoch = int(time.time())

    def run(self, variations: Collection[Variation]) -> Trial:
        """OSError where it cannot be started."""
        around = Around(dict(FIXED))
        for variation in variations:
            variation.vary(around)
        own = self.directory / str(self.count)
        self.count += 1
        place = self.directory / around.place if around.place else Path(self.tree)
        home = self.directory / (around.home or "home")
        upper, work = own / "upper", own / "work"
        for path in (upper, work, home, place):
            path.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **around.environment, "HOME": str(home), "PWD": str(place)}
        mount_options = f"lowerdir={_escaped(self.tree)},upperdir={_escaped(upper)},workdir={_escaped(work)}"
        host = ["--host-name", around.hostname] if around.hostname else []
        words = ["build", "--keep", _KEPT, "--epoch", str(self._epoch + around.later), "--seed", str(around.seed),
                 "--listings", around.listings, *host, "-q", *self.options,
                 "--overlay", f"{mount_options},mount={_escaped(place)}", "-C", str(place), "--", *self.argv]
        done = subprocess.run(plain_command(words), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, preexec_fn=around.enter, check=False)
        items = self._items(str(upper), str(work))
        return Trial(done.returncode, items, done.stdout[-4096:].decode("utf-8", "replace"))

    def _items(self, upper: str, work: str) -> dict[str, Item]:
        found = {}
        with View() as view, View() as base:
            base.lay([self.tree], None, None, self.tree)
            flags = lib.PTO_USERXATTR * (os.geteuid() != 0)
            view.lay([self.tree], upper, work, self.tree, flags | lib.PTO_READ_ONLY)
            for change in changes(view, base, self.tree):
                path = change.path[len(self.tree.rstrip("/")) + 1:]
                if change.kind is not Kind.REMOVED and change.new is not None and path and self._counts(path):
                    new = change.new
                    real = view.real(change.path)[1]
                    found[path] = Item(new.type, 0 if new.is_link else stat.S_IMODE(new.mode),
                                       _digest(real) if new.is_file else "",
                                       view.readlink(change.path) if new.is_link else "", real)
        return found

    def _counts(self, path: str) -> bool:
        return not self.patterns or any(fnmatchcase(path, pattern) for pattern in self.patterns)


def _escaped(path: str | Path) -> str:
    """In mount options."""
    return escape(str(path), ",:")


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
