"""The merged view as the tools and the API use it: the core's calls with Python's types and OSError.

    with View() as view:
        view.lay(["/"], upper, work, "/")
        view.read("/etc/hostname")

Rules: all paths are absolute paths of the view; nothing here knows what a layer means, the core does; every method
that fails raises OSError with the errno of the call it is named after (see its man page) and the view's path.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

from ptoverlay import run
from ptoverlay._core import ffi, lib
from ptoverlay.layer import holes

Path = str | os.PathLike[str]
_Names = list[str]  # `list` is a method of View

_PATH_MAX = 4096
_MESSAGE_SIZE = 1024
_XATTR_SIZE_MAX = 65536  # linux/limits.h
#: struct pto_stat: dev ino nlink size blocks rdev, mode uid gid blksize, seconds of mtime atime ctime, nanoseconds.
_STAT = struct.Struct("=6Q4I3q3I4x")
_MODE = 6  # its place in it

#: Kinds in a layer: DT_* of readdir(3) as file types of st_mode.
_TYPES = {1: stat.S_IFIFO, 2: stat.S_IFCHR, 4: stat.S_IFDIR, 6: stat.S_IFBLK, 8: stat.S_IFREG, 10: stat.S_IFLNK,
          12: stat.S_IFSOCK}
WHITEOUT = 14


class Stat(NamedTuple):
    """struct pto_stat: what lstat(2) shows in the view.  size in bytes, blocks of 512 bytes, times in nanoseconds."""

    dev: int
    ino: int
    nlink: int
    size: int
    blocks: int
    rdev: int
    mode: int
    uid: int
    gid: int
    mtime: int
    atime: int
    ctime: int

    @property
    def type(self) -> int:
        """The file type: stat.S_IFMT of the mode."""
        return stat.S_IFMT(self.mode)

    @property
    def is_dir(self) -> bool:
        return self.type == stat.S_IFDIR

    @property
    def is_file(self) -> bool:
        return self.type == stat.S_IFREG

    @property
    def is_link(self) -> bool:
        return self.type == stat.S_IFLNK

    @property
    def identity(self) -> tuple[int, int]:
        """(st_dev, st_ino): what copy-up and rename keep."""
        return self.dev, self.ino


def _stat(found: tuple[int, ...]) -> Stat:
    mtime, atime, ctime, mtime_rest, atime_rest, ctime_rest = found[10:]
    times = (mtime * 10**9 + mtime_rest, atime * 10**9 + atime_rest, ctime * 10**9 + ctime_rest)
    return Stat._make((*found[:9], *times))


class Entry(NamedTuple):
    """struct pto_entry: what the layers hold under a path.

    upper, lower: a file type (stat.S_IFREG…), 0 for nothing; whiteout: the upper hides the name; layer: number of the
    topmost lower that has it, from 1, 0 for none; upper_path: real path in the upper, whether it exists or not, ""
    without an upper; lower_path: real path in the topmost lower that has it, or "".
    """

    upper: int
    whiteout: bool
    lower: int
    layer: int
    opaque: bool
    redirect: bool
    hidden: bool
    direct: bool
    upper_path: str
    lower_path: str


def check(result: int, path: Path | None = None) -> int:
    """The result, or OSError with its errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result), None if path is None else os.fspath(path))
    return result


