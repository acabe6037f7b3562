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
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ptoverlay import run
from ptoverlay.core import ffi, lib
from ptoverlay.layer import holes, private

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
    """A merged view, used without a tracee.  Enter its context, then `lay` one overlay or more.

    steps: how many of the lowers, the first ones, are earlier uppers: `entry` and `upper_list` tell of all of these as
    of one upper.  names: where the upper is a copy that shares its files, how many names each has in it, by inode
    number: `stat` counts no others."""

    __slots__ = ("faked", "names", "steps")

    def __enter__(self) -> View:
        super().__enter__()
        self.steps = 0
        self.faked = False
        self.names: dict[int, int] | None = None
        return self

    def lay(self, lowers: Sequence[Path], upper: Path | None, work: Path | None, mount: Path, flags: int = 0,
            n_data: int = 0, *, steps: int = 0) -> None:
        """Adds an overlay (struct pto_overlay); OSError with the core's own message."""
        self.steps = steps
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
        if os.geteuid():
            lib.pto_view_read_all(self.handle)
        self.faked = os.geteuid() != 0 and any(map(private.is_faked, [*([] if upper is None else [upper]), *lowers]))

    def show_faked(self) -> View:
        """Where a fake root has changed the layers this user's objects are root's from now on, as he saw them."""
        if self.faked:
            lib.pto_view_fake_root(self.handle)
        return self

    # ---- looking ----

    def stat(self, path: Path, *, follow: bool = False) -> Stat:
        """lstat(2), or stat(2) with follow."""
        out = ffi.new("struct pto_stat *")
        check(lib.pto_stat(self.handle, os.fsencode(path), follow, out), path)
        found = _stat(_STAT.unpack(ffi.buffer(out)))
        return found if self.names is None or found.nlink < 2 or found.is_dir else self._counted(path, found, follow)

    def _counted(self, path: Path, found: Stat, follow: bool) -> Stat:
        bits, real = self.real(path, follow=follow)
        if not bits & lib.PTO_FROM_UPPER or self.names is None:
            return found
        status = os.lstat(real)
        return found._replace(nlink=found.nlink - status.st_nlink + self.names.get(status.st_ino, status.st_nlink))

    def find(self, path: Path) -> Stat | None:
        """lstat(2), or None where nothing is."""
        try:
            return self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def entry(self, path: Path) -> Entry:
        """What the layers hold there; FileNotFoundError when not even a whiteout has the name."""
        if self.steps:
            return _Stacked(self, os.fspath(path)).entry()
        return self.entry_of_top(path)

    def entry_of_top(self, path: Path) -> Entry:
        """The same with earlier uppers as the lowers that they are."""
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
        names = dict(self._upper_names(path))
        if self.steps:
            names = {**_Stacked(self, os.fspath(path)).names(), **names}
        return sorted(names.items())

    def lower_dirs(self, path: Path) -> Sequence[tuple[int, str]]:
        """(number, real path) of the directories of lowers that a directory merges, topmost first; the first is 1."""
        data = self._sized(lambda out, size: lib.pto_lower_dirs(self.handle, os.fsencode(path), out, size), path)
        words = (text.partition(b" ") for text in data.split(b"\0") if text)
        return [(int(number), os.fsdecode(real)) for number, _, real in words]

    def _upper_names(self, path: Path) -> Sequence[tuple[str, int]]:
        data = self._sized(lambda out, size: lib.pto_upper_list(self.handle, os.fsencode(path), out, size), path)
        return [(os.fsdecode(record[1:]), _TYPES.get(record[0], 0)) for record in data.split(b"\0")[:-1]]

    def upper_stats(self, path: Path) -> dict[str, tuple[int, Stat | None]]:
        """The same with what lstat(2) shows, sorted; None: a whiteout, or it fails.  For who alone changes the view."""
        if self.steps or self.names is not None:
            return {name: (kind, self.find(f"{os.fspath(path).rstrip('/')}/{name}") if kind else None)
                    for name, kind in self.upper_list(path)}
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

    def remove(self, path: Path) -> None:
        """unlink(2), or rmdir(2) of a directory with all that is in it, the deepest first."""
        found = [(os.fspath(path), self.stat(path).is_dir)]
        for here, is_dir in found:  # which grows meanwhile: a tree may be deeper than calls can be
            if is_dir:
                names = (f"{here.rstrip('/')}/{name}" for name in self.list(here))
                found.extend((below, self.stat(below).is_dir) for below in names)
        for here, is_dir in reversed(found):
            (self.rmdir if is_dir else self.unlink)(here)

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


class _Stacked:
    """A path of a view whose first lowers are earlier uppers, which count as parts of the upper."""

    def __init__(self, view: View, path: str) -> None:
        self.view = view
        self.path = path

    def directories(self, path: str) -> Iterator[tuple[int, str]]:
        """What a directory merges of the earlier uppers."""
        for number, real in self.view.lower_dirs(path):
            if number <= self.view.steps:
                yield number, real

    def names(self) -> dict[str, int]:
        """What the earlier uppers have in a directory; 0 for a whiteout."""
        found: dict[str, int] = {}
        for _, real in self.directories(self.path):
            with os.scandir(real) as entries:
                for entry in entries:
                    if entry.name not in found:
                        found[entry.name] = _kind(entry.stat(follow_symlinks=False), entry.path)
        return found

    def entry(self) -> Entry:
        try:
            entry = self.view.entry_of_top(self.path)
        except FileNotFoundError:
            whiteout = self.whiteout()
            if whiteout is None:
                raise
            return whiteout
        if entry.hidden or entry.direct or not entry.layer:
            return entry
        if entry.layer > self.view.steps:
            return entry._replace(layer=entry.layer - self.view.steps)
        below = entry._replace(lower=0, layer=0, lower_path="")
        if not entry.upper and not entry.whiteout:
            below = below._replace(upper=entry.lower, upper_path=entry.lower_path)
        return self.merged(below) if below.upper == stat.S_IFDIR and not entry.opaque else below

    def merged(self, entry: Entry) -> Entry:
        """With what the directories of the earlier uppers say."""
        for number, real in self.view.lower_dirs(self.path):
            if number > self.view.steps:
                return entry._replace(lower=stat.S_IFDIR, layer=number - self.view.steps, lower_path=real)
            entry = entry._replace(opaque=entry.opaque or _mark(real, "opaque") == b"y",
                            redirect=entry.redirect or _mark(real, "redirect") is not None)
        return entry

    def whiteout(self) -> Entry | None:
        """That of an earlier upper which hides the name."""
        parent, _, name = self.path.rstrip("/").rpartition("/")
        try:
            directories = list(self.directories(parent or "/"))
        except OSError:
            return None
        for _, real in directories:
            path = os.path.join(real, name)
            if os.path.lexists(path) and not _kind(os.lstat(path), path):
                return Entry(0, True, 0, 0, False, False, False, False, path, "")
        return None


def _mark(path: str, name: str) -> bytes | None:
    """A mark of an overlay."""
    for prefix in (private.TRUSTED, private.USER):
        try:
            return os.getxattr(path, prefix + name, follow_symlinks=False)
        except OSError:
            pass
    return None


def _kind(status: os.stat_result, path: str) -> int:
    """File type of what a layer has, 0 for a whiteout."""
    if stat.S_ISCHR(status.st_mode) and not status.st_rdev:
        return 0
    if stat.S_ISREG(status.st_mode) and not status.st_size and _mark(path, "whiteout") is not None:
        return 0
    return stat.S_IFMT(status.st_mode)
