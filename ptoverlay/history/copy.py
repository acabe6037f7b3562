"""A copy of a layer that shares its files, or has files of its own (`Apart`): directories are made anew, all else is
linked.

Rules: what is copied is only looked at; the copy's directories have the attributes of the originals.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from ptoverlay.commit.kernel import birth_time
from ptoverlay.layer import holes, private

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


Place = Callable[[str, str], None]


def link(old: str, new: str) -> None:
    """The file itself gets one more name."""
    os.link(old, new, follow_symlinks=False)


@dataclass
class Apart:
    """In the place of `link`: the new name is of a copy, one for all names of a file.  prefix: of private attributes;
    numbers: gets the inode number of each copy."""

    prefix: str
    numbers: dict[tuple[int, int], int] = field(default_factory=dict)
    made: dict[tuple[int, int], str] = field(default_factory=dict)

    def __call__(self, old: str, new: str) -> None:
        status = os.lstat(old)
        key = status.st_dev, status.st_ino
        if key in self.made:
            link(self.made[key], new)
            return
        with opened(old, 0o400) if stat.S_ISREG(status.st_mode) else nullcontext():
            _copy_object(old, new, status, self.prefix)
        self.made[key] = new
        self.numbers[key] = os.lstat(new).st_ino


def _copy_object(old: str, new: str, status: os.stat_result, prefix: str) -> None:
    """One that is no directory, with all its attributes."""
    if stat.S_ISREG(status.st_mode):
        _copy_file(old, new)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(old), new)
    else:
        os.mknod(new, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev)
    made = os.lstat(new)
    if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
        os.chown(new, status.st_uid, status.st_gid, follow_symlinks=False)
    for name in os.listxattr(old, follow_symlinks=False):
        os.setxattr(new, name, os.getxattr(old, name, follow_symlinks=False), follow_symlinks=False)
    if stat.S_ISREG(status.st_mode) or prefix == private.TRUSTED:
        for name, value in taken_over(old, prefix).items():
            os.setxattr(new, name, value, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(new, stat.S_IMODE(status.st_mode))
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _copy_file(old: str, new: str) -> None:
    copy_between(lambda: os.open(old, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC),
                 lambda: os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def taken_over(path: str, prefix: str) -> dict[str, bytes]:
    """The attribute that tells of a copy since when its original has had its place."""
    name = prefix + private.SINCE
    if name in os.listxattr(path, follow_symlinks=False):
        return {name: os.getxattr(path, name, follow_symlinks=False)}
    born = birth_time(path)
    return {} if born is None else {name: b"%d" % born}


def link_tree(old: str, new: str, seen: dict[tuple[int, int], str], prefix: str, place: Place = link) -> None:
    """Copies a directory with all that is in it to where nothing is.  seen: gets the copy's path of each file, by what
    identifies it; prefix: of private attributes; place: gives a file its name there."""
    os.mkdir(new, 0o700)
    todo = [(old, new)]
    made = []
    while todo:
        source, target = todo.pop()
        attributes = DirectoryLook.of(source)
        attributes.xattrs.update(taken_over(source, prefix))
        made.append((attributes, target))
        with opened(source), os.scandir(source) as entries:
            device = os.lstat(source).st_dev
            for entry in entries:
                path = f"{target}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    os.mkdir(path, 0o700)
                    todo.append((entry.path, path))
                else:
                    place(entry.path, path)
                    seen[device, entry.inode()] = path
    for attributes, target in reversed(made):
        attributes.give(target)
        attributes.give_times(target)


def link_files(old: str, new: str, seen: dict[tuple[int, int], str], prefix: str, place: Place = link) -> None:
    """The same for a directory that need not be there, of files alone."""
    if os.path.isdir(old):
        link_tree(old, new, seen, prefix, place)


def copy_between(open_source: Callable[[], int], open_target: Callable[[], int]) -> None:
    """`copy_data` for files that are opened for it, the target after the source."""
    source = open_source()
    try:
        target = open_target()
        try:
            copy_data(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


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
