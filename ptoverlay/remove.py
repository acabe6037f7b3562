"""Removes a whole directory, whatever a program has left in it.

shutil.rmtree is not used: it takes a recursion as deep as the tree, gives up at directories without write permission
or with the immutable flag, and importing it costs more than running a small command.

Rules: no symbolic link is followed; every name is taken relative to an open directory, so nothing outside the
directory that was given can be reached, however the tree is changed meanwhile.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import stat
from collections.abc import Callable

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FS_IOC_SETFLAGS = 0x40086602  # linux/fs.h


def remove_tree(top: str) -> None:
    """Removes the directory `top` and all below it.  OSError when something cannot be removed.

    A directory found inside is emptied of its own directories by moving them up into `top`, so that neither the depth
    of the tree nor the length of its paths matters.
    """
    fd = os.open(top, _DIRECTORY)
    try:
        counter = 0
        while entries := _entries(fd):
            for name, is_dir in entries:
                counter = _remove_dir(fd, name, counter) if is_dir else _unlink(fd, name, counter)
    finally:
        os.close(fd)
    os.rmdir(top)


def _entries(fd: int) -> list[tuple[str, bool]]:
    with os.scandir(fd) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _unlink(fd: int, name: str, counter: int) -> int:
    _insist(lambda: os.unlink(name, dir_fd=fd), fd, name)
    return counter


def _remove_dir(top: int, name: str, counter: int) -> int:
    """Removes the directory `name` of `top`; `counter` numbers the directories that were moved up."""
    fd = _open_dir(top, name)
    try:
        for child, is_dir in _entries(fd):
            counter = _move_up(fd, child, top, counter + 1) if is_dir else _unlink(fd, child, counter)
    finally:
        os.close(fd)
    _insist(lambda: os.rmdir(name, dir_fd=top), top, name)
    return counter


def _move_up(fd: int, name: str, top: int, counter: int) -> int:
    """Moves a directory into `top` under a number that no name there has; returns that number."""
    taken = True
    while taken:
        try:
            os.stat(f".{counter}", dir_fd=top, follow_symlinks=False)
            counter += 1
        except FileNotFoundError:
            taken = False
    _insist(lambda: os.rename(name, f".{counter}", src_dir_fd=fd, dst_dir_fd=top), fd, name)
    return counter


def _open_dir(top: int, name: str) -> int:
    try:
        return os.open(name, _DIRECTORY, dir_fd=top)
    except PermissionError:
        _unlock(top, name)
        return os.open(name, _DIRECTORY, dir_fd=top)


def _insist(action: Callable[[], None], fd: int, name: str) -> None:
    """Does it, and if that is forbidden does it again after unlocking the object and its directory."""
    try:
        action()
    except PermissionError:
        _unlock(fd, ".")
        _unlock(fd, name)
        action()


def _unlock(directory: int, name: str) -> None:
    """Takes from a file or directory what its mode and its flags (chattr(1)) forbid its owner; failing is no error."""
    import fcntl

    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        mode = os.fstat(handle).st_mode
        path = f"/proc/self/fd/{handle}"
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            _try(lambda: _clear_flags(path, fcntl.ioctl))
        if stat.S_ISDIR(mode):
            _try(lambda: os.chmod(path, 0o700))
    finally:
        os.close(handle)


def _clear_flags(path: str, ioctl: Callable[[int, int, bytes], object]) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        ioctl(fd, _FS_IOC_SETFLAGS, bytes(8))
    finally:
        os.close(fd)


def _try(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError:
        pass
