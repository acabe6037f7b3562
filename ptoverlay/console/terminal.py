"""How subcommands write for people: colours, columns, sizes.

Rules: colours only where a terminal reads them or --color always asked for it; names are shown so that none can
break a line or command the terminal.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence

from ptoverlay.errors import named
from ptoverlay.errors import one_line as shown

__all__ = ["Painter", "ago", "columns", "count", "cut", "human", "named", "shown", "sizes", "width", "write"]

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
_UNITS = ("B", "K", "M", "G", "T", "P")


class Painter:
    """Colours text, or leaves it as it is."""

    def __init__(self, when: str = "auto") -> None:
        terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
        self.active = when == "always" or (when == "auto" and terminal)

    @staticmethod
    def add_argument(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--color", choices=("auto", "always", "never"), default="auto",
                            help="colours (default: on a terminal, unless NO_COLOR is set)")

    def __call__(self, colour: str, text: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.active and colour and text else text

    def bytes(self, colour: str, line: bytes) -> bytes:
        """The same for a line that ends with a newline or not."""
        if not self.active or not colour:
            return line
        text = line.rstrip(b"\n")
        return b"\x1b[%sm%s\x1b[0m%s" % (_COLOURS[colour].encode(), text, line[len(text):])


def width() -> int | None:
    """Columns of the terminal that standard output is, None when it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str, width: int | None) -> str:
    """The text, or as much of it as fits."""
    return text if width is None or len(text) <= width else text[:max(width - 1, 0)] + "…"


def count(number: int, what: str) -> str:
    """A number of things, by the word for one of them."""
    return f"{number} {what if number == 1 else what[:-1] + 'ies' if what.endswith('y') else what + 's'}"


def sizes(old: int, new: int) -> str:
    """From one size in bytes to another: exact where the rounded ones are the same."""
    before, after = human(old), human(new)
    return f"{before} -> {after}" if before != after else f"{old} -> {new} bytes"


def write(text: str) -> None:
    """Writes to standard output, whatever bytes the names in it are made of."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))


def columns(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> list[str]:
    """Lines with the cells below each other; right: columns of numbers."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) if i in right else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def human(size: float) -> str:
    """A size in bytes, in the unit of 1024^n that fits."""
    for unit in _UNITS:
        if abs(size) < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f}{unit}" if unit == "B" or abs(size) >= 10 else f"{size:.1f}{unit}"


def ago(then: float) -> str:
    """How long ago a time (seconds since 1970) was, in one word."""
    seconds = max(time.time() - then, 0)
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
