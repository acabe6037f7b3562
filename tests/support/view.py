"""The core's view through cffi, without a tracee: methods that raise OSError.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ptoverlay._core import ffi, lib


@dataclass(frozen=True)
class Stat:
    """The fields of struct pto_stat that tests look at; times in nanoseconds."""

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


def check(result: int, path: object = None) -> int:
    """The result, or OSError with its errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result), str(path))
    return result


class View:
    """One view with one or more overlays."""

    def __init__(self) -> None:
        self.view: Any = lib.pto_view_new()
        assert self.view != ffi.NULL

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of everything; the layers can be used by others then."""
        if self.view is not None:
            lib.pto_view_free(self.view)
            self.view = None

    def overlay(
        self, lowers: Sequence[Path], upper: Path | None, work: Path | None, mount: Path, flags: int = 0
    ) -> str:
        """Adds an overlay; raises OSError with the core's own message."""
        held = [ffi.new("char[]", os.fsencode(p)) for p in lowers]
        array = ffi.new("char *[]", held)
        names = [ffi.NULL if p is None else ffi.new("char[]", os.fsencode(p)) for p in (upper, work, mount)]
        overlay = ffi.new("struct pto_overlay *")
        overlay.lowers = array
        overlay.n_lowers = len(held)
        overlay.upper, overlay.work, overlay.mount = names
        overlay.flags = flags
        message = ffi.new("char[1024]")
        result = lib.pto_view_add_overlay(self.view, overlay, message, 1024)
        text: str = ffi.string(message).decode()
        if result < 0:
            raise OSError(-result, text)
        return text

    def place(self, kind: int, path: Path) -> None:
        """Adds a direct, read-only or hidden place."""
        message = ffi.new("char[1024]")
        check(lib.pto_view_add_place(self.view, kind, os.fsencode(path), message, 1024), path)

    def stat(self, path: Path, *, follow: bool = False) -> Stat:
        """stat(2) or lstat(2)."""
        out = ffi.new("struct pto_stat *")
        check(lib.pto_stat(self.view, os.fsencode(path), follow, out), path)
        fields = [getattr(out, n) for n in ("dev", "ino", "nlink", "size", "blocks", "rdev", "mode", "uid", "gid")]
        return Stat(*fields, mtime=out.mtime_sec * 10**9 + out.mtime_nsec)

    def real(self, path: Path, *, follow: bool = False) -> tuple[int, Path]:
        """Where it is from (PTO_FROM_* bits), and the real path."""
        out = ffi.new("char[4096]")
        bits = check(lib.pto_real(self.view, os.fsencode(path), follow, out, 4096), path)
        return bits, Path(os.fsdecode(ffi.string(out)))

    def map_back(self, real: Path | str) -> str:
        """The view's path of a real one."""
        out = ffi.new("char[4096]")
        check(lib.pto_map_back(self.view, os.fsencode(real), out, 4096), real)
        return os.fsdecode(ffi.string(out))

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """open(2)."""
        return check(lib.pto_open(self.view, os.fsencode(path), flags, mode), path)

    def read(self, path: Path) -> bytes:
        """The whole file."""
        with open(self.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            return file.read()

    def write(self, path: Path, data: bytes, flags: int = os.O_CREAT | os.O_TRUNC) -> None:
        """Writes a file by open, write, close."""
        with open(self.open(path, os.O_WRONLY | os.O_CLOEXEC | flags), "wb") as file:
            file.write(data)

    def list(self, path: Path) -> list[str]:
        """Names in a directory, sorted, without . and .."""
        size = check(lib.pto_list(self.view, os.fsencode(path), ffi.NULL, 0), path)
        out = ffi.new("char[]", max(size, 1))
        size = check(lib.pto_list(self.view, os.fsencode(path), out, max(size, 1)), path)
        names = [os.fsdecode(n) for n in bytes(ffi.buffer(out, size)).split(b"\0") if n]
        return sorted(n for n in names if n not in (".", ".."))

    def mkdir(self, path: Path, mode: int = 0o755) -> None:
        """mkdir(2)."""
        check(lib.pto_mkdir(self.view, os.fsencode(path), mode), path)

    def mknod(self, path: Path, mode: int, device: int = 0) -> None:
        """mknod(2)."""
        check(lib.pto_mknod(self.view, os.fsencode(path), mode, device), path)

    def symlink(self, target: str, path: Path) -> None:
        """symlink(2)."""
        check(lib.pto_symlink(self.view, target.encode(), os.fsencode(path)), path)

    def link(self, old: Path, new: Path) -> None:
        """link(2)."""
        check(lib.pto_link(self.view, os.fsencode(old), os.fsencode(new)), new)

    def unlink(self, path: Path) -> None:
        """unlink(2)."""
        check(lib.pto_unlink(self.view, os.fsencode(path)), path)

    def rmdir(self, path: Path) -> None:
        """rmdir(2)."""
        check(lib.pto_rmdir(self.view, os.fsencode(path)), path)

    def rename(self, old: Path, new: Path, flags: int = 0) -> None:
        """renameat2(2)."""
        check(lib.pto_rename(self.view, os.fsencode(old), os.fsencode(new), flags), old)

    def chmod(self, path: Path, mode: int) -> None:
        """chmod(2)."""
        check(lib.pto_chmod(self.view, os.fsencode(path), mode), path)

    def truncate(self, path: Path, size: int) -> None:
        """truncate(2)."""
        check(lib.pto_truncate(self.view, os.fsencode(path), size), path)

    def readlink(self, path: Path, size: int = 4096) -> str:
        """readlink(2)."""
        out = ffi.new("char[]", size)
        length = check(lib.pto_readlink(self.view, os.fsencode(path), out, size), path)
        return os.fsdecode(bytes(ffi.buffer(out, length)))

    def getxattr(self, path: Path, name: str) -> bytes:
        """lgetxattr(2)."""
        out = ffi.new("char[65536]")
        size = check(lib.pto_getxattr(self.view, os.fsencode(path), name.encode(), out, 65536), path)
        return bytes(ffi.buffer(out, size))

    def setxattr(self, path: Path, name: str, value: bytes, flags: int = 0) -> None:
        """lsetxattr(2)."""
        check(lib.pto_setxattr(self.view, os.fsencode(path), name.encode(), value, len(value), flags), path)

    def listxattr(self, path: Path) -> list[str]:
        """llistxattr(2)."""
        out = ffi.new("char[65536]")
        size = check(lib.pto_listxattr(self.view, os.fsencode(path), out, 65536), path)
        return sorted(n.decode() for n in bytes(ffi.buffer(out, size)).split(b"\0") if n)

    def removexattr(self, path: Path, name: str) -> None:
        """lremovexattr(2)."""
        check(lib.pto_removexattr(self.view, os.fsencode(path), name.encode()), path)
