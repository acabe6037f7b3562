"""Holes of files: what is not stored is neither read nor compared (lseek(2), SEEK_DATA and SEEK_HOLE).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

_CHUNK = 1 << 20


def next_data(fd: int, at: int, size: int) -> int:
    """Where data begins from `at` on; `size` when nothing but a hole is left."""
    try:
        return min(os.lseek(fd, at, os.SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at


def pieces(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of what is stored of the first `size` bytes."""
    at = 0
    while (at := next_data(fd, at, size)) < size:
        try:
            end = min(os.lseek(fd, at, os.SEEK_HOLE), size)
        except OSError:
            end = size
        yield at, max(end, at)
        at = max(end, at + 1)


def same(one: int, other: int) -> bool:
    """Whether two open regular files hold the same bytes."""
    size = os.fstat(one).st_size
    if size != os.fstat(other).st_size:
        return False
    at = 0
    while (at := min(next_data(one, at, size), next_data(other, at, size))) < size:
        data = os.pread(one, _CHUNK, at)
        if data != os.pread(other, len(data) or 1, at):
            return False
        if not data:
            return os.fstat(one).st_size == os.fstat(other).st_size  # both were cut meanwhile
        at += len(data)
    return True
