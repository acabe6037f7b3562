"""Reading tar archives that anybody may have made: ustar, GNU and pax, with sparse files of all three.

tarfile of the standard library is not used here: it recurses into headers, holds what a header asks for, takes what
no number is for an error of the program, and ends without a word at a header that is broken.  The format: POSIX.1-2017,
pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format" and "Storing Sparse Files".

Rules: whatever the bytes, they end in entries or in one `Broken`; no header is held that is larger than
`_LARGEST_HEADER`, and no more than `_MOST_HEADERS` of one entry; a name, a number or a map that no file can have is
refused here, so that nobody after this has to.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_BLOCK = 512
_CHUNK = 1 << 20
_LARGEST_HEADER = 4 << 20  # bytes of a pax header; the attributes of a file may take 64 KiB each
_LARGEST_GLOBAL = 64 << 10  # bytes of all that global headers say
_MOST_HEADERS = 16  # that one entry may have: a global one, its own, two long names, and as much again
_MOST_AFTER = 16 << 20  # bytes after the end that are read: the padding of large records
_LONGEST_PATH = 4095  # PATH_MAX without the NUL
_LONGEST_NUMBER = 20  # digits
_SECOND = 10**9
_LATEST = 1 << 55  # seconds from 1970, either way, that a time may be away: what off_t and os.utime can hold
_MAGIC = b"ustar"

FILE, LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO = (b"0", b"1", b"2", b"3", b"4", b"5", b"6")
_FILES = (FILE, b"\0", b"7")  # 7: contiguous, which means nothing here
_KNOWN = (FILE, LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO)
_LONG_NAME, _LONG_LINK, _GNU_SPARSE = b"L", b"K", b"S"
_PAX, _PAX_GLOBAL = (b"x", b"X"), b"g"
_XATTR = b"SCHILY.xattr."
_TIME = re.compile(rb"(-?)(\d{1,17})(?:\.(\d*))?", re.ASCII)

Piece = tuple[int, int]  # offset in the file, length


class Broken(Exception):
    """The bytes are no archive: a text that says why."""


@dataclass
class Member:
    """One object.  type: one of `FILE` … `FIFO`; mtime: nanoseconds since 1970; target: what a link of either kind
    names; device: (major, minor); size: of the file, holes included; pieces: what of it is stored, None for all."""

    name: str
    type: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    target: str
    device: tuple[int, int]
    size: int
    xattrs: dict[str, bytes]
    pieces: list[Piece] | None = None


@dataclass
class _Extra:
    """What headers before the entry's own say of it: fields of pax, and the pairs of a sparse map of pax 0.0."""

    fields: dict[bytes, bytes] = field(default_factory=dict)
    pairs: list[bytes] = field(default_factory=list)


