"""The store of runs that are remembered: an index in SQLite, and files by their digests.

    DIRECTORY/index.sqlite     runs by the digest of their key, files and which run has them
    DIRECTORY/files/ab/cdef…   contents, by sha256
    DIRECTORY/new/             what is being written
    DIRECTORY/secret           of which random bytes are made

Rules: a file is there before a run that has it is in the index, and is put in its place whole; what is missing, or is
not what its name says, makes the run that has it forgotten; an index that is damaged is put aside, and a new one
begins. Others may use the store at the same time, and be killed at any time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ptoverlay import errors
from ptoverlay.record.digests import cache_directory

DEFAULT_SIZE = 5 << 30
_MOST_OF_A_KEY = 16  # runs of one command, with different inputs
_ROOM = 0.9  # of the size, after the least recently used runs were forgotten
_LEFT_BEHIND = 3600.0  # seconds after which a new file is somebody's who was killed
_CHUNK = 1 << 20
_SECRET = 32  # bytes
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, key TEXT NOT NULL, used REAL NOT NULL, size INTEGER NOT NULL,
                                 data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS runs_by_key ON runs (key);
CREATE TABLE IF NOT EXISTS files (sha256 TEXT NOT NULL, run INTEGER NOT NULL, size INTEGER NOT NULL,
                                  PRIMARY KEY (sha256, run)) WITHOUT ROWID;
"""

_Answer = TypeVar("_Answer")


class Damaged(Exception):
    """A file is not there, or not what its name says."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A run in the index.  data: what `Store.add` was given."""

    id: int
    data: dict[str, Any]


