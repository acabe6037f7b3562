"""Keeps what the tests do off the machine: mounts in a namespace of their own, a base directory that goes away.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
MNT_DETACH = 2
#: In bytes; what nothing is written to takes no space.
DISK_SIZE = 16 << 30

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


def mount_disk(mount: Path) -> bool:
    """An ext4 of its own, whose file goes with the mount; false where there are no loop devices.

    With a journal, as most machines have it: without one (virtual machines) each creat(2) looks at every inode that was
    removed in the last minutes, which costs the tests half of their time.  Nothing is synced to the disk below."""
    with tempfile.NamedTemporaryFile(prefix="ptoverlay-tests-disk-") as image:
        image.truncate(DISK_SIZE)
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0",
                "-E", "lazy_itable_init=1,nodiscard"]
        attach = ["mount", "-t", "ext4", "-o", "loop,noinit_itable,barrier=0"]
        commands = ([*make, image.name], [*attach, image.name, str(mount)])
        done = all(shutil.which(c[0]) and subprocess.run(c, capture_output=True).returncode == 0 for c in commands)
    if done:
        (mount / "lost+found").rmdir()
    return done


def unmount(mount: Path, *, later: bool = False) -> None:
    """later: once nobody uses it any more."""
    _check(f"umount {mount}", _libc.umount2(os.fsencode(mount), MNT_DETACH if later else 0))


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
        _check("umount", _libc.umount2(os.fsencode(layer), MNT_DETACH))
        os.rmdir(layer)


def python_paths() -> list[Path]:
    """What an ordinary user must be able to reach to run this Python and this project."""
    here = Path(__file__).resolve()
    return [Path(sys.executable).absolute(), Path(sys.executable).resolve(), Path(sys.base_prefix, "lib"), here]
