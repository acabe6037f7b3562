"""Undoing changes of a layer: what the lowers have shows again.

An object is undone by taking it, or its whiteout, out of the upper.  Where that would not bring the lower's back,
because a directory above it is opaque or has taken another one's name, the whole directory has to go, or nothing.

Rules: what cannot be undone is told before anything is touched; an object leaves the upper by one rename into the work
directory, so that whoever is killed leaves each path undone or not; names of one file are undone together.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import View
from ptoverlay.layers import copy_attributes
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

_SCRATCH = "discarded"  # below the work directory's own "work", which every run empties


def discard_all(box: Sandbox) -> None:
    """Empties the upper and forgets what belongs to it.  Call it with the sandbox and its view locked."""
    for name in os.listdir(box.upper):
        _take_out(box, os.path.join(box.upper, name))
    for name in os.listdir(box.work):
        if name != "work":
            remove_tree(os.path.join(box.work, name))
    for name in os.listxattr(box.upper):
        if name.startswith("user."):
            os.removexattr(box.upper, name)
    copy_attributes(box.lowers[0], box.upper)
    _empty_scratch(box)


def discard(box: Sandbox, view: View, base: View, found: Sequence[Change], chosen: Sequence[Change]) -> list[Change]:
    """Undoes the chosen ones of the changes found, and other names of the same files; returns all that was undone.

    view: writable, and not good for anything afterwards.  Failure, with nothing done, when one cannot be undone alone.
    """
    plan = _Plan(box, view, base, found, chosen)
    plan.make()
    for restore in plan.attributes:
        restore()
    for path in plan.objects:
        _take_out(box, path)
    for name in plan.links:
        _unlink(os.path.join(box.work, "links", name))
    _empty_scratch(box)
    return plan.chosen


@dataclass
class _Plan:
    """What is to be done: attributes: calls of the view; objects: paths in the upper; links: names in WORK/links;
    whole: directories that go with all that is in them; renamed, taken_whole: paths of such changes."""

    box: Sandbox
    view: View
    base: View
    found: Sequence[Change]
    given: Sequence[Change]
    chosen: list[Change] = field(default_factory=list)
    attributes: list[Callable[[], None]] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    renamed: set[str] = field(default_factory=set)
    taken_whole: set[str] = field(default_factory=set)

    def make(self) -> None:
        self.chosen = list(self._with_other_names())
        self.renamed = {change.path for change in self.found if change.kind is Kind.RENAMED}
        self.taken_whole = {change.path for change in self.chosen
                            if change.kind in (Kind.ADDED, Kind.RENAMED) or change.type_changed}
        paths = {change.path for change in self.chosen}
        self.whole = set(self._whole_directories(paths))
        for change in self.chosen:
            if not any(above in self.whole for above in self._above(change.path)):
                self._undo(change, paths)
        for path in sorted(self.whole):
            if not any(above in self.whole for above in self._above(path)):
                self.objects.append(self.view.entry(path).upper_path)

    def _with_other_names(self) -> Iterator[Change]:
        """The given changes, and those of other names that the same files have in the lowers."""
        given = {change.path for change in self.given}
        shared = {change.new.identity for change in self.given if change.new is not None and change.old is not None
                  and change.old.nlink > 1 and not change.new.is_dir}
        for change in self.found:
            other = change.new is not None and change.old is not None and change.new.identity in shared
            if other or change.path in given:
                yield change

    def _above(self, path: str) -> Iterator[str]:
        """The directories above a path, from the nearest on, within the mount point."""
        top = self.box.mount.rstrip("/")
        while (path := path.rpartition("/")[0]) != top and path:
            yield path
        yield self.box.mount

    def _whole_directories(self, paths: set[str]) -> Iterator[str]:
        """Directories that hide what the lowers have there, and all of whose changes are chosen."""
        seen: set[str] = set()
        for change in self.chosen:
            for above in (change.path, *self._above(change.path)):
                if above in seen or above == self.box.mount:
                    continue
                seen.add(above)
                if self._replaces(above) and all(
                        other.path in paths for other in self.found if other.path.startswith(f"{above}/")):
                    yield above

    def _replaces(self, path: str) -> bool:
        """Whether it is a directory of the upper that does not merge the lowers' directory of its own name."""
        status = self.view.find(path)
        before = self.base.find(path)
        if status is None or not status.is_dir or before is None or not before.is_dir:
            return False
        entry = self.view.entry(path)
        return entry.opaque or (entry.redirect and path not in self.renamed)

    def _undo(self, change: Change, paths: set[str]) -> None:
        if change.path in self.whole or change.implied:
            return
        if any(above in self.taken_whole for above in self._above(change.path)):
            return
        if change.kind is not Kind.ADDED:
            self._check_above(change)
        self._forget_links(change)
        if change.kind is Kind.METADATA and change.new is not None and change.new.is_dir:
            self.attributes.append(lambda: self._restore_attributes(change.path, change.old_path or change.path))
            return
        self.objects.append(self.view.entry(change.path).upper_path)
        if change.kind is Kind.RENAMED and change.old_path is not None:
            self._check_old_place(change, change.old_path, paths)
            self.objects.append(self.view.entry(change.old_path).upper_path)

    def _check_above(self, change: Change) -> None:
        for above in self._above(change.path):
            if above != self.box.mount and self._replaces(above):
                raise Failure(change.path, f"cannot be undone alone, since {above} was removed and made anew",
                              f"discard {above}")

    def _check_old_place(self, change: Change, old_path: str, paths: set[str]) -> None:
        for above in self._above(old_path):
            if self.view.find(above) is None and above not in paths:
                raise Failure(change.path, f"cannot go back to {old_path}, since {above} is gone",
                              f"discard {above} too")

    def _forget_links(self, change: Change) -> None:
        """What the work directory knows of a file that has more names in the lowers."""
        if change.old is None or change.old.nlink < 2 or change.old.is_dir:
            return
        lower = self.base.real(change.old_path or change.path)[1]
        status = os.lstat(lower)
        name = f"{status.st_dev:x}-{status.st_ino:x}"
        self.links += [name, f"{name}.removed"]

    def _restore_attributes(self, path: str, old_path: str) -> None:
        """Gives a directory the attributes that the lowers have."""
        old = self.base.stat(old_path)
        now, before = self.view.xattrs(path), self.base.xattrs(old_path)
        for name in now.keys() - before.keys():
            self.view.removexattr(path, name)
        for name, value in before.items():
            if now.get(name) != value:
                self.view.setxattr(path, name, value)
        status = self.view.stat(path)
        if (status.uid, status.gid) != (old.uid, old.gid):
            self.view.chown(path, old.uid, old.gid)
        self.view.chmod(path, stat.S_IMODE(old.mode))


def _take_out(box: Sandbox, path: str) -> None:
    """Moves an object of the upper, whatever it is, out of it."""
    scratch = os.path.join(box.work, "work", _SCRATCH)
    os.makedirs(scratch, exist_ok=True)
    try:
        os.rename(path, os.path.join(scratch, os.urandom(8).hex()))
    except PermissionError:
        os.chmod(path, 0o700)  # a directory of ours without write permission cannot be moved to another one
        os.rename(path, os.path.join(scratch, os.urandom(8).hex()))


def _empty_scratch(box: Sandbox) -> None:
    scratch = os.path.join(box.work, "work", _SCRATCH)
    if os.path.isdir(scratch):
        remove_tree(scratch)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
