"""Removes many files in the time of a few.

    with Removal() as removal:
        for path, error in removal.unlink(tree, paths): …

Who removes a file waits for its file system's journal, and with `discard` for the disk; many that wait together wait
once.

Rules: a few are removed one after the other, by the caller's own thread; the tree is asked by that alone.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from typing import NamedTuple, Self

from ptoverlay.commit.tree import Tree, join, split

#: Directories that are held at a time, names of one that are removed by one thread, and how many threads there are.
HELD, PIECE, THREADS = 64, 64, 16
#: Fewer are not worth a thread.
MANY = 64

Failures = list[tuple[str, OSError]]


class _Piece(NamedTuple):
    """Names in one directory.  times: what it is to have afterwards, None: as it comes."""

    parent: str
    fd: int
    names: list[str]
    times: tuple[int, int] | None

    def unlink(self) -> Failures:
        failures = []
        for name in self.names:
            try:
                os.unlink(name, dir_fd=self.fd)
            except OSError as error:
                failures.append((join(self.parent, name), error))
        if self.times is not None:
            os.utime(f"/proc/self/fd/{self.fd}", ns=self.times)
        return failures


class Removal:
    """Threads that are begun when they are first needed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends them."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def unlink(self, tree: Tree, paths: Sequence[str], *, keep_times: bool = False) -> Failures:
        """Removes files; those that could not be, and why.  keep_times: of the directories that they are in."""
        pieces = _pieces(tree, paths, keep_times)
        failures: Failures = []
        while held := list(islice(pieces, HELD)):
            try:
                for found in self._pieces(held, len(paths) >= MANY):
                    failures += found
            finally:
                for fd in {piece.fd for piece in held}:
                    os.close(fd)
        return failures

    def _pieces(self, held: Sequence[_Piece], many: bool) -> list[Failures]:
        if not many:
            return [piece.unlink() for piece in held]
        self._pool = self._pool or ThreadPoolExecutor(THREADS)
        return list(self._pool.map(_Piece.unlink, held))


def _pieces(tree: Tree, paths: Sequence[str], keep_times: bool) -> Iterator[_Piece]:
    """Each with a descriptor of its own."""
    for parent, inside in groupby(sorted(paths, key=split), lambda path: split(path)[0]):
        fd = tree.directory(parent)
        status = os.stat(f"/proc/self/fd/{fd}")
        times = (status.st_atime_ns, status.st_mtime_ns) if keep_times else None
        while names := [split(path)[1] for path in islice(inside, PIECE)]:
            yield _Piece(parent, os.dup(fd), names, times)
        os.close(fd)
