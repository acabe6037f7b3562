"""A copy of a layer that shares its files: directories are made anew, all else is linked.

Rules: what is copied is only looked at; the copy's directories have the attributes of the originals.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ptoverlay.layer import holes

_CHUNK = 1 << 20


@dataclass
class DirectoryLook:
    """Of a directory.  Times in nanoseconds."""

    mode: int
    uid: int
    gid: int
    atime: int
    mtime: int
    xattrs: dict[str, bytes]

    @classmethod
    def of(cls, path: str) -> DirectoryLook:
        status = os.lstat(path)
        xattrs = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_atime_ns, status.st_mtime_ns,
                   xattrs)

    def give(self, path: str) -> None:
        """All of them but the times, which what is done in the directory changes."""
        status = os.lstat(path)
        there = os.listxattr(path)
        os.chmod(path, 0o700)  # user.* attributes need write permission
        for name in there:
            if name not in self.xattrs:
                os.removexattr(path, name)
        for name, value in self.xattrs.items():
            os.setxattr(path, name, value)
        if (status.st_uid, status.st_gid) != (self.uid, self.gid):
            os.chown(path, self.uid, self.gid)
        os.chmod(path, self.mode)

    def give_times(self, path: str) -> None:
        os.utime(path, ns=(self.atime, self.mtime))


@contextmanager
def opened(path: str, bits: int = 0o700) -> Iterator[None]:
    """An object of ours has these bits of its owner's meanwhile, whatever its mode: a directory can be read and
    changed, a file takes user.* attributes (0o200)."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    if mode & bits == bits or not os.geteuid():
        yield
        return
    os.chmod(path, mode | bits)
    try:
        yield
    finally:
        os.chmod(path, mode)


def link_tree(old: str, new: str, seen: dict[tuple[int, int], str]) -> None:
    """Copies a directory with all that is in it to where nothing is.  seen: gets the copy's path of each file, by what
    identifies it."""
    os.mkdir(new, 0o700)
    todo = [(old, new)]
    made = []
    while todo:
        source, target = todo.pop()
        made.append((DirectoryLook.of(source), target))
        with opened(source), os.scandir(source) as entries:
            device = os.lstat(source).st_dev
            for entry in entries:
                path = f"{target}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    os.mkdir(path, 0o700)
                    todo.append((entry.path, path))
                else:
                    os.link(entry.path, path, follow_symlinks=False)
                    seen[device, entry.inode()] = path
    for attributes, target in reversed(made):
        attributes.give(target)
        attributes.give_times(target)


def link_files(old: str, new: str, seen: dict[tuple[int, int], str]) -> None:
    """The same for a directory that need not be there, of files alone."""
    if os.path.isdir(old):
        link_tree(old, new, seen)


def copy_data(source: int, target: int) -> None:
    """Copies what an open file holds to an empty one; holes stay holes, and blocks are shared where they can be."""
    size = os.fstat(source).st_size
    os.truncate(target, size)
    for at, end in holes.pieces(source, size):
        while at < end and (count := _copy_range(source, target, end - at, at)):
            at += count


def _copy_range(source: int, target: int, count: int, at: int) -> int:
    try:
        return os.copy_file_range(source, target, count, at, at)
    except OSError:
        return os.pwrite(target, os.pread(source, min(count, _CHUNK), at), at)
