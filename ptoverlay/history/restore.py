"""Bringing files back as they were after a step, or as they are below: what was changed since is made anew, and that is
a step.

Rules: only what differs is touched; a directory comes with all that was in it; what this user could not do in the view
he cannot do here.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ptoverlay.history.copy import copy_between
from ptoverlay.history.record import RESTORE, HistoryStep
from ptoverlay.history.states import after, between, history_of
from ptoverlay.history.steps import settle, step_of
from ptoverlay.layer.changes import Change, changes, select
from ptoverlay.layer.view import Stat, View
from ptoverlay.sandboxes.sandbox import Sandbox


def differences(box: Sandbox, number: int, paths: Sequence[str]) -> list[Change]:
    """What has changed at some paths since a step (0: since before the first one).  Call it with the sandbox locked."""
    settle(box)
    last = history_of(box).last
    if last is None or last.number <= number:
        history_of(box).at(number)  # Failure for one that is not there
        return []
    with between(box, number, last.number) as (view, base):
        found = changes(view, base, box.mount, expand=True)
    return select(found, paths, box.mount)


def restore(box: Sandbox, number: int, chosen: Sequence[Change], argv: list[str]) -> None:
    """Makes what the changes changed what it was after the step.  Call it with the sandbox locked."""
    if not chosen:
        return
    with step_of(box, HistoryStep(0, kind=RESTORE, argv=argv, cwd=os.getcwd())), box.view(writable=True) as view, \
            after(box, number) as old:
        Restoring(view, old).make(chosen)


@dataclass
class Restoring:
    """view: the sandbox's, writable; old: as it was."""

    view: View
    old: View

    def make(self, chosen: Sequence[Change]) -> None:
        """First what is in the way goes, the deepest first; then the rest comes, directories before what is in them."""
        self.paths({path for change in chosen for path in (change.path, change.old_path) if path is not None})

    def paths(self, paths: Collection[str]) -> None:
        """The same for all of these paths."""
        ordered = sorted(paths, key=lambda path: path.split("/"))
        links: dict[tuple[int, int], str] = {}
        for path in reversed(ordered):
            old, new = self.old.find(path), self.view.find(path)
            if new is not None and (old is None or old.type != new.type):
                self.view.remove(path)
        times = []
        for path in ordered:
            old = self.old.find(path)
            if old is not None:
                for above in self.missing(path):
                    self.one(above, self.old.stat(above), links)
                self.one(path, old, links)
                if old.is_dir:
                    times.append((path, old))
        for path, old in reversed(times):
            self.view.utimens(path, old.atime, old.mtime)

    def missing(self, path: str) -> list[str]:
        """The directories above that are not there."""
        found: list[str] = []
        while (path := path.rpartition("/")[0]) and self.view.find(path) is None:
            found.insert(0, path)
        return found

    def one(self, path: str, old: Stat, links: dict[tuple[int, int], str]) -> None:
        """One object becomes what it was."""
        first = links.setdefault(old.identity, path) if old.nlink > 1 and not old.is_dir else path
        new = self.view.find(path)
        if first != path:
            if new is None or new.identity != self.view.stat(first).identity:
                if new is not None:
                    self.view.unlink(path)
                self.view.link(first, path)
            return
        if new is None:
            self.make_object(path, old)
        elif old.is_link and self.view.readlink(path) != self.old.readlink(path):
            self.view.unlink(path)
            self.make_object(path, old)
        elif old.is_file and not self.view.same_content(path, self.old, path):
            self.write(path, os.O_TRUNC)
        self.attributes(path, old)

    def make_object(self, path: str, old: Stat) -> None:
        if old.is_dir:
            self.view.mkdir(path, 0o700)
        elif old.is_link:
            self.view.symlink(self.old.readlink(path), path)
        elif old.is_file:
            self.write(path, os.O_CREAT | os.O_EXCL)
        else:
            self.view.mknod(path, old.mode, old.rdev)

    def write(self, path: str, flags: int) -> None:
        copy_between(lambda: self.old.open(path, os.O_RDONLY), lambda: self.view.open(path, os.O_WRONLY | flags, 0o600))

    def attributes(self, path: str, old: Stat) -> None:
        new = self.view.stat(path)
        if (new.uid, new.gid) != (old.uid, old.gid):
            self.view.chown(path, old.uid, old.gid)
        now, then = self.view.xattrs(path), self.old.xattrs(path)
        for name in now.keys() - then.keys():
            self.view.removexattr(path, name)
        for name, value in then.items():
            if now.get(name) != value:
                self.view.setxattr(path, name, value)
        if not old.is_link and stat.S_IMODE(self.view.stat(path).mode) != stat.S_IMODE(old.mode):
            self.view.chmod(path, stat.S_IMODE(old.mode))
        if not old.is_dir and new.mtime != old.mtime:
            self.view.utimens(path, old.atime, old.mtime)
