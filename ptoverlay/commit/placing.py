"""Carries the steps of a journal out, and finishes a commit whose objects are all in place.

Every function here can be called again after it was killed anywhere, and then does what is left.

Rules: an object that a step puts somewhere is known by its identity; what is found there must be what the journal says,
else the step is left out and nothing of the host's is lost; what was renamed is never thrown away, it goes back.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby

from ptoverlay import errors
from ptoverlay.commit import attributes, kernel
from ptoverlay.commit.conflicts import signature
from ptoverlay.commit.journal import ATTRIBUTES, PUT, REMOVE, TAKE, Drop, Journal, Step
from ptoverlay.commit.removal import Removal
from ptoverlay.commit.tree import Tree, below, split
from ptoverlay.console.progress import OBJECT, Advance

_CHANGED = "changed on the host meanwhile"
ASIDE = ".old"  # for file systems that cannot exchange two names
#: More files or directories than this are synced together with all of their file system, fewer one by one.
SYNC_ALL = 64


class Placing:
    """The steps of one journal on one tree; upper: where what is moved comes from; keep: given the name under which
    something is that was replaced or removed, sees to it that it is kept; None: it is not."""

    def __init__(self, journal: Journal, tree: Tree, upper: Tree, advance: Advance = lambda _: None,
                 keep: Callable[[str], None] | None = None) -> None:
        self.advance = advance
        self.journal = journal
        self.tree = tree
        self.upper = upper
        self.keep = keep
        self.removal = Removal()
        self._ends = {tuple(step.made): step.path for step in journal.steps if step.kind == PUT and step.made}
        self._taken = {step.temporary: step for step in journal.steps if step.kind == TAKE}

    # ---- placing ----

    def place(self) -> None:
        """Carries out all steps but those that wait for the end."""
        for step in self.journal.steps:
            self.advance(OBJECT)
            if step.kind == ATTRIBUTES or self.left_out(self._end(step)):
                continue
            try:
                {TAKE: self.take, PUT: self.put, REMOVE: self.remove}[step.kind](step)
            except FileExistsError:  # it has come since it was looked for
                self.leave_out(self._end(step))
            except OSError as error:  # a mount point, another's file in a sticky directory
                self.leave_out(self._end(step), error.strerror or str(error))

    def _end(self, step: Step) -> str:
        """Where what the step is about is to be at the end."""
        return self._ends.get(tuple(step.made or ()), step.path) if step.kind == TAKE else step.path

    def left_out(self, path: str) -> bool:
        return any(below(path, top) for top in self.journal.left_out)

    def leave_out(self, path: str, why: str = _CHANGED) -> None:
        self.journal.left_out[path] = why

    def take(self, step: Step) -> None:
        tree = self.tree
        end = self._end(step)
        if step.made in (tree.identity(step.temporary), tree.identity(end)):
            return
        if tree.identity(step.path) == step.made:
            tree.rename(step.path, step.temporary, kernel.RENAME_NOREPLACE)
        else:
            self.leave_out(end)

    def put(self, step: Step) -> None:
        tree = self.tree
        there = tree.lstat(step.path)
        if there is not None and [there.st_dev, there.st_ino] == step.made:
            return
        waits = tree.identity(step.temporary) == step.made
        if not (waits or self.is_in_upper(step)) or tree.lstat(split(step.path)[0]) is None or \
                (None if there is None else signature(tree, step.path, lambda _: False)) != step.found:
            self.leave_out(step.path)
            return
        if not waits:
            move(self.upper, step.source, self.tree, step.temporary)
        self.replace(step.temporary, step.path, there)

    def is_in_upper(self, step: Step) -> bool:
        """Whether what is moved has not left yet."""
        return bool(step.source) and self.upper.identity(step.source) == step.made

    def remove(self, step: Step) -> None:
        tree = self.tree
        found = signature(tree, step.path, lambda _: False)
        if step.staged and tree.identity(step.path) == step.made:
            return
        if found != step.found and (found is not None or step.staged):
            self.leave_out(step.path)
        elif step.staged:
            self.replace(step.temporary, step.path, tree.lstat(step.path))
        elif found is not None:
            tree.rename(step.path, step.temporary, kernel.RENAME_NOREPLACE)

    def replace(self, temporary: str, path: str, there: os.stat_result | None) -> None:
        """Moves an object to its place by one rename; what was there has its name then, to be removed with others."""
        tree = self.tree
        if there is None:
            tree.rename(temporary, path, kernel.RENAME_NOREPLACE)
            return
        coming = tree.lstat(temporary)
        files = coming is not None and not stat.S_ISDIR(there.st_mode) and not stat.S_ISDIR(coming.st_mode)
        try:
            tree.rename(temporary, path, kernel.RENAME_EXCHANGE)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            if files and self.keep is None:
                tree.rename(temporary, path)
                return
            if not (files and self.one_more_name(path, temporary + ASIDE)):
                tree.rename(path, temporary + ASIDE)
            tree.rename(temporary, path)

    def one_more_name(self, path: str, aside: str) -> bool:
        """Gives what is there another name, so that its place is never empty; False where that is no way."""
        if self.tree.lstat(aside) is None:
            try:
                self.tree.link(path, aside)
            except OSError:
                return False
        return True

    # ---- the end ----

    def clean(self) -> None:
        """Removes what was replaced, or keeps it; removes what has not found its place."""
        files: list[str] = []
        for step in self.journal.steps:
            if step.kind not in (PUT, REMOVE):
                continue
            taken = self._taken.get(step.temporary)
            if taken is not None and self.tree.identity(step.temporary) == taken.made:
                self.go_back(taken)
                continue
            if step.source and self.tree.identity(step.temporary) == step.made:
                self.give_back(step)
                continue
            for name in (step.temporary, step.temporary + ASIDE):
                try:
                    if self.keep is not None and self.tree.identity(name) not in (None, step.made):
                        self.keep(name)
                    elif (status := self.tree.lstat(name)) is None or stat.S_ISDIR(status.st_mode):
                        self.tree.remove(name)
                    else:
                        files.append(name)
                except OSError as error:
                    self._not_removed(name, error)
        for name, why in self.removal.unlink(self.tree, files):
            self._not_removed(name, why)

    def _not_removed(self, name: str, error: OSError) -> None:
        errors.report(f"{self.tree.root}/{name}: what was replaced, not removed: {error.strerror}")

    def own(self) -> None:
        """Takes the upper's private attributes from what was shared with it and is the lower's now."""
        for path, ino in self.journal.shared:
            status = self.tree.lstat(path)
            if status is None or status.st_ino != ino or self.left_out(path):
                continue
            real = self.tree.real(path)
            for name in os.listxattr(real, follow_symlinks=False):
                if name.startswith(self.journal.prefix):
                    os.removexattr(real, name, follow_symlinks=False)

    def go_back(self, taken: Step) -> None:
        try:
            self.tree.rename(taken.temporary, taken.path, kernel.RENAME_NOREPLACE)
        except OSError as error:
            self.leave_out(self._end(taken), f"{_CHANGED}; it is now {taken.temporary}: {error.strerror}")

    def give_back(self, step: Step) -> None:
        """To the upper, which it came from."""
        try:
            move(self.tree, step.temporary, self.upper, step.source)
        except OSError as error:
            self.leave_out(step.path, f"{_CHANGED}; it is now {step.temporary}: {error.strerror}")

    def set_attributes(self) -> None:
        for step in self.journal.steps:
            if step.kind != ATTRIBUTES or step.attributes is None or self.left_out(step.path):
                continue
            if self.tree.identity(step.path) != step.made:
                self.leave_out(step.path)
                continue
            try:
                attributes.apply(self.tree, step.path, step.attributes, any_owner=self.journal.any_owner)
            except OSError as error:
                self.leave_out(step.path, error.strerror or str(error))
        for path, mtime in sorted(self.journal.times.items(), reverse=True):
            if not self.left_out(path):
                set_directory_time(self.tree, path, mtime)

    def sync(self) -> None:
        """Every name that has changed is on the disk when this returns."""
        changed = {split(name)[0] for step in self.journal.steps for name in (step.path, step.temporary) if name}
        found = [path for path in changed if (status := self.tree.lstat(path)) is not None and
                 stat.S_ISDIR(status.st_mode)]
        if len(found) > SYNC_ALL or len(self.journal.shared) > SYNC_ALL:
            self.tree.sync_all(found)
            return
        for path in found:
            self.tree.sync(path)

    def sync_upper(self) -> None:
        """What was moved away is gone from it."""
        for path in {split(step.source)[0] for step in self.journal.steps if step.source}:
            if self.upper.lstat(path) is not None:
                self.upper.sync(path)


def move(source: Tree, old: str, target: Tree, new: str) -> None:
    """From one tree to the other, where nothing may be; the time of the directory that it leaves stays."""
    parent, name = split(old)
    with source.handle(parent) as left:
        before = os.stat(left)
        from_fd, _ = source.at(old)
        to_fd, new_name = target.at(new)
        kernel.rename2(from_fd, name, to_fd, new_name, kernel.RENAME_NOREPLACE)
        source.forget(old)
        target.forget(new)
        os.utime(left, ns=(before.st_atime_ns, before.st_mtime_ns))


def set_directory_time(tree: Tree, path: str, mtime: int) -> None:
    """Unless it is another's, in which this user may make names: its time is now, as after any change."""
    status = tree.lstat(path)
    if status is None or not stat.S_ISDIR(status.st_mode):
        return
    with tree.handle(path) as handle:
        try:
            os.utime(handle, ns=(status.st_atime_ns, mtime))
        except PermissionError:
            pass


