"""A tree on the host that is being changed: names are reached from the descriptor of its root.

Paths are relative to the root, "" is the root itself.

Rules: no symbolic link and no ".." is ever followed, so nothing outside the tree can be reached however it is changed
meanwhile; a file that has a name is complete.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import bisect
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from ptoverlay.commit import kernel
from ptoverlay.remove import remove_tree

#: Directories of which descriptors are kept: of what is done to one name some is about the directory above.
_KEPT = 16
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def split(path: str) -> tuple[str, str]:
    """The directory and the last name of a path."""
    parent, _, name = path.rpartition("/")
    return parent, name


def join(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


def mapped(path: str, places: Mapping[Any, str]) -> str:
    """Where a path leads once things have got other places: the nearest one above it that `places` has says."""
    above = path
    while above:
        if above in places:
            return places[above] + path[len(above):]
        above = split(above)[0]
    return path


def below(path: str, top: str) -> bool:
    """Whether the path is `top` or lies below it."""
    return not top or path == top or path.startswith(f"{top}/")


class Sorted:
    """Paths that can be asked for what lies below a directory."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._keys = sorted(path.split("/") for path in paths)

    def below(self, top: str) -> list[str]:
        """Those that are `top` or lie below it."""
        parts = top.split("/") if top else []
        first = bisect.bisect_left(self._keys, parts)
        found = []
        for i in range(first, len(self._keys)):
            if self._keys[i][:len(parts)] != parts:
                break
            found.append("/".join(self._keys[i]))
        return found


def _plain(name: str) -> str:
    """The name, unless it leads out of its directory."""
    if name in (".", ".."):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return name


class Tree:
    """A tree that is changed by name.  All methods raise OSError."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kept: dict[str, int] = {}  # the oldest first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the descriptors."""
        self.forget("")
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def forget(self, *tops: str) -> None:
        """Directories that are these, or below them, may have other names from now on."""
        for path in [path for path in self._kept if any(below(path, top) for top in tops)]:
            os.close(self._kept.pop(path))

    # ---- reaching

    def directory(self, path: str) -> int:
        """A descriptor of the directory, the caller's to close; good for *at calls only."""
        top = path
        while top and top not in self._kept:  # a step from where another call was, not all the way again
            top = top.rpartition("/")[0]
        fd = os.open(".", _DIRECTORY, dir_fd=self._kept.get(top, self._fd))
        for name in path[len(top):].strip("/").split("/") if path != top else ():
            try:
                below_fd = os.open(_plain(name), _DIRECTORY, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below_fd
        return fd

    def at(self, path: str) -> tuple[int, str]:
        """Directory descriptor (good until the next call of a method) and name."""
        parent, _, name = path.rpartition("/")
        fd = self._kept.get(parent)
        if fd is None:
            fd = self.directory(parent)
            if len(self._kept) == _KEPT:
                os.close(self._kept.pop(next(iter(self._kept))))
            self._kept[parent] = fd
        return fd, _plain(name) if name else "."

    def real(self, path: str) -> str:
        """A path for calls that take no descriptor, good until the next call of a method; it may name a symlink."""
        fd, name = self.at(path)
        return f"/proc/self/fd/{fd}/{name}"

    @contextmanager
    def handle(self, path: str) -> Iterator[str]:
        """A path that leads to the object itself, never to what a symlink names, for as long as the context lasts."""
        fd, name = self.at(path)
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)

    # ---- looking

    def lstat(self, path: str) -> os.stat_result | None:
        """None when there is no such name."""
        try:
            fd, name = self.at(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symlink where a directory was
                return None
            raise

    def identity(self, path: str) -> list[int] | None:
        """[st_dev, st_ino], None when there is no such name."""
        status = self.lstat(path)
        return None if status is None else [status.st_dev, status.st_ino]

    def writable(self, path: str) -> bool:
        """Whether names can be made and removed in this directory."""
        fd, name = self.at(path)
        return os.access(name, os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True)

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """The object and all below it, directories before what they hold."""
        todo = [path]
        while todo:
            here = todo.pop()
            status = self.lstat(here)
            if status is None:
                continue
            yield here, status
            if stat.S_ISDIR(status.st_mode):
                todo += (join(here, name) for name in self.names(here))

    def names(self, path: str) -> list[str]:
        """Sorted backwards, so that a stack gives them in order."""
        fd, name = self.at(path)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            return sorted(os.listdir(handle), reverse=True)
        finally:
            os.close(handle)

    # ---- changing

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """renameat2(2); without flags a file replaces a file."""
        with self._both(old, new) as (source, old_name, target, new_name):
            if flags:
                kernel.rename2(source, old_name, target, new_name, flags)
            else:
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
        self.forget(old, new)

    @contextmanager
    def _both(self, old: str, new: str) -> Iterator[tuple[int, str, int, str]]:
        """Directory descriptor and name of two paths, for as long as the context lasts."""
        target, new_name = self.at(new)
        if split(old)[0] == split(new)[0]:
            yield target, split(old)[1] or ".", target, new_name
            return
        target = os.dup(target)
        try:
            yield *self.at(old), target, new_name
        finally:
            os.close(target)

    def link(self, old: str, new: str) -> None:
        """link(2), of the object itself."""
        with self._both(old, new) as (source, old_name, target, new_name):
            os.link(old_name, new_name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def sync_all(self, paths: Iterable[str]) -> None:
        """Everything is on the disk, names and contents, of each file system that has one of these directories."""
        done = set()
        for path in paths:
            fd, name = self.at(path)
            handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                if (device := os.fstat(handle).st_dev) not in done:
                    kernel.syncfs(handle)
                    done.add(device)
            finally:
                os.close(handle)

    def remove(self, path: str) -> None:
        """Removes the object and all below it; that it is not there is no error."""
        status = self.lstat(path)
        if status is None:
            return
        fd, name = self.at(path)
        if stat.S_ISDIR(status.st_mode):
            remove_tree(f"/proc/self/fd/{fd}/{name}")
            self.forget(path)
        else:
            os.unlink(name, dir_fd=fd)

    def sync(self, path: str) -> None:
        """The names of the directory are on the disk when this returns."""
        fd, name = self.at(path)
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