class Reader:
    """The entries of an uncompressed archive; `data` gives the contents of the one that was read last.

    whole: something else tells that no byte is missing; then the last entry need not be filled up to a block, as umoci
    leaves it.
    """

    def __init__(self, source: Any, *, whole: bool = False) -> None:
        self._source = source
        self._whole = whole
        self._global: dict[bytes, bytes] = {}
        self._begun = False  # whether there was a block
        self._left = 0  # bytes of the entry that were not read yet
        self._padding = 0
        self._pieces: list[Piece] = []

    def __iter__(self) -> Iterator[Member]:
        while (entry := self._next()) is not None:
            yield entry
        if not self._begun:
            raise Broken("it is empty")
        self._finish()

    def data(self) -> Iterator[tuple[int, bytes]]:
        """(offset, bytes) of the last entry's contents, in pieces of a size that is good to write."""
        for offset, length in self._pieces:
            while length:
                data = self._exactly(min(length, _CHUNK))
                self._left -= len(data)
                yield offset, data
                offset += len(data)
                length -= len(data)

    # ---- bytes

    def _exactly(self, size: int) -> bytes:
        """`size` bytes, a few at a time, so that a size is not believed before the bytes are there."""
        parts = []
        while size:
            data: bytes = self._source.read(min(size, _CHUNK))
            if not data:
                raise Broken("it ends in the middle")
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _skip(self) -> None:
        """To the next header."""
        size, padding = self._left, self._padding
        while size:
            size -= len(self._exactly(min(size, _CHUNK)))
        while padding:
            filling = self._source.read(padding)
            if not filling and not self._whole:
                raise Broken("it ends in the middle")
            padding = padding - len(filling) if filling else 0
        self._left = self._padding = 0

    def _finish(self) -> None:
        """Reads what is left of the stream: a compressed one tells only at its end whether it is whole."""
        size = 0
        while data := self._source.read(_CHUNK):
            size += len(data)
            if size > _MOST_AFTER:
                raise Broken("there is more after its end")

    # ---- headers

    def _next(self) -> Member | None:
        self._skip()
        extra = _Extra()
        for _ in range(_MOST_HEADERS):
            block = self._header()
            if block is None:
                if extra.fields:
                    raise Broken("it ends after a header of something")
                return None
            kind = block[156:157]
            if kind in (_LONG_NAME, _LONG_LINK, *_PAX, _PAX_GLOBAL):
                self._extra(kind, self._held(block), extra)
            else:
                return self._entry(block, kind, extra)
        raise Broken(f"more than {_MOST_HEADERS} headers of one entry")

    def _header(self) -> bytes | None:
        """The next block, None at the end; one end that is no block of zeros is an end too, as for GNU tar."""
        block = self._source.read(_BLOCK)
        while block and len(block) < _BLOCK:
            more = self._source.read(_BLOCK - len(block))
            if not more:
                raise Broken("it ends in the middle of a header")
            block += more
        self._begun = self._begun or bool(block)
        if not any(block):
            return None
        if not _sum_is_right(block):
            raise Broken("a header has the wrong sum")
        return bytes(block)

    def _held(self, block: bytes) -> bytes:
        """What belongs to a header that says something of the next entry."""
        size = _size(block)
        if size > _LARGEST_HEADER:
            raise Broken(f"a header of {size} bytes")
        data = self._exactly(size)
        self._exactly(-size % _BLOCK)
        return data

    def _extra(self, kind: bytes, data: bytes, extra: _Extra) -> None:
        if kind == _LONG_NAME:
            extra.fields.setdefault(b"path", data.partition(b"\0")[0])
        elif kind == _LONG_LINK:
            extra.fields.setdefault(b"linkpath", data.partition(b"\0")[0])
        else:
            fields = self._global if kind == _PAX_GLOBAL else extra.fields
            for key, value in _records(data):
                if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
                    extra.pairs.append(value)
                fields[key] = value  # an empty one stays: it takes back what a global header says
            if sum(len(key) + len(value) for key, value in self._global.items()) > _LARGEST_GLOBAL:
                raise Broken("global headers that say too much")

    def _entry(self, block: bytes, kind: bytes, extra: _Extra) -> Member:
        fields = {key: value for key, value in {**self._global, **extra.fields}.items()
                  if value or key.startswith(_XATTR)}
        name = fields.get(b"GNU.sparse.name") or fields.get(b"path") or _name(block)
        try:
            return self._object(block, kind, name, fields, extra)
        except Broken as error:
            raise Broken(f"{os.fsdecode(name[:_LONGEST_PATH])}: {error}") from error

    def _object(self, block: bytes, kind: bytes, name: bytes, fields: dict[bytes, bytes], extra: _Extra) -> Member:
        kind, stored, size, pieces = self._contents(block, kind, name, fields, extra)
        entry = Member(
            _path(name), kind, _number(block[100:108]) & 0o7777, _id(fields.get(b"uid"), block[108:116]),
            _id(fields.get(b"gid"), block[116:124]), _mtime(fields.get(b"mtime"), block[136:148]),
            _target(fields.get(b"linkpath") or _text(block[157:257]), kind),
            _device(block) if kind in (CHARACTER, BLOCK) else (0, 0), size, _xattrs(fields), pieces)
        self._pieces = [(0, size)] if pieces is None else pieces
        if sum(length for _, length in self._pieces) != self._left:
            raise Broken("a sparse file whose map is not that of its data")
        self._padding = -stored % _BLOCK
        return entry

    def _contents(self, block: bytes, kind: bytes, name: bytes, fields: dict[bytes, bytes],
                  extra: _Extra) -> tuple[bytes, int, int, list[Piece] | None]:
        """Type; bytes in the archive; size; map.  Leaves in _left how many bytes of data follow."""
        stored = _decimal(fields[b"size"]) if b"size" in fields else _size(block)
        self._left = stored
        if kind == _GNU_SPARSE:
            pieces = self._old_map(block)
            return FILE, stored, *_checked(pieces, _number(block[483:495]))
        if kind in _FILES and name.endswith(b"/") and kind != b"7":
            kind = DIRECTORY  # of archives older than the type for it
        if kind in _FILES:
            return FILE, stored, *self._pax_map(stored, fields, extra)
        if kind not in _KNOWN:
            raise Broken(f"an entry of type {os.fsdecode(kind)!r} is not known")
        self._left = 0
        return kind, 0, 0, None

    # ---- sparse files

    def _old_map(self, block: bytes) -> list[Piece]:
        """GNU's own type: four pieces in the header, and blocks with 21 more."""
        numbers = _numbers(block[386:482])
        more, read = block[482], 0
        while more:
            read += _BLOCK
            if read > _LARGEST_HEADER:
                raise Broken("a sparse file with too many pieces")
            block = self._exactly(_BLOCK)
            numbers += _numbers(block[:504])
            more = block[504]
        return _pairs(numbers)

    def _pax_map(self, stored: int, fields: dict[bytes, bytes], extra: _Extra) -> tuple[int, list[Piece] | None]:
        if fields.get(b"GNU.sparse.major") == b"1" and fields.get(b"GNU.sparse.minor", b"0") == b"0":
            return _checked(self._map_before_data(stored), _decimal(fields.get(b"GNU.sparse.realsize", b"")))
        if b"GNU.sparse.map" in fields:
            numbers = [_decimal(text) for text in fields[b"GNU.sparse.map"].split(b",")]
        elif extra.pairs:
            numbers = [_decimal(text) for text in extra.pairs]
        elif b"GNU.sparse.major" in fields:
            raise Broken("a sparse file of a kind that is not known")
        else:
            return stored, None
        return _checked(_pairs(numbers), _decimal(fields.get(b"GNU.sparse.size", b"")))

    def _map_before_data(self, stored: int) -> list[Piece]:
        """pax 1.0: how many pieces, then their offsets and lengths, a line each, filled up to a block."""
        lines: list[bytes] = []
        rest, wanted = b"", 1
        while len(lines) < wanted:
            if self._left < _BLOCK or stored - self._left > _LARGEST_HEADER:
                raise Broken("a sparse file without a map")
            self._left -= _BLOCK
            *whole, rest = (rest + self._exactly(_BLOCK)).split(b"\n")
            if len(rest) > _BLOCK:
                raise Broken("a sparse file without a map")
            if whole and not lines:
                wanted = 1 + 2 * _decimal(whole[0])
            lines += whole
        return _pairs([_decimal(line) for line in lines[1:wanted]])


