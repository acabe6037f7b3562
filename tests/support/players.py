"""Two players of a sequence of calls: on a directory that the kernel shows, and on a view in this process.

Both give for every call ("ok", value) or ("error", name of the errno), in the same terms.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ptoverlay._core import lib
from ptoverlay.layer.view import View, check

from .sequences import WRITE_FLAGS, Step

#: mtimes after this second come from the clock.
RECENT = 1_500_000_000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Attributes:
    """What stat must agree on.  nlink, size: not of directories; mtime: "now" when the clock gave it;
    lower: the inode number when it is that of an object of a lower, else 0."""

    mode: int
    uid: int
    gid: int
    nlink: int
    size: int
    rdev: int
    mtime: int | str
    lower: int


Result = tuple[str, object]


class Player(Protocol):
    """The calls; each raises OSError."""

    def stat(self, path: str) -> Attributes: ...
    def list(self, path: str) -> list[str]: ...
    def read(self, path: str) -> bytes: ...
    def readlink(self, path: str) -> str: ...
    def listxattr(self, path: str) -> dict[str, bytes]: ...


def _attributes(
    mode: int, owner: tuple[int, int], nlink: int, size: int, rdev: int, mtime: int, lower: int
) -> Attributes:
    directory = stat.S_ISDIR(mode)
    return Attributes(mode, *owner, 0 if directory else nlink, 0 if directory else size, rdev,
                      "now" if mtime > RECENT else mtime, lower)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    finally:
        os.close(fd)


def _write(fd: int, data: str) -> None:
    try:
        os.write(fd, data.encode())
    finally:
        os.close(fd)


class KernelPlayer:
    """On a mount point.  inodes: inode numbers of the objects of the lowers."""

    def __init__(self, mount: Path, inodes: Collection[int]) -> None:
        self.mount = str(mount)
        self.inodes = inodes

    def at(self, path: str) -> str:
        return f"{self.mount}/{path}"

    def stat(self, path: str) -> Attributes:
        st = os.lstat(self.at(path))
        return _attributes(st.st_mode, (st.st_uid, st.st_gid), st.st_nlink, st.st_size, st.st_rdev, int(st.st_mtime),
                           st.st_ino if st.st_ino in self.inodes else 0)

    def list(self, path: str) -> list[str]:
        # In a directory that merges nothing the kernel lists whiteouts as well.
        return sorted(name for name in os.listdir(self.at(path)) if os.path.lexists(f"{self.at(path)}/{name}"))

    def read(self, path: str) -> bytes:
        return _read(os.open(self.at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))

    def readlink(self, path: str) -> str:
        return os.readlink(self.at(path))

    def listxattr(self, path: str) -> dict[str, bytes]:
        names = os.listxattr(self.at(path), follow_symlinks=False)
        return {name: os.getxattr(self.at(path), name, follow_symlinks=False) for name in sorted(names)}

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self.at(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self.at(path))

    def unlink(self, path: str) -> None:
        os.unlink(self.at(path))

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.at(path))

    def mkfifo(self, path: str, mode: int) -> None:
        os.mkfifo(self.at(path), mode)

    def link(self, old: str, new: str) -> None:
        os.link(self.at(old), self.at(new), follow_symlinks=False)

    def rename(self, old: str, new: str, flags: int) -> None:
        if _libc.renameat2(-100, os.fsencode(self.at(old)), -100, os.fsencode(self.at(new)), flags) < 0:
            raise OSError(ctypes.get_errno(), "renameat2")

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.at(path), uid, gid, follow_symlinks=False)

    def utimes(self, path: str, seconds: int) -> None:
        os.utime(self.at(path), (seconds, seconds), follow_symlinks=False)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self.at(path), size)

    def setxattr(self, path: str, name: str, value: str) -> None:
        os.setxattr(self.at(path), name, value.encode(), follow_symlinks=False)

    def setacl(self, path: str, value: str) -> None:
        os.setxattr(self.at(path), "system.posix_acl_access", bytes.fromhex(value), follow_symlinks=False)

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(self.at(path), name, follow_symlinks=False)

    def write(self, path: str, flags: str, data: str) -> None:
        _write(os.open(self.at(path), WRITE_FLAGS[flags] | os.O_NONBLOCK | os.O_CLOEXEC, 0o644), data)


class ViewPlayer:
    """On a view in this process whose overlay is mounted at `mount`."""

    def __init__(self, view: View, mount: Path, inodes: Collection[int]) -> None:
        self.view = view
        self.mount = str(mount)
        self.inodes = inodes

    def at(self, path: str) -> str:
        return f"{self.mount}/{path}"

    def stat(self, path: str) -> Attributes:
        st = self.view.stat(self.at(path))
        return _attributes(st.mode, (st.uid, st.gid), st.nlink, st.size, st.rdev, st.mtime // 10**9,
                           st.ino if st.ino in self.inodes else 0)

    def list(self, path: str) -> list[str]:
        return self.view.list(self.at(path))

    def read(self, path: str) -> bytes:
        return _read(self.view.open(self.at(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))

    def readlink(self, path: str) -> str:
        return self.view.readlink(self.at(path))

    def listxattr(self, path: str) -> dict[str, bytes]:
        names = self.view.listxattr(self.at(path))
        return {name: self.view.getxattr(self.at(path), name) for name in names}

    def mkdir(self, path: str, mode: int) -> None:
        self.view.mkdir(self.at(path), mode)

    def rmdir(self, path: str) -> None:
        self.view.rmdir(self.at(path))

    def unlink(self, path: str) -> None:
        self.view.unlink(self.at(path))

    def symlink(self, target: str, path: str) -> None:
        self.view.symlink(target, self.at(path))

    def mkfifo(self, path: str, mode: int) -> None:
        self.view.mknod(self.at(path), stat.S_IFIFO | mode)

    def link(self, old: str, new: str) -> None:
        self.view.link(self.at(old), self.at(new))

    def rename(self, old: str, new: str, flags: int) -> None:
        self.view.rename(self.at(old), self.at(new), flags)

    def chmod(self, path: str, mode: int) -> None:
        self.view.chmod(self.at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        ids = uid & 0xFFFFFFFF, gid & 0xFFFFFFFF   # not by View.chown: a Path drops the slash at the end
        check(lib.pto_chown(self.view.handle, os.fsencode(self.at(path)), 0, *ids))

    def utimes(self, path: str, seconds: int) -> None:
        check(lib.pto_utimens(self.view.handle, os.fsencode(self.at(path)), 0, seconds, 0, seconds, 0))

    def truncate(self, path: str, size: int) -> None:
        self.view.truncate(self.at(path), size)

    def setxattr(self, path: str, name: str, value: str) -> None:
        self.view.setxattr(self.at(path), name, value.encode())

    def setacl(self, path: str, value: str) -> None:
        self.view.setxattr(self.at(path), "system.posix_acl_access", bytes.fromhex(value))

    def removexattr(self, path: str, name: str) -> None:
        self.view.removexattr(self.at(path), name)

    def write(self, path: str, flags: str, data: str) -> None:
        _write(self.view.open(self.at(path), WRITE_FLAGS[flags] | os.O_NONBLOCK | os.O_CLOEXEC, 0o644), data)


def play(player: KernelPlayer | ViewPlayer, step: Step) -> Result:
    """One call."""
    try:
        return "ok", getattr(player, step.op)(*step.args)
    except OSError as error:
        return "error", errno.errorcode.get(error.errno or 0, str(error.errno))


@dataclass(frozen=True)
class Object:
    """What is under one name of a tree."""

    attributes: Attributes
    content: bytes | str | None
    xattrs: dict[str, bytes]


#: Errors stand as names of their errno.
Tree = dict[str, Object | str]


def tree(player: KernelPlayer | ViewPlayer, top: str = "") -> Tree:
    """Everything below a directory, "" for all."""
    out: Tree = {}
    try:
        names = player.list(top or ".")
    except OSError as error:
        return {f"{top}/": errno.errorcode[error.errno or 0]}
    for name in names:
        path = f"{top}/{name}" if top else name
        found = out[path] = _object(player, path)
        if isinstance(found, Object) and stat.S_ISDIR(found.attributes.mode):
            out |= tree(player, path)
    return out


def _object(player: KernelPlayer | ViewPlayer, path: str) -> Object | str:
    content: bytes | str | None = None
    try:
        attributes = player.stat(path)
        if stat.S_ISREG(attributes.mode):
            content = player.read(path)
        elif stat.S_ISLNK(attributes.mode):
            content = player.readlink(path)
        return Object(attributes, content, player.listxattr(path))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