class Store:
    """directory: None for the user's; size: bytes that all files may take."""

    def __init__(self, directory: Path | None = None, size: int = DEFAULT_SIZE) -> None:
        self.directory = directory if directory is not None else cache_directory() / "cached"
        self.size = size
        self._index: sqlite3.Connection | None = None
        self._told = False

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
        self._index = None

    # ---- the index ----

    def _open(self) -> sqlite3.Connection:
        if self._index is None:
            for name in ("files", "new"):
                (self.directory / name).mkdir(0o700, parents=True, exist_ok=True)
            self._index = sqlite3.connect(self.directory / "index.sqlite", timeout=20, isolation_level=None)
            self._index.execute("PRAGMA journal_mode=WAL")
            self._index.execute("PRAGMA synchronous=OFF")
            self._index.executescript(_SCHEMA)
        return self._index

    def _ask(self, what: Callable[[sqlite3.Connection], _Answer], otherwise: _Answer) -> _Answer:
        """What it gives, or `otherwise` with one line that says why."""
        try:
            return what(self._open())
        except sqlite3.OperationalError as error:  # locked, or no room
            self._tell(str(error))
        except sqlite3.DatabaseError as error:
            self._tell(f"{error}: it begins anew")
            self._put_aside()
        except OSError as error:
            self._tell(error.strerror or str(error))
        return otherwise

    def _tell(self, why: str) -> None:
        if not self._told:
            errors.report(f"{self.directory}: {why} (nothing is remembered)")
        self._told = True

    def _put_aside(self) -> None:
        self.close()
        for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            try:
                os.replace(self.directory / name, self.directory / f"damaged-{name}")
            except OSError:
                pass

    def runs(self, key: str) -> list[Remembered]:
        """Those of a key, the last used first."""

        def ask(index: sqlite3.Connection) -> list[Remembered]:
            rows = index.execute("SELECT id, data FROM runs WHERE key=? ORDER BY used DESC", (key,)).fetchall()
            return [Remembered(number, json.loads(zlib.decompress(data))) for number, data in rows]

        try:
            return self._ask(ask, [])
        except (ValueError, zlib.error):
            self._tell("a run in it cannot be read: it begins anew")
            self._put_aside()
            return []

    def used(self, run: Remembered) -> None:
        """It was of use now."""

        def ask(index: sqlite3.Connection) -> None:
            index.execute("UPDATE runs SET used=? WHERE id=?", (time.time(), run.id))

        self._ask(ask, None)

    def forget(self, run: Remembered) -> None:
        """It is of no use."""

        def ask(index: sqlite3.Connection) -> None:
            with _changing(index):
                _forget(index, run.id)

        self._ask(ask, None)

    def add(self, key: str, data: dict[str, Any], files: dict[str, int]) -> None:
        """Remembers a run.  files: the digests of what it has, which were put before, and their sizes."""
        packed = zlib.compress(json.dumps(data).encode("utf-8", "surrogateescape"), 1)
        total = len(packed) + sum(files.values())

        def ask(index: sqlite3.Connection) -> None:
            with _changing(index):
                row = index.execute("INSERT INTO runs (key, used, size, data) VALUES (?,?,?,?)",
                                    (key, time.time(), total, packed))
                index.executemany("INSERT OR IGNORE INTO files VALUES (?,?,?)",
                                  [(digest, row.lastrowid, size) for digest, size in files.items()])
                for (old,) in index.execute("SELECT id FROM runs WHERE key=? ORDER BY used DESC LIMIT -1 OFFSET ?",
                                            (key, _MOST_OF_A_KEY)).fetchall():
                    _forget(index, old)
            self._make_room(index)

        self._ask(ask, None)

    def _make_room(self, index: sqlite3.Connection) -> None:
        """Forgets what was not used for the longest time, and removes what is nobody's then."""
        gone: set[str] = set()
        with _changing(index):
            held = self._held(index)
            if held > self.size:
                for number, size in index.execute("SELECT id, size FROM runs ORDER BY used").fetchall():
                    gone |= {row[0] for row in index.execute("SELECT sha256 FROM files WHERE run=?", (number,))}
                    _forget(index, number)
                    held -= size
                    if held <= self.size * _ROOM:
                        break
            known = {row[0] for row in index.execute("SELECT DISTINCT sha256 FROM files")}
            for digest in gone - known:
                self._path(digest).unlink(missing_ok=True)
        if self._is_untidy():
            self._sweep(known)

    def _held(self, index: sqlite3.Connection) -> int:
        files = index.execute("SELECT sum(size) FROM (SELECT DISTINCT sha256, size FROM files)").fetchone()[0]
        texts = index.execute("SELECT sum(length(data)) FROM runs").fetchone()[0]
        return int(files or 0) + int(texts or 0)

    def _is_untidy(self) -> bool:
        """Once a day, or so, what killed ones have left is looked for."""
        stamp = self.directory / "swept"
        try:
            if time.time() - stamp.stat().st_mtime < 24 * _LEFT_BEHIND:
                return False
        except FileNotFoundError:
            pass
        stamp.touch()
        return True

    def _sweep(self, known: set[str]) -> None:
        """Removes what killed ones have left; what is young may be just about to be somebody's."""
        old = time.time() - _LEFT_BEHIND
        for path in (*self.directory.glob("files/*/*"), *self.directory.glob("new/*")):
            try:
                if path.parent.name + path.name not in known and path.stat().st_mtime < old:
                    path.unlink()
            except OSError:
                pass

    def secret(self) -> bytes:
        """Nobody else's, and always the same; another one each time where none can be kept."""
        path, beside = self.directory / "secret", self.directory / f"secret-{os.getpid()}"
        try:
            self.directory.mkdir(0o700, parents=True, exist_ok=True)
            if not path.exists():
                with open(beside, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                    file.write(os.urandom(_SECRET))
                try:
                    os.link(beside, path)
                finally:
                    beside.unlink()
        except OSError:
            pass  # somebody else was first, or there can be none
        try:
            return path.read_bytes()
        except OSError:
            return os.urandom(_SECRET)

    # ---- files ----

    def _path(self, digest: str) -> Path:
        return self.directory / "files" / digest[:2] / digest[2:]

    def put(self, chunks: Iterator[bytes]) -> tuple[str, int]:
        """Keeps these bytes: their digest, and how many they are.  OSError."""
        self._open()
        beside = self.directory / "new" / f"{os.getpid()}-{os.urandom(8).hex()}"
        found, size = hashlib.sha256(), 0
        try:
            with open(beside, "xb") as file:
                for chunk in chunks:
                    found.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
            path = self._path(found.hexdigest())
            path.parent.mkdir(exist_ok=True)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        return found.hexdigest(), size

    def get(self, digest: str) -> Iterator[bytes]:
        """The bytes, a piece at a time; Damaged, at the end, when they are others."""
        found = hashlib.sha256()
        try:
            with open(self._path(digest), "rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
                    yield chunk
        except OSError as error:
            raise Damaged(f"{digest}: {error.strerror}") from error
        if found.hexdigest() != digest:
            self._path(digest).unlink(missing_ok=True)
            raise Damaged(f"{digest}: it was changed")


class _changing:  # noqa: N801
    """One transaction, which nobody else writes beside."""

    def __init__(self, index: sqlite3.Connection) -> None:
        self._index = index

    def __enter__(self) -> None:
        self._index.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._index.execute("COMMIT" if kind is None else "ROLLBACK")


def _forget(index: sqlite3.Connection, number: int) -> None:
    index.execute("DELETE FROM files WHERE run=?", (number,))
    index.execute("DELETE FROM runs WHERE id=?", (number,))