# ---- fields


def _sum_is_right(block: bytes) -> bool:
    """The sum of the bytes with the sum's own field as blanks; some old programs took the bytes as signed."""
    wanted = _number(block[148:156])
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    return wanted in (unsigned, unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:]))


def _text(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def _name(block: bytes) -> bytes:
    """Of a header alone: ustar has a second field for the directories before it."""
    name, prefix = _text(block[:100]), _text(block[345:500])
    ustar = block[257:262] == _MAGIC and block[262:263] == b"\0"  # GNU's headers have other things there
    return prefix + b"/" + name if ustar and prefix else name


def _number(data: bytes) -> int:
    """Octal digits, or the rest of the field in base 256 where its first bit is set (two's complement)."""
    if data[0] & 0x80:
        number = int.from_bytes(bytes([data[0] & 0x7F]) + data[1:], "big")
        return number - (1 << (8 * len(data) - 1)) if data[0] & 0x40 else number
    text = data.partition(b"\0")[0].strip(b" ")
    if not text:
        return 0
    if text.strip(b"01234567"):
        raise Broken(f"a header with {text!r} for a number")
    return int(text, 8)


def _numbers(data: bytes) -> list[int]:
    return [_number(data[at:at + 12]) for at in range(0, len(data), 12)]


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > _LONGEST_NUMBER:
        raise Broken(f"{text[:_LONGEST_NUMBER]!r} for a number")
    return int(text)


def _size(block: bytes) -> int:
    size = _number(block[124:136])
    if not 0 <= size < 1 << 63:
        raise Broken("a size that no file can have")
    return size


def _id(text: bytes | None, data: bytes) -> int:
    """A user or group; the last number of 32 bits is nobody's (chown(2))."""
    number = _number(data) if text is None else _decimal(text)
    if not 0 <= number < (1 << 32) - 1:
        raise Broken("an owner or group that no file can have")
    return number


def _mtime(text: bytes | None, data: bytes) -> int:
    """In nanoseconds; what is finer is cut."""
    if text is None:
        seconds, nanoseconds, sign = _number(data), 0, 1
    else:
        match = _TIME.fullmatch(text)
        if match is None:
            raise Broken(f"{text[:40]!r} for a time")
        seconds, nanoseconds = int(match[2]), int((match[3] or b"").ljust(9, b"0")[:9])
        sign = -1 if match[1] else 1
    if abs(seconds) > _LATEST:
        raise Broken("a time that no file can have")
    return sign * (seconds * _SECOND + nanoseconds)


def _device(block: bytes) -> tuple[int, int]:
    major, minor = _number(block[329:337]), _number(block[337:345])
    if not 0 <= major < 1 << 12 or not 0 <= minor < 1 << 20:
        raise Broken("a device number that no device can have")
    return major, minor


def _path(name: bytes) -> str:
    if b"\0" in name:
        raise Broken("a name with a NUL in it")
    if len(name) > _LONGEST_PATH:
        raise Broken(f"a name of {len(name)} bytes, where no path is longer than {_LONGEST_PATH}")
    return os.fsdecode(name)


def _target(name: bytes, kind: bytes) -> str:
    if kind not in (LINK, SYMLINK):
        return ""
    if not name:
        raise Broken("a link to nothing")
    return _path(name)


def _xattrs(fields: dict[bytes, bytes]) -> dict[str, bytes]:
    found = {}
    for key, value in fields.items():
        if key.startswith(_XATTR):
            name = key[len(_XATTR):]
            if b"\0" in name or not name:
                raise Broken("an attribute with a name that none can have")
            found[os.fsdecode(name)] = value
    return found


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """KEY=VALUE of a pax header: each begins with its own length, and ends with a newline."""
    at = 0
    while at < len(data) and data[at]:  # some fill up with NULs
        blank = data.find(b" ", at, at + _LONGEST_NUMBER)
        if blank < 0:
            raise Broken("a pax header that is none")
        length = _decimal(data[at:blank])
        record = data[blank + 1:at + length]
        key, equals, value = record[:-1].partition(b"=")
        if at + length > len(data) or not record.endswith(b"\n") or not equals or not key:
            raise Broken("a pax header that is none")
        yield key, value
        at += length


# ---- maps of sparse files


def _pairs(numbers: list[int]) -> list[Piece]:
    if len(numbers) % 2:
        raise Broken("a sparse file with half a piece")
    return [pair for pair in zip(numbers[::2], numbers[1::2], strict=True) if pair[1]]


def _checked(pieces: list[Piece], size: int) -> tuple[int, list[Piece]]:
    """(size, pieces), or Broken when they overlap, go back or are outside of the file."""
    end = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise Broken("a sparse file whose pieces overlap")
        end = offset + length
    if not end <= size < 1 << 63:
        raise Broken("a sparse file whose pieces are outside of it")
    return size, pieces
