"""Where an archive goes: a file that is replaced when it is whole, or a pipe; compressed on the way, or not.

Rules: nobody sees a part of a file; the same bytes in give the same bytes out, whenever it is done.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ptoverlay import extras
from ptoverlay.errors import FULL, Failure

_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3
_NOT_KNOWN = (".zip", ".bz2", ".xz", ".lzma", ".lz4", ".7z", ".br", ".lz", ".Z")
_SUFFIXES = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".tzst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

COMPRESSIONS = ("none", "gzip", "zstd")


def compression_of(name: str) -> str:
    """By the end of a file's name; Failure when it promises one that is not known."""
    if name.endswith(_NOT_KNOWN):
        raise Failure(name, f"{os.path.splitext(name)[1]} is not known", "name it .tar, .tar.gz or .tar.zst, or give "
                      "--compress")
    return _SUFFIXES.get(os.path.splitext(name)[1], "none")


class Digesting:
    """A stream that hands on what is written, and knows its SHA-256 and its size in bytes."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.size += len(data)
        self._target.write(data)
        return len(data)

    def flush(self) -> None:
        self._target.flush()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


@contextmanager
def compressed(target: Any, compression: str) -> Iterator[Any]:
    """A stream whose bytes reach the target compressed."""
    if compression == "gzip":
        with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=target, mtime=0) as stream:
            yield stream
    elif compression == "zstd":
        with zstd().ZstdFile(target, "wb", level=_ZSTD_LEVEL) as stream:
            yield stream
    else:
        yield target


def zstd() -> Any:
    """The module for zstd: Python's own from 3.14 on."""
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        extras.need("zstd", "zstd")
        from backports import zstd as module
    return module


@contextmanager
def decompressed(source: Any, name: str) -> Iterator[Any]:
    """What an archive holds, whatever it is compressed with; `source` need not be seekable."""
    start = source.read(4)
    whole: Any = _Prefixed(start, source)
    kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "none")
    broken: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)
    if kind == "zstd":
        broken += (zstd().ZstdError,)
    try:
        if kind == "gzip":
            with gzip.GzipFile(fileobj=whole, mode="rb") as stream:
                yield stream
        elif kind == "zstd":
            with zstd().ZstdFile(whole, "rb") as stream:
                yield stream
        else:
            yield whole
    except broken as error:
        raise Failure(name, f"a broken archive: {error}") from error


class _Prefixed:
    """A stream that begins with bytes that were read from it already."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start = start
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._start:
            return self._rest.read(size)
        if 0 <= size <= len(self._start):
            data, self._start = self._start[:size], self._start[size:]
            return data
        data, self._start = self._start, b""
        return data + self._rest.read(size - len(data) if size >= 0 else -1)


@dataclass(frozen=True)
class Archive:
    """A written archive.  digest: SHA-256 of the file ("sha256:…"); diff_id: of what is in it, uncompressed; size: of
    the file, in bytes; compression: one of `COMPRESSIONS`."""

    digest: str
    diff_id: str
    size: int
    compression: str


def write_archive(name: str, compression: str, write_tar: Callable[[Any], None]) -> Archive:
    """Writes to the file `name` (see `output`) what `write_tar` writes to the stream it is given."""
    if compression == "zstd":
        zstd()  # is told before anything is made
    with output(name) as file:
        outer = Digesting(file)
        with compressed(outer, compression) as stream:
            inner = outer if stream is outer else Digesting(stream)
            write_tar(inner)
    return Archive(outer.digest, inner.digest, outer.size, compression)


@contextmanager
def output(name: str) -> Iterator[Any]:
    """A stream to the file `name`, "-" for standard output; a regular file appears when the context ends well."""
    if name == "-":
        if sys.stdout.isatty():
            raise Failure("standard output", "an archive is not for a terminal", "give -o FILE")
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        regular = stat.S_ISREG(os.stat(name).st_mode)
    except FileNotFoundError:
        regular = True
    if not regular:
        with open(name, "wb") as file:
            yield file
        return
    with replaced(Path(name)) as file:
        yield file


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path`, synced, when the context ends well, and goes away otherwise."""
    with ExitStack() as stack:
        try:
            fd, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            error.filename = str(path)  # not by a name that nobody has given
            raise
        stack.callback(_remove, new)
        try:
            with open(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                mask = os.umask(0)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
        except OSError as error:  # of a flush at the end, too
            if error.errno in FULL and error.filename is None:
                error.filename = str(path)
            raise
        os.replace(new, path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