class View(run.CoreView):
    """A merged view, used without a tracee.  Enter its context, then `lay` one overlay or more."""

    __slots__ = ()

    def __enter__(self) -> View:
        super().__enter__()
        return self

    def lay(self, lowers: Sequence[Path], upper: Path | None, work: Path | None, mount: Path, flags: int = 0,
            n_data: int = 0) -> None:
        """Adds an overlay (struct pto_overlay); OSError with the core's own message."""
        held = [ffi.new("char[]", os.fsencode(path)) for path in lowers]
        named = {name: ffi.NULL if path is None else ffi.new("char[]", os.fsencode(path))
                 for name, path in (("upper", upper), ("work", work), ("mount", mount))}
        array = ffi.new("char *[]", held)
        spec = ffi.new("struct pto_overlay *", {
            "lowers": ffi.cast("const char *const *", array), "n_lowers": len(held), "flags": flags,
            "n_data": n_data, **named})
        message = ffi.new("char[]", _MESSAGE_SIZE)
        result = lib.pto_view_add_overlay(self.handle, spec, message, _MESSAGE_SIZE)
        if result < 0:
            what, _, why = os.fsdecode(ffi.string(message)).partition(": ")
            raise OSError(-result, why or os.strerror(-result), what or os.fspath(mount))

    # ---- looking ----

    def stat(self, path: Path, *, follow: bool = False) -> Stat:
        """lstat(2), or stat(2) with follow."""
        out = ffi.new("struct pto_stat *")
        check(lib.pto_stat(self.handle, os.fsencode(path), follow, out), path)
        return _stat(_STAT.unpack(ffi.buffer(out)))

    def find(self, path: Path) -> Stat | None:
        """lstat(2), or None where nothing is."""
        try:
            return self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entry(self, path: Path) -> Entry:
        """What the layers hold there; FileNotFoundError when not even a whiteout has the name."""
        out: Any = ffi.new("struct pto_entry *")
        check(lib.pto_entry(self.handle, os.fsencode(path), out), path)
        return Entry(
            upper=_TYPES.get(out.upper, 0), whiteout=out.upper == WHITEOUT, lower=_TYPES.get(out.lower, 0),
            layer=out.layer, opaque=bool(out.flags & lib.PTO_ENTRY_OPAQUE),
            redirect=bool(out.flags & lib.PTO_ENTRY_REDIRECT), hidden=bool(out.flags & lib.PTO_ENTRY_HIDDEN),
            direct=bool(out.flags & lib.PTO_ENTRY_DIRECT), upper_path=os.fsdecode(ffi.string(out.upper_path)),
            lower_path=os.fsdecode(ffi.string(out.lower_path)))

    def upper_list(self, path: Path) -> Sequence[tuple[str, int]]:
        """(name, file type) of what the upper has in a directory, sorted; the type of a whiteout is 0."""
        return sorted(self._upper_names(path))

    def _upper_names(self, path: Path) -> Sequence[tuple[str, int]]:
        data = self._sized(lambda out, size: lib.pto_upper_list(self.handle, os.fsencode(path), out, size), path)
        return [(os.fsdecode(record[1:]), _TYPES.get(record[0], 0)) for record in data.split(b"\0")[:-1]]

    def upper_stats(self, path: Path) -> dict[str, tuple[int, Stat | None]]:
        """The same with what lstat(2) shows, sorted; None: a whiteout, or it fails.  For who alone changes the view."""
        names = self._upper_names(path)
        out = ffi.new("struct pto_stat[]", len(names))
        check(lib.pto_upper_stats(self.handle, os.fsencode(path), out, len(names)), path)
        found = {name: (kind, _stat(status) if status[_MODE] else None)
                 for (name, kind), status in zip(names, _STAT.iter_unpack(ffi.buffer(out)), strict=True)}
        return dict(sorted(found.items()))

    def list(self, path: Path) -> _Names:
        """Names in a directory, sorted, without . and .."""
        data = self._sized(lambda out, size: lib.pto_list(self.handle, os.fsencode(path), out, size), path)
        return sorted(name for name in map(os.fsdecode, data.split(b"\0")) if name not in ("", ".", ".."))

    def real(self, path: Path, *, follow: bool = False) -> tuple[int, str]:
        """Where it is from (PTO_FROM_* bits), and the real path."""
        out = ffi.new("char[]", _PATH_MAX)
        bits = check(lib.pto_real(self.handle, os.fsencode(path), follow, out, _PATH_MAX), path)
        return bits, os.fsdecode(ffi.string(out))

    def map_back(self, real: Path) -> str:
        """The view's path of a real one."""
        out = ffi.new("char[]", _PATH_MAX)
        check(lib.pto_map_back(self.handle, os.fsencode(real), out, _PATH_MAX), real)
        return os.fsdecode(ffi.string(out))

    def readlink(self, path: Path, size: int = _PATH_MAX) -> str:
        """readlink(2) with a buffer of size bytes."""
        out = ffi.new("char[]", size)
        length = check(lib.pto_readlink(self.handle, os.fsencode(path), out, size), path)
        return os.fsdecode(bytes(ffi.buffer(out, length)))

    def getxattr(self, path: Path, name: str) -> bytes:
        """lgetxattr(2)."""
        out = ffi.new("char[]", _XATTR_SIZE_MAX)
        size = check(lib.pto_getxattr(self.handle, os.fsencode(path), os.fsencode(name), out, _XATTR_SIZE_MAX), path)
        return bytes(ffi.buffer(out, size))

    def listxattr(self, path: Path) -> _Names:
        """llistxattr(2), sorted."""
        out = ffi.new("char[]", _XATTR_SIZE_MAX)
        size = check(lib.pto_listxattr(self.handle, os.fsencode(path), out, _XATTR_SIZE_MAX), path)
        return sorted(map(os.fsdecode, filter(None, bytes(ffi.buffer(out, size)).split(b"\0"))))

    def xattrs(self, path: Path) -> dict[str, bytes]:
        """All extended attributes; {} where the file system has none."""
        try:
            return {name: self.getxattr(path, name) for name in self.listxattr(path)}
        except OSError:
            return {}

    def read(self, path: Path) -> bytes:
        """The whole file."""
        with open(self.open(path, os.O_RDONLY), "rb") as file:
            return file.read()

    def same_content(self, path: Path, other: View, other_path: Path) -> bool:
        """Whether two regular files hold the same bytes; reads them in pieces, and no holes."""
        with open(self.open(path, os.O_RDONLY), "rb", buffering=0) as one, \
                open(other.open(other_path, os.O_RDONLY), "rb", buffering=0) as two:
            return holes.same(one.fileno(), two.fileno())

    # ---- changing ----

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """open(2); the descriptor is closed on exec."""
        return check(lib.pto_open(self.handle, os.fsencode(path), flags | os.O_CLOEXEC, mode), path)

    def write(self, path: Path, data: bytes, flags: int = os.O_CREAT | os.O_TRUNC) -> None:
        """Writes a file by open, write, close."""
        with open(self.open(path, os.O_WRONLY | flags), "wb") as file:
            file.write(data)

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        """mkdir(2)."""
        check(lib.pto_mkdir(self.handle, os.fsencode(path), mode), path)

    def mknod(self, path: Path, mode: int, device: int = 0) -> None:
        """mknod(2)."""
        check(lib.pto_mknod(self.handle, os.fsencode(path), mode, device), path)

    def symlink(self, target: Path, path: Path) -> None:
        """symlink(2)."""
        check(lib.pto_symlink(self.handle, os.fsencode(target), os.fsencode(path)), path)

    def link(self, old: Path, new: Path) -> None:
        """link(2)."""
        check(lib.pto_link(self.handle, os.fsencode(old), os.fsencode(new)), new)

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        check(lib.pto_unlink(self.handle, os.fsencode(path)), path)

    def rmdir(self, path: Path) -> None:
        """rmdir(2)."""
        check(lib.pto_rmdir(self.handle, os.fsencode(path)), path)

    def rename(self, old: Path, new: Path, flags: int = 0) -> None:
        """renameat2(2)."""
        check(lib.pto_rename(self.handle, os.fsencode(old), os.fsencode(new), flags), old)

    def chmod(self, path: Path, mode: int) -> None:
        """chmod(2)."""
        check(lib.pto_chmod(self.handle, os.fsencode(path), mode), path)

    def chown(self, path: Path, uid: int, gid: int) -> None:
        """lchown(2); -1 leaves an id as it is."""
        check(lib.pto_chown(self.handle, os.fsencode(path), False, uid & 0xFFFFFFFF, gid & 0xFFFFFFFF), path)

    def utimens(self, path: Path, atime: int, mtime: int) -> None:
        """utimensat(2) of the object itself; nanoseconds since 1970."""
        times = (*divmod(atime, 10**9), *divmod(mtime, 10**9))
        check(lib.pto_utimens(self.handle, os.fsencode(path), False, *times), path)

    def truncate(self, path: Path, size: int) -> None:
        """truncate(2)."""
        check(lib.pto_truncate(self.handle, os.fsencode(path), size), path)

    def setxattr(self, path: Path, name: str, value: bytes, flags: int = 0) -> None:
        """lsetxattr(2)."""
        check(lib.pto_setxattr(self.handle, os.fsencode(path), os.fsencode(name), value, len(value), flags), path)

    def removexattr(self, path: Path, name: str) -> None:
        """lremovexattr(2)."""
        check(lib.pto_removexattr(self.handle, os.fsencode(path), os.fsencode(name)), path)

    def index_size(self) -> tuple[int, int]:
        """Entries that the index of the upper holds, and the bytes they take."""
        out = ffi.new("uint64_t[2]")
        lib.pto_index_size(self.handle, out, out + 1)
        return int(out[0]), int(out[1])

    @staticmethod
    def _sized(call: Any, path: Path) -> bytes:
        """What a call writes that tells its size when it is asked with a size of 0."""
        size = check(call(ffi.NULL, 0), path)
        if not size:
            return b""
        out = ffi.new("char[]", size)
        return bytes(ffi.buffer(out, check(call(out, size), path)))
