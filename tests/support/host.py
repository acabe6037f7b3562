"""Keeps what the tests do off the machine: mounts in a namespace of their own, a base directory that goes away.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import tempfile
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18

_libc = ctypes.CDLL(None, use_errno=True)


def _check(what: str, result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    arguments = [None if a is None else os.fsencode(a) for a in (source, target, kind)]
    result = _libc.mount(*arguments, ctypes.c_ulong(flags), None if data is None else os.fsencode(data))
    _check(f"mount {target}", result)


def private_mounts() -> None:
    """From here on this process and its children mount for themselves only (root)."""
    _check("unshare", _libc.unshare(CLONE_NEWNS))
    _mount("none", "/", None, MS_REC | MS_PRIVATE, None)


def mount_overlay(mount: Path, options: str) -> None:
    """The kernel's overlayfs (root, after private_mounts)."""
    _mount("overlay", str(mount), "overlay", 0, options)


def mount_tmpfs(mount: Path) -> None:
    _mount("none", str(mount), "tmpfs", 0, "mode=0755")


def mount_ramfs(mount: Path) -> None:
    """A file system without extended attributes."""
    _mount("none", str(mount), "ramfs", 0, None)


def unmount(mount: Path) -> None:
    _check(f"umount {mount}", _libc.umount2(os.fsencode(mount), 0))


def _closed_ancestors(path: Path) -> list[Path]:
    return [p for p in reversed(path.parents) if not p.stat().st_mode & stat.S_IXOTH]


def let_others_through(path: Path) -> None:
    """Makes `path` reachable for an ordinary user, in our mount namespace only: an overlay whose top directory
    can be searched lies over each ancestor that is closed to others (root's home, where Python may be)."""
    for closed in _closed_ancestors(path):
        layer = tempfile.mkdtemp(prefix="ptoverlay-tests-layer-", dir="/dev/shm")
        _mount("none", layer, "tmpfs", 0, "mode=0755")
        upper, work = Path(layer, "upper"), Path(layer, "work")
        upper.mkdir(mode=0o755)
        work.mkdir()
        upper.chmod(0o755)
        _mount("overlay", str(closed), "overlay", 0, f"lowerdir={closed},upperdir={upper},workdir={work}")
        # the mount holds the layer; its own place on the host is not needed any more
        _check("umount", _libc.umount2(os.fsencode(layer), 2))
        os.rmdir(layer)


def python_paths() -> list[Path]:
    """What an ordinary user must be able to reach to run this Python and this project."""
    here = Path(__file__).resolve()
    return [Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.base_prefix, "lib"), here]
