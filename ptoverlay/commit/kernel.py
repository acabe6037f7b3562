"""System calls that the os module lacks: renameat2(2), syncfs(2), the birth time and the mount of statx(2), the project
of a directory, the clone of a file, and who else has it open.

Rules: only wrappers; each raises OSError with the kernel's errno; calls that old C libraries have no function for
(glibc 2.17, musl 1.2.0) are made by number.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import struct

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

#: By machine: renameat2(2), statx(2).
_NUMBERS = {"x86_64": (316, 332), "aarch64": (276, 291)}
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME, _STATX_MNT_ID = 0x800, 0x1000
_STATX_SIZE = 256
_MASK_AT, _BTIME_AT, _MNT_ID_AT = 0, 80, 144  # offsets in struct statx, linux/stat.h
_F_SETSIG = 10  # asm-generic/fcntl.h
_FICLONE = 0x40049409  # linux/fs.h
_FS_IOC_FSGETXATTR = 0x801C581F
_FSXATTR = struct.Struct("=IIIII8x")  # struct fsxattr: flags, extent size, extents, project, …
_XFLAG_PROJINHERIT = 0x200

_libc = ctypes.CDLL(None, use_errno=True)


_renameat2, _statx = _NUMBERS["aarch64" if os.uname().machine.startswith("a") else "x86_64"]  # armv8l: linux32(8)


def _check(result: int, name: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _call(name: str, number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char]) -> None:
    """name: what an error is told of."""
    _check(_libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)),
           name)


def rename2(from_fd: int, from_name: str, to_fd: int, to_name: str, flags: int) -> None:
    """renameat2(2).  EINVAL where the file system cannot do what the flags ask for."""
    _call(to_name, _renameat2, from_fd, os.fsencode(from_name), to_fd, os.fsencode(to_name), flags)


def syncfs(fd: int) -> None:
    """Everything of the file system that holds `fd` is on the disk when this returns."""
    _check(_libc.syncfs(fd), "file system")


def birth_time(path: str) -> int | None:
    """When the object itself (not what a symlink names) came to be, in nanoseconds; None where the file system does not
    tell."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _call(path, _statx, _AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer)
    if not struct.unpack_from("=I", buffer, _MASK_AT)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
    return int(seconds) * 10**9 + int(nanoseconds)


def mount_of(fd: int) -> int | None:
    """Number of the mount that the descriptor was opened by; None where the kernel does not tell (before 5.8)."""
    buffer = ctypes.create_string_buffer(_STATX_SIZE)
    _call("mount", _statx, fd, b"", _AT_EMPTY_PATH, _STATX_MNT_ID, buffer)
    if not struct.unpack_from("=I", buffer, _MASK_AT)[0] & _STATX_MNT_ID:
        return None
    return int(struct.unpack_from("=Q", buffer, _MNT_ID_AT)[0])


def project_of(fd: int) -> int:
    """The project whose quota what is made in a directory counts for; between two of them nothing can be renamed."""
    try:
        flags, _, _, project = _FSXATTR.unpack(fcntl.ioctl(fd, _FS_IOC_FSGETXATTR, bytes(_FSXATTR.size)))[:4]
    except OSError:
        return 0
    return int(project) if flags & _XFLAG_PROJINHERIT else 0


def is_written(fd: int) -> bool:
    """Whether somebody may have the file open for writing, or mapped so: then no lease for reading is given (fcntl(2)).
    fd: opened for reading."""
    try:
        fcntl.fcntl(fd, _F_SETSIG, signal.SIGWINCH)  # who opens it now breaks the lease, and SIGIO would end us
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def clone(source: int, target: int) -> bool:
    """Lets two files share their data blocks (ioctl_ficlone(2)); False where that cannot be."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return False
    return True