# ---- the upper


def empty_upper(placing: Placing, work: str) -> None:
    """Takes what was committed out of the upper."""
    upper = placing.upper
    due = [drop for drop in placing.journal.drops if not placing.left_out(drop.path) and _is_found(upper, drop)]
    gone = {drop.found[0] for drop in due if not drop.directory}
    for path, error in placing.removal.unlink(upper, [drop.path for drop in due if not drop.directory],
                                              keep_times=True):
        if not isinstance(error, PermissionError):
            raise error
        _drop_file(upper, path)
    placing.advance(OBJECT * sum(1 for drop in due if not drop.directory))
    for parent, drops in groupby((drop for drop in due if drop.directory), lambda drop: split(drop.path)[0]):
        _drop_directories(placing, parent, list(drops))
    _forget_links(placing.journal, work, gone)


def _is_found(upper: Tree, drop: Drop) -> bool:
    """Whether the entry is still what it was."""
    status = upper.lstat(drop.path)
    if status is None or status.st_ino != drop.found[0]:
        return False
    return drop.directory or [status.st_ino, status.st_size, status.st_mtime_ns] == drop.found


@contextmanager
def _keeping_times(upper: Tree, path: str) -> Iterator[str]:
    with upper.handle(path) as handle:
        before = os.stat(handle)
        try:
            yield handle
        finally:
            os.utime(handle, ns=(before.st_atime_ns, before.st_mtime_ns))


