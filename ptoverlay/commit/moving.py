"""Which new directories of an upper become the host's as they are, by one rename, with all that is in them.

Nothing in them is read, written or made then.

Rules: a directory is moved only if all in it is committed, is what the view shows, belongs to who commits, and can be
written by nobody any more; nothing of it has another name; what is kept beside it by overlays can go afterwards.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ptoverlay import errors
from ptoverlay.commit import kernel
from ptoverlay.commit.journal import Shared
from ptoverlay.commit.layout import Held, Layout
from ptoverlay.commit.tree import Tree, split
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.private import OWN, SINCE

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Private attributes that mean nothing once it is the host's, by file type.
_CAN_GO = {stat.S_IFREG: {"origin", f"{OWN}base", f"{OWN}kept", SINCE},
           stat.S_IFDIR: {"opaque", "impure", "origin", f"{OWN}base", f"{OWN}kept", SINCE}, stat.S_IFLNK: set[str]()}


class Movable:
    """Asked with a new directory; tells what of it has private attributes, None when it cannot be moved."""

    def __init__(self, layout: Layout, upper: Tree) -> None:
        self.layout = layout
        self.upper = upper
        self._ours = {f"{layout.prefix}{name}": name for name in set[str]().union(*_CAN_GO.values())}
        self._root = os.geteuid() == 0
        self._trusted: dict[str, bool] = {}
        self._same_place: dict[tuple[str, str], bool] = {}

    def __call__(self, path: str) -> list[Shared] | None:
        change = self.layout.changes.get(path)
        if change is None or self.layout.layer or self.layout.roots.get(path, True) or path not in self.layout.held:
            return None
        if not self.can_leave(path):
            return None
        marked = []
        for held in self.below(path):
            chosen = self.layout.chosen.get(held.path)
            if chosen is None or held.path in self.layout.moves or not self.is_whole(held, chosen):
                return None
            if held.seen.private:
                marked.append((self.layout.relative(held.path), held.status.st_ino))
        return None if self.is_written(path) else marked

    def below(self, path: str) -> Iterator[Held]:
        """The directory and all that the upper has in it."""
        held, survey = self.layout.held, self.layout.survey
        todo = [self.layout.relative(path)]
        while todo:
            here = todo.pop()
            yield held[self.layout.shown(here)]
            todo += (f"{here}/{name}" for name in survey.inside.get(here, ()))

    def can_leave(self, path: str) -> bool:
        """Whether one rename leads from the upper to the host, and nobody else can put something else there first."""
        above, parent = split(self.layout.relative(path))[0], self.layout.now(self.layout.parent(path))
        if parent is None or not (self._root or self.layout.held[path].status.st_mode & stat.S_IWUSR):
            return False  # who moves a directory writes its ".."
        if above not in self._trusted:
            real = os.path.realpath(os.path.join(self.layout.sandbox.upper, above))
            self._trusted[above] = not errors.who_can_change(real) and self.upper.writable(above)
        key = (above, parent)
        if key not in self._same_place:
            with _opened(self.upper, above) as one, _opened(self.layout.tree, parent) as other:
                self._same_place[key] = kernel.mount_of(one) is not None and all(
                    of(one) == of(other) for of in (kernel.mount_of, kernel.project_of))
        return self._trusted[above] and self._same_place[key]

    def is_whole(self, held: Held, change: Change) -> bool:
        """Whether the upper's object is all that the view shows, and ours."""
        real, shown, entry = held.status, change.new, held.entry
        kind = stat.S_IFMT(real.st_mode)
        if shown is None or change.kind is Kind.REMOVED or entry.redirect or entry.upper != kind or kind not in _CAN_GO:
            return False
        if kind == stat.S_IFDIR and entry.lower == kind and not entry.opaque:
            return False  # shows more than it has
        if kind != stat.S_IFDIR and (real.st_nlink != 1 or real.st_size != shown.size):
            return False
        same = (real.st_mode, real.st_uid, real.st_gid, real.st_mtime_ns) == \
            (shown.mode, shown.uid, shown.gid, shown.mtime)
        return same and real.st_uid == os.geteuid() and (not held.seen.private or self.marks_can_go(held))

    def marks_can_go(self, held: Held) -> bool:
        mode = held.status.st_mode
        can_go = _CAN_GO[stat.S_IFMT(mode)]
        return all(self._ours.get(name) in can_go for name in held.seen.private) and \
            (self._root or bool(mode & stat.S_IWUSR))

    def is_written(self, path: str) -> bool:
        """Whether somebody may have a file in it open for writing."""
        for held in self.below(path):
            if stat.S_ISREG(held.status.st_mode):
                parent, name = self.upper.at(self.layout.relative(held.path))
                try:
                    fd = os.open(name, _FILE, dir_fd=parent)
                except OSError:
                    return True
                try:
                    if os.fstat(fd).st_ino != held.status.st_ino or kernel.is_written(fd):
                        return True
                finally:
                    os.close(fd)
        return False


@contextmanager
def _opened(tree: Tree, path: str) -> Iterator[int]:
    with tree.handle(path) as handle:
        fd = os.open(handle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def sync(layout: Layout, upper: Tree, moved: list[str], at_once: bool) -> None:
    """What is about to be moved is on the disk when this returns.  at_once: with all of the file system."""
    if at_once:
        upper.sync_all([""])
        return
    for path in moved:
        held = layout.held[path]
        if held.seen.is_dir:
            upper.sync(layout.relative(path))
        elif stat.S_ISREG(held.status.st_mode):
            parent, name = upper.at(layout.relative(path))
            fd = os.open(name, _FILE, dir_fd=parent)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
