"""Files of ours that hold JSON: read whatever has become of them, and written so that they are always whole.

Rules: a file that is none of ours, of a size that none has, or that is no file at all is a `ValueError` here, and one
line for the user; what is read has the types that its dataclass says, so that nobody after this has to look.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import functools
import json
import math
import os
import stat
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from ptoverlay import errors

_LARGEST = 64 << 20  # bytes of a file; a command line may take 2 MiB, and more than that as JSON
_MOST = 1 << 63  # all our numbers are less
_LATEST = 1e11  # seconds since 1970, in the year 5138: what localtime(3) and strftime(3) are sure of


def read(path: Path) -> dict[str, Any]:
    """The object that the file holds.  ValueError when it holds none, OSError when it cannot be read."""
    return parsed(read_text(path))


def read_text(path: Path) -> bytes:
    """What the file holds, for `parsed`.  ValueError for what can be no file of ours, OSError when it is not read."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise ValueError("no file of ours")
        return file.read(_LARGEST)


def parsed(data: bytes) -> dict[str, Any]:
    """The object; ValueError where there is none."""
    try:
        found = json.loads(data.decode("utf-8", "surrogateescape"))
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def write_with_room(path: Path, data: bytes, room: int, *, sync: bool = True) -> None:
    """`write_whole` of something that may have spaces at its end.  On a full disk it is written over: there is room for
    what comes to it meanwhile."""
    try:
        write_whole(path, data.ljust(-(-(len(data) + room) // room) * room), sync=sync)
    except OSError as error:
        if error.errno not in errors.FULL or not _write_over(path, data):
            raise


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Replaces a file by rename, so that nobody ever sees a part of it.  sync: not even after a power failure.
    OSError: it is as it was."""
    new = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        new.unlink(missing_ok=True)  # nothing that is there is written, whatever it leads to
        with open(os.open(new, flags, 0o644), "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left):]
            if sync:
                os.fsync(file.fileno())
        os.rename(new, path)
    except OSError as error:
        error.filename = str(path)  # not by a name that nobody knows, and by one in any case
        new.unlink(missing_ok=True)
        raise


def _write_over(path: Path, data: bytes) -> bool:
    """Writes where the file has its bytes already, which takes no space; False: it cannot be."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size = os.fstat(fd).st_size
        return len(data) <= size == os.pwrite(fd, data.ljust(size), 0)
    except OSError:
        return False
    finally:
        os.close(fd)


def of(kind: Any, value: Any) -> Any:
    """The value as this type has it: str, int, float, bool, list[X], tuple[X, …], dict[str, X], X | None, a dataclass,
    which is made of an object with its fields; fields that it does not have are let be.  ValueError when it is not."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _dataclass(kind, value)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else of(next(each for each in inner if each is not type(None)), value)
    if origin in (list, tuple):
        return origin(of(inner[0], each) for each in _insist(list, value))
    if origin is dict:
        return {of(str, key): of(inner[1], each) for key, each in _insist(dict, value).items()}
    return _PLAIN[kind](value)


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _dataclass(kind: Any, value: Any) -> Any:
    value = _insist(dict, value)
    hints = _hints(kind)
    given = {field.name: of(hints[field.name], value[field.name]) for field in fields(kind)
             if field.init and field.name in value}
    try:
        return kind(**given)
    except TypeError as error:  # one that it must have
        raise ValueError(str(error)) from error


def _insist(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{type(value).__name__} for {kind.__name__}")
    return value


def _text(value: Any) -> str:
    """One that can be an argument or a name of a file."""
    text: str = _insist(str, value)
    if "\0" in text:
        raise ValueError("a NUL")
    os.fsencode(text)  # UnicodeEncodeError is a ValueError
    return text


def _int(value: Any) -> int:
    number: int = _insist(int, value)
    if not -_MOST < number < _MOST:
        raise ValueError("a number too large")
    return number


def _float(value: Any) -> float:
    number = value if type(value) is float else float(_int(value))
    if not math.isfinite(number) or abs(number) > _LATEST:
        raise ValueError("a time that is none")
    return number


_PLAIN: dict[Any, Callable[[Any], Any]] = {str: _text, int: _int, float: _float, bool: functools.partial(_insist, bool)}
