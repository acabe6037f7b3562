"""--trace: the core's struct pto_trace records, read from a pipe, as one strace-like line a call.

    4711  0.003120 openat(AT_FDCWD, "/etc/hostname", O_RDONLY|O_CLOEXEC) = ? <PASS>
    4711  0.003377 mkdir("/srv/new", 0777) = -1 EEXIST (File exists) <RETURN>

Process id, seconds since the first record, the call as its prototype names it, what it was answered ("?": the
kernel answered it), the verdict.  Prototypes, names and flags come from python-ptrace; `_NEWER` adds the calls
that are younger than its tables (include/linux/syscalls.h).  The core tells one path a call; other pointers are
shown as addresses.

Rules: the pipe is always read to its end, even when the file cannot be written any more, since a full pipe would stop
the tracees; each line is written whole.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import struct
import threading
from collections.abc import Iterator
from errno import errorcode
from typing import BinaryIO, NamedTuple

from ptrace.syscall import FILENAME_ARGUMENTS, SYSCALL_PROTOTYPES
from ptrace.syscall.posix_arg import ACCESS_MODE_BITMASK, OPEN_FLAGS_BITMASK
from ptrace.tools import formatBits, readBits

from ptoverlay import errors
from ptoverlay.reports.names import call_name

RECORD = struct.Struct("=Q6QqiiII")
_VERDICTS = ("PASS", "RETURN", "OPEN", "SUBSTITUTE")
_CHUNK = 1 << 16
_AT_FDCWD = -100

# Calls whose first path is only a text: the second one is the place that is meant.
_TEXT_FIRST = frozenset(("symlink", "symlinkat"))
_DIRECTORY_FDS = frozenset(("dfd", "dirfd", "olddfd", "newdfd", "olddirfd", "newdirfd"))
_MODES = frozenset(("mode", "mask"))

_Prototype = tuple[tuple[str, str], ...]
_AT_PATH: _Prototype = (("int", "dfd"), ("const char *", "filename"))
_XATTR_AT: _Prototype = (*_AT_PATH, ("unsigned int", "at_flags"))
_ARGS_SIZE: _Prototype = (("void *", "uargs"), ("size_t", "usize"))
_NEWER: dict[str, _Prototype] = {
    "openat2": (*_AT_PATH, ("struct open_how *", "how"), ("size_t", "usize")),
    "faccessat2": (*_AT_PATH, ("int", "mode"), ("int", "flags")),
    "fchmodat2": (*_AT_PATH, ("umode_t", "mode"), ("unsigned int", "flags")),
    "clone3": _ARGS_SIZE,
    "setxattrat": (*_XATTR_AT, ("const char *", "attribute"), *_ARGS_SIZE),
    "getxattrat": (*_XATTR_AT, ("const char *", "attribute"), *_ARGS_SIZE),
    "listxattrat": (*_XATTR_AT, ("char *", "list"), ("size_t", "size")),
    "removexattrat": (*_XATTR_AT, ("const char *", "attribute")),
    "name_to_handle_at": (*_AT_PATH, ("struct file_handle *", "handle"), ("int *", "mnt_id"), ("int", "flag")),
    "open_tree": (*_AT_PATH, ("unsigned int", "flags")),
}


class Record(NamedTuple):
    """One struct pto_trace, with the path that followed it ("" for none)."""

    nanoseconds: int
    args: tuple[int, ...]
    value: int
    pid: int
    nr: int
    verdict: int
    path: str


def records(stream: BinaryIO) -> Iterator[Record]:
    """The records of a stream, until it ends; one that was cut off by the end is dropped."""
    while len(head := stream.read(RECORD.size)) == RECORD.size:
        nanoseconds, *args, value, pid, nr, verdict, length = RECORD.unpack(head)
        path = stream.read(length)
        if len(path) < length:
            return
        yield Record(nanoseconds, tuple(args), value, pid, nr, verdict, os.fsdecode(path))


def line(record: Record, start: int) -> str:
    """The line for a record; start: nanoseconds of the first one."""
    name = call_name(record.nr)
    seconds = (record.nanoseconds - start) / 1e9
    verdict = _VERDICTS[record.verdict]
    return f"{record.pid:<7} {seconds:9.6f} {name}({_arguments(name, record)}) = {_result(record)} <{verdict}>"


def _result(record: Record) -> str:
    if _VERDICTS[record.verdict] != "RETURN":
        return "?"
    if -4096 < record.value < 0:
        return f"-1 {errorcode.get(-record.value, -record.value)} ({os.strerror(-record.value)})"
    return str(record.value)


def _arguments(name: str, record: Record) -> str:
    prototype = _NEWER.get(name) or SYSCALL_PROTOTYPES.get(name, ("", None))[1]
    if prototype is None:
        return ", ".join([_quoted(record.path)] * bool(record.path) + [f"{value:#x}" for value in record.args])
    arguments = list(zip(prototype, record.args, strict=False))
    texts = [_argument(name, kind, argument, value) for (kind, argument), value in arguments]
    if record.path:
        places = [i for i, ((kind, argument), _) in enumerate(arguments)
                  if argument in FILENAME_ARGUMENTS and kind.endswith("char *")]
        if places:
            texts[places[-1 if name in _TEXT_FIRST else 0]] = _quoted(record.path)
        else:
            texts.append(f"/* {_quoted(record.path)} */")
    return ", ".join(texts)


def _argument(name: str, kind: str, argument: str, value: int) -> str:
    if kind.endswith("*"):
        return f"{value:#x}" if value else "NULL"
    if argument in _DIRECTORY_FDS and _signed(value) == _AT_FDCWD:
        return "AT_FDCWD"
    if argument == "flags" and name in ("open", "openat"):
        return _open_flags(value & 0xFFFFFFFF)
    if argument == "mode" and "access" in name:
        return str(formatBits(value & 0xFFFFFFFF, ACCESS_MODE_BITMASK, "F_OK"))
    if argument in _MODES:
        return f"0{value & 0xFFFF:o}"
    return str(_signed(value)) if kind in ("int", "unsigned int", "uid_t", "gid_t") else str(value)


def _open_flags(value: int) -> str:
    names = [str(name) for name in readBits(value, OPEN_FLAGS_BITMASK)]
    return "|".join(names if value & os.O_ACCMODE else ["O_RDONLY", *names])


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _quoted(path: str) -> str:
    return '"' + errors.one_line(path.replace("\\", "\\\\").replace('"', '\\"')) + '"'


class Trace:
    """Writes the lines of a run to a file from a thread of its own; `fd` is where the core writes its records.

    file: a path, or "-" for standard error.
    """

    def __init__(self, file: str) -> None:
        self._name = file
        self._out = self._open(file)
        read, self.fd = os.pipe()
        self._stream = os.fdopen(read, "rb", buffering=_CHUNK)
        self._thread = threading.Thread(target=self._copy, name="trace", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise errors.no_more_processes("--trace") from error

    @staticmethod
    def _open(file: str) -> int:
        try:
            if file == "-":
                return os.dup(2)
            return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise errors.from_os_error(f"--trace {file}", error) from error

    def finish(self) -> None:
        """Waits until every record is in the file."""
        os.close(self.fd)
        self._thread.join()
        self._stream.close()
        os.close(self._out)

    def _copy(self) -> None:
        start = None
        failed = False
        for record in records(self._stream):
            start = record.nanoseconds if start is None else start
            if not failed:
                failed = not self._write(line(record, start) + "\n")

    def _write(self, text: str) -> bool:
        try:
            data = text.encode("utf-8", "surrogateescape")
            while data:
                data = data[os.write(self._out, data):]
        except OSError as error:
            errors.report(f"--trace {self._name}: {error.strerror}: the rest of the trace is lost")
            return False
        return True
