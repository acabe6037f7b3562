"""Makes objects of a view on the host, under names of their own beside the place where they are to come.

Rules: a file gets its name only when all of it is there, by one link(2); nothing that was there before is touched; what
fails half-way is the caller's to remove, by the names in the journal.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable

from ptoverlay.commit import attributes, kernel
from ptoverlay.commit.tree import Tree, join, split
from ptoverlay.console.progress import OBJECT, Advance
from ptoverlay.layer.view import Stat, View

_CHUNK = 1 << 24  # bytes moved by one copy_file_range(2)


class Stager:
    """Copies objects of `view` into `tree`.

    wanted: whether an object below a staged directory is part of it; whole: whether everything below it is; opaque:
    name of the attribute that makes a directory hide what lies below it, "" where it is to hide nothing; whiteouts:
    names that it is to hide; any_owner: owners that cannot be given are let be; linked: by identity in the view, where
    in the tree a file with several names is already; sync: fsync(2) each file; shareable: whether the file with this
    path and status in the view, open for reading, need not be copied.

    shared: what was not: path in the view, st_ino.
    """

    def __init__(self, view: View, tree: Tree, wanted: Callable[[str], bool], *,
                 whole: Callable[[str], bool], opaque: Callable[[str], str],
                 whiteouts: Callable[[str], Iterable[str]], any_owner: bool = False, sync: bool = True,
                 shareable: Callable[[str, Stat, int], bool] = lambda _path, _status, _fd: False,
                 advance: Advance = lambda _: None) -> None:
        self.view = view
        self.tree = tree
        self.wanted = wanted
        self.whole = whole
        self.opaque = opaque
        self.whiteouts = whiteouts
        self.any_owner = any_owner
        self.sync = sync
        self.advance = advance
        self.shareable = shareable
        self.shared: list[tuple[str, int]] = []
        self.linked: dict[tuple[int, int], str] = {}

    def stage(self, path: str, target: str) -> None:
        """Makes the object at `path` of the view, with what is below it, at `target` of the tree."""
        directories = []
        todo = [(path, target, False)]
        while todo:
            here, there, whole = todo.pop()
            whole = whole or self.whole(here)
            status = self.view.stat(here)
            self.advance(OBJECT)
            if not status.is_dir:
                self.object(here, there, status)
                continue
            self.directory(here, there)
            directories.append((here, there))
            children = [f"{here.rstrip('/')}/{name}" for name in self.view.list(here)]
            todo += ((child, join(there, split(child)[1]), whole) for child in children if whole or self.wanted(child))
        for here, there in reversed(directories):
            attributes.apply(self.tree, there, attributes.of(self.view, here), any_owner=self.any_owner)
            if self.sync:
                self.tree.sync(there)

    def directory(self, path: str, target: str) -> None:
        fd, name = self.tree.at(target)
        os.mkdir(name, 0o700, dir_fd=fd)
        opaque = self.opaque(path)
        if opaque:
            os.setxattr(self.tree.real(target), opaque, b"y", follow_symlinks=False)
        for gone in self.whiteouts(path):
            self.whiteout(join(target, gone))

    def whiteout(self, target: str) -> None:
        """What hides a name of the lowers (Documentation/filesystems/overlayfs.rst)."""
        fd, name = self.tree.at(target)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)

    def object(self, path: str, target: str, status: Stat) -> None:
        """Makes what is no directory."""
        several = status.nlink > 1
        if several and self.link(status.identity, target):
            return
        if status.is_file:
            self.file(path, target, status)
        else:
            fd, name = self.tree.at(target)
            if status.is_link:
                os.symlink(self.view.readlink(path), name, dir_fd=fd)
            else:
                os.mknod(name, status.type | 0o600, status.rdev, dir_fd=fd)
            attributes.apply(self.tree, target, attributes.of(self.view, path), any_owner=self.any_owner)
        if several:
            self.linked[status.identity] = target

    def link(self, identity: tuple[int, int], target: str) -> bool:
        """Gives a file that is there already one more name; False when there is none, or none on this file system."""
        first = self.linked.get(identity)
        if first is None:
            return False
        try:
            self.tree.link(first, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EMLINK):
                raise
            return False
        return True

    def file(self, path: str, target: str, status: Stat) -> None:
        source = self.view.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if not self.share(path, target, status, source):
                self.copy(path, target, status, source)
        finally:
            os.close(source)

    def share(self, path: str, target: str, status: Stat, source: int) -> bool:
        """Gives the upper's own file a name here; False where that is no way, and then there is none."""
        if not self.shareable(path, status, source):
            return False
        parent, name = self.tree.at(target)
        try:
            os.link(f"/proc/self/fd/{source}", name, dst_dir_fd=parent, follow_symlinks=True)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT):
                raise
            return False
        self.shared.append((path, os.fstat(source).st_ino))
        self.advance(status.size)
        if self.sync:
            os.fsync(source)
        return True

    def copy(self, path: str, target: str, status: Stat, source: int) -> None:
        parent, name = self.tree.at(target)
        out, nameless = _create(parent, name)
        try:
            copy_data(source, out, status.size, self.advance)
            if nameless:
                self.finish_nameless(path, target, out)
            else:
                attributes.apply(self.tree, target, attributes.of(self.view, path), any_owner=self.any_owner)
            if self.sync:
                os.fsync(out)
        finally:
            os.close(out)

    def finish_nameless(self, path: str, target: str, fd: int) -> None:
        """Attributes, and then the name, for a file of O_TMPFILE."""
        attributes.apply_to_descriptor(fd, attributes.of(self.view, path), any_owner=self.any_owner)
        parent, name = self.tree.at(target)
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=parent, follow_symlinks=True)


def _create(parent: int, name: str) -> tuple[int, bool]:
    """A new file in the directory, and whether it has no name yet."""
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(".", os.O_TMPFILE | flags, 0o600, dir_fd=parent), True
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            raise
    return os.open(name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | flags, 0o600, dir_fd=parent), False


def copy_data(source: int, target: int, size: int, advance: Advance) -> None:
    """Copies a file, sharing blocks where that is possible; holes stay holes."""
    if size and kernel.clone(source, target):
        advance(size)
        return
    at = 0
    while at < size:
        start, end = _extent(source, at, size)
        advance(start - at)
        _copy_range(source, target, start, end, advance)
        at = end
    os.ftruncate(target, size)


def _extent(fd: int, at: int, size: int) -> tuple[int, int]:
    """The next part of the file that is no hole."""
    try:
        start = os.lseek(fd, at, os.SEEK_DATA)
        return min(start, size), min(os.lseek(fd, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        return at, size


def _copy_range(source: int, target: int, start: int, end: int, advance: Advance) -> None:
    ranges = True
    while start < end:
        moved = 0
        if ranges:
            try:
                moved = os.copy_file_range(source, target, min(end - start, _CHUNK), start, start)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM):
                    raise
            ranges = moved > 0
        if not moved:
            data = os.pread(source, min(end - start, 1 << 20), start)
            if not data:
                return  # shorter than it was
            moved = os.pwrite(target, data, start)
        start += moved
        advance(moved)