def _drop_file(upper: Tree, path: str) -> None:
    """From a directory whose mode forbids it."""
    with _keeping_times(upper, split(path)[0]) as parent:
        _with_permission(parent, partial(os.unlink, os.path.join(parent, split(path)[1])))


def _drop_directories(placing: Placing, path: str, drops: Sequence[Drop]) -> None:
    """Removes names; the times of the directory they are in stay, and its mode does not matter."""
    with _keeping_times(placing.upper, path) as parent:
        for drop in drops:
            placing.advance(OBJECT)
            _drop_directory(placing.upper, drop, placing.journal.prefix)
            _remove_if_empty(parent, os.path.join(parent, split(drop.path)[1]))


def _drop_directory(upper: Tree, drop: Drop, prefix: str) -> None:
    """Where it stays it merges with what the lower has under its name."""
    with upper.handle(drop.path) as handle:
        for name in ("redirect", "opaque"):
            _with_permission(handle, partial(_remove_mark, handle, prefix + name))


def _remove_if_empty(parent: str, path: str) -> None:
    try:
        _with_permission(parent, partial(os.rmdir, path))
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _remove_mark(handle: str, name: str) -> None:
    try:
        if os.getxattr(handle, name) != b"x":  # which says that whiteouts in it are files with an attribute
            os.removexattr(handle, name)
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise


def _with_permission(directory: str, action: Callable[[], None]) -> None:
    """Does something that needs write permission on a directory of ours, which may not give it."""
    try:
        action()
    except PermissionError:
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        os.chmod(directory, mode | stat.S_IRWXU)
        try:
            action()
        finally:
            os.chmod(directory, mode)


def _forget_links(journal: Journal, work: str, gone: set[int]) -> None:
    """What WORK/links holds (csrc/view/upper/links.c) about files that are in the lower now."""
    links = os.path.join(work, "links")
    if os.path.islink(links) or not os.path.isdir(links):
        return
    names = os.listdir(links)
    for name in names:
        path = os.path.join(links, name)
        status = os.lstat(path)
        if not name.endswith(".removed") and status.st_ino in gone and status.st_nlink == 1:
            os.unlink(path)
    for device, inode in journal.removed_links:
        path = os.path.join(links, f"{device:x}-{inode:x}.removed")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size > 1:
                os.ftruncate(fd, status.st_size - 1)
            else:
                os.unlink(path)
        finally:
            os.close(fd)
