"""Standard input and output of a run that is to be remembered.

CMD gets pipes for its standard output and error, whose bytes go on at once, and are kept in the order in which they
came. It is given what its standard input has to read if that is a file, or was asked for; a pipe is left to it, of
which nobody can tell what will come, and in place of a terminal it has /dev/null.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import select
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ptoverlay.cached.key import is_null

_CHUNK = 1 << 16
_MOST = 64 << 20  # bytes that are kept


class Captured:
    """What came out: pieces of (1 or 2, bytes); whole: nothing was left out."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, bytes]] = []
        self.whole = True
        self._size = 0

    def take(self, stream: int, data: bytes) -> None:
        self._size += len(data)
        self.whole = self.whole and self._size <= _MOST
        if self.whole:
            self.pieces.append((stream, data))

    def blob(self) -> bytes:
        """All bytes, one after the other."""
        return b"".join(data for _, data in self.pieces)

    def marks(self) -> list[list[int]]:
        """Stream and length of each piece; neighbours of one stream are one."""
        marks: list[list[int]] = []
        for stream, data in self.pieces:
            if marks and marks[-1][0] == stream:
                marks[-1][1] += len(data)
            else:
                marks.append([stream, len(data)])
        return marks


def write_all(fd: int, data: bytes) -> None:
    """OSError when nobody reads it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def replay(data: bytes, marks: list[list[int]]) -> None:
    """Writes it to where it went."""
    at = 0
    for stream, length in marks:
        write_all(stream, data[at:at + length])
        at += length


@contextmanager
def captured() -> Iterator[Captured]:
    """CMD's standard output and error, which are ours meanwhile."""
    found = Captured()
    kept = {stream: os.dup(stream) for stream in (1, 2)}
    pipes = {}
    for stream in (1, 2):
        reader, writer = os.pipe()
        os.dup2(writer, stream)
        os.close(writer)
        pipes[reader] = stream
    thread = threading.Thread(target=_carry, args=(pipes, kept, found))
    thread.start()
    try:
        yield found
    finally:
        for stream, fd in kept.items():
            os.dup2(fd, stream)  # the last writer of the pipe, but for what CMD has left running
        thread.join()
        for fd in kept.values():
            os.close(fd)


def _carry(pipes: dict[int, int], kept: dict[int, int], found: Captured) -> None:
    """Until nobody has the pipes open any more.  Who reads what we write may go away: CMD is to see that, too."""
    left = dict(pipes)
    while left:
        for reader in select.select([*left], [], [])[0]:
            data = os.read(reader, _CHUNK)
            try:
                if data:
                    found.take(left[reader], data)
                    write_all(kept[left[reader]], data)
            except OSError:
                found.whole = False
                data = b""
            if not data:
                os.close(reader)
                del left[reader]


#: What is said of a pipe or the like, of which only reading tells what it holds.
STREAM = "stream"


def take_stdin(whole: bool) -> str:
    """Prepares what CMD reads, and tells what it is.  whole: all of a pipe, too, which is waited for."""
    try:
        status = os.fstat(0)
    except OSError:
        return "closed"
    if is_null(status):
        return ""
    if stat.S_ISREG(status.st_mode):
        return _digest_of_file()
    if os.isatty(0):
        fd = os.open(os.devnull, os.O_RDONLY)
        os.dup2(fd, 0)
        os.close(fd)
        return ""
    if not whole:
        return STREAM
    fd, found = os.memfd_create("ptoverlay-input"), hashlib.sha256()
    while data := os.read(0, _CHUNK):
        found.update(data)
        write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    os.dup2(fd, 0)
    os.close(fd)
    return found.hexdigest()


def _digest_of_file() -> str:
    """Of what is still to be read of it."""
    at, found = os.lseek(0, 0, os.SEEK_CUR), hashlib.sha256()
    while data := os.pread(0, _CHUNK, at):
        found.update(data)
        at += len(data)
    return found.hexdigest()
