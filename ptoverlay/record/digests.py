"""Digests of files, taken once: remembered by what the kernel says a file is, in the user's cache directory.

Rules: a digest is believed while device, inode number, size, mtime and ctime are what they were, and none is kept of a
file that was changed so lately that another change could leave the same times; a memory that cannot be had or is
damaged only costs time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
import time
from pathlib import Path
from types import TracebackType

_SETTLED = 2_000_000_000  # nanoseconds after which a change shows in the times: the coarsest clocks count seconds
_TABLE = """CREATE TABLE IF NOT EXISTS digests (dev INTEGER, ino INTEGER, size INTEGER, mtime INTEGER, ctime INTEGER,
            sha256 TEXT NOT NULL, PRIMARY KEY (dev, ino)) WITHOUT ROWID"""
_MOST = 500_000  # rows; then the memory begins anew


def cache_directory() -> Path:
    """Where what can be made again is kept; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("ptoverlay", appauthor=False))


class Digests:
    """sha256 of files.  A context; path: of the memory, None: the user's."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path if path is not None else cache_directory() / "digests.sqlite"
        self._memory: sqlite3.Connection | None = None
        self._new: dict[tuple[int, int], tuple[int, ...]] = {}
        self._texts: dict[tuple[int, int], str] = {}
        self._began = time.time_ns()

    def __enter__(self) -> Digests:
        try:
            self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
            self._memory = sqlite3.connect(self._path, timeout=2, isolation_level=None)
            self._memory.execute("PRAGMA journal_mode=WAL")
            self._memory.execute("PRAGMA synchronous=OFF")
            self._memory.execute(_TABLE)
        except (OSError, sqlite3.Error):
            self._forget()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        if self._memory is not None and self._new:
            rows = [(*key, *identity, self._texts[key]) for key, identity in self._new.items()]
            try:
                with self._memory:
                    self._memory.execute("BEGIN IMMEDIATE")
                    if self._memory.execute("SELECT count(*) FROM digests").fetchone()[0] > _MOST:
                        self._memory.execute("DELETE FROM digests")
                    self._memory.executemany("REPLACE INTO digests VALUES (?,?,?,?,?,?)", rows)
            except sqlite3.Error:
                pass
        self._forget()

    def _forget(self) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = None

    def sha256(self, path: str, status: os.stat_result | None = None) -> str:
        """Of a regular file; OSError where it cannot be read.  status: its lstat, if it is known."""
        status = status or os.lstat(path)
        key, identity = _key(status)
        if self._new.get(key) == identity:
            return self._texts[key]
        known = self._remembered(key, identity)
        if known is not None:
            return known
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY)
        with open(fd, "rb") as file:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(22, "not a regular file", path)
            text = hashlib.file_digest(file, "sha256").hexdigest()
            same = _key(before) == _key(os.fstat(fd)) == (key, identity)
        if same and max(status.st_mtime_ns, status.st_ctime_ns) + _SETTLED < self._began:
            self._new[key], self._texts[key] = identity, text
        return text

    def _remembered(self, key: tuple[int, int], identity: tuple[int, ...]) -> str | None:
        if self._memory is None:
            return None
        try:
            row = self._memory.execute("SELECT size, mtime, ctime, sha256 FROM digests WHERE dev=? AND ino=?",
                                       key).fetchone()
        except sqlite3.Error:
            self._forget()
            return None
        return str(row[3]) if row is not None and tuple(row[:3]) == identity else None


def _signed(number: int) -> int:
    """As SQLite has numbers."""
    return number - (1 << 64) if number >= 1 << 63 else number


def _key(status: os.stat_result) -> tuple[tuple[int, int], tuple[int, ...]]:
    return ((_signed(status.st_dev), _signed(status.st_ino)),
            (status.st_size, status.st_mtime_ns, status.st_ctime_ns))
