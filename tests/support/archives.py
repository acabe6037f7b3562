"""Tar archives block by block, so that they can say what no program that writes archives would.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

END = bytes(1024)
Fields = dict[str, bytes]
#: Offset and length of the fields of a header that tests set (POSIX.1-2017, pax, "ustar Interchange Format").
FIELDS = {"name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12), "mtime": (136, 12),
          "sum": (148, 8), "type": (156, 1), "link": (157, 100), "magic": (257, 8), "major": (329, 8),
          "minor": (337, 8), "prefix": (345, 155), "map": (386, 96), "more": (482, 1), "real": (483, 12)}


def header(name: bytes = b"f", type: bytes = b"0", size: int = 0, **fields: bytes) -> bytes:
    """A block with the right sum, unless `sum` is one of the fields; they are the bytes as they stand in it."""
    block = bytearray(512)
    given: Fields = {"name": name, "type": type, "mode": b"0000644\0", "uid": b"0000000\0", "gid": b"0000000\0",
                     "size": b"%011o\0" % size, "mtime": b"00000000001\0", "magic": b"ustar\x0000", **fields}
    for field, data in given.items():
        at, length = FIELDS[field]
        assert len(data) <= length, field
        block[at:at + len(data)] = data
    if "sum" not in fields:
        block[148:156] = b"        "
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def filled(data: bytes) -> bytes:
    """The data, up to the next block."""
    return data + bytes(-len(data) % 512)


def file(data: bytes, name: bytes = b"f", **fields: bytes) -> bytes:
    """An entry with its data."""
    return header(name, size=len(data), **fields) + filled(data)


def record(key: bytes, value: bytes) -> bytes:
    """One KEY=VALUE of a pax header, with its own length before it."""
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def pax(*pairs: tuple[bytes, bytes], type: bytes = b"x") -> bytes:
    """A pax header."""
    return raw_pax(b"".join(record(*pair) for pair in pairs), type)


def raw_pax(data: bytes, type: bytes = b"x") -> bytes:
    """The same with data that may be anything."""
    return header(b"pax", type, len(data)) + filled(data)


def long_name(name: bytes, type: bytes = b"L") -> bytes:
    """GNU's header for a name that is too long for the field."""
    return header(b"././@LongLink", type, len(name) + 1) + filled(name + b"\0")


def base256(number: int, length: int = 12) -> bytes:
    """A number that octal digits have no room for."""
    data = bytearray(number.to_bytes(length, "big", signed=True))
    data[0] |= 0x80
    return bytes(data)
