"""The figures as a table: as text for a terminal, and in reStructuredText for docs/.

A row has native's figure and, for each other peer, its ratio to it with the lowest and the highest of the rounds; a row
that native has no figure for (the supervisor's memory) has each peer's own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .peers import NATIVE, PEERS
from .results import Results, Spread
from .rows import MIB, ROWS, Row

TITLES = {peer.name: peer.title for peer in PEERS}
SCALES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float) -> str:
    """Three digits that mean something."""
    if value >= 100 or value <= -100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def figure(value: float, unit: str) -> str:
    """With its unit, of which seconds are scaled."""
    if unit == MIB:
        return f"{number(value)} {MIB}"
    for scale, name in SCALES:
        if value >= scale:
            return f"{number(value / scale)} {name}"
    return f"{number(value * 1e9)} ns"


def spread(found: Spread) -> str:
    return "once" if found.rounds == 1 else f"{number(found.low)}–{number(found.high)}"


@dataclass
class Notes:
    """Reasons that do not fit into their cells."""

    known: dict[str, int]

    def mark(self, why: str) -> str:
        return f"[{self.known.setdefault(why, len(self.known) + 1)}]"

    def lines(self) -> Iterator[str]:
        for why, mark in self.known.items():
            yield f"[{mark}] {why}"


def title(row: Row) -> str:
    return f"{row.title} (native: {row.base})" if row.base else row.title


def cell(results: Results, row: Row, peer: str, notes: Notes) -> tuple[str, str]:
    """What stands there: the median, and what is said about it."""
    found = results.figure(row.name, peer)
    why = results.why(row.name, peer)
    if found is None:
        return ("failed", notes.mark(why)) if why.startswith("failed") else ("", "")
    if peer == NATIVE or row.unit == MIB:
        return figure(found.median, row.unit), ""
    ratio = results.ratio(row.name, peer)
    return (number(ratio.median), spread(ratio)) if ratio else (figure(found.median, row.unit), spread(found))


def cells(results: Results, notes: Notes) -> list[list[tuple[str, str]]]:
    """The table without its titles."""
    return [[cell(results, ROWS[row], peer, notes) for peer in results.peers] for row in results.rows]


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, the others to the right, all as wide as they have to be."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(word.ljust(width) if i == 0 else word.rjust(width)
                      for i, (word, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines]


def missing(results: Results) -> list[str]:
    return [f"{TITLES.get(peer, peer)}: missing: {why}" for peer, why in results.missing.items()]


def versions(results: Results) -> str:
    return ", ".join(f"{TITLES[peer]} {version}" for peer, version in results.versions.items() if version)


def list_table(rows: Sequence[Sequence[str]]) -> str:
    """In reStructuredText; the first row and the first column are titles; a line of a cell is one there too."""
    lines = [".. list-table::", "   :class: figures", "   :header-rows: 1", "   :stub-columns: 1", ""]
    for row in rows:
        for i, cell in enumerate(row):
            shown = "\n       ".join(f"| {line}" for line in cell.split("\n")) if "\n" in cell else cell
            lines.append(f"   {' ' if i else '*'} - {shown}".rstrip())
    return "\n".join(lines) + "\n"


def text(results: Results) -> str:
    """For a terminal."""
    notes = Notes({})
    head = ["", *(TITLES[peer] for peer in results.peers)]
    body = [[title(ROWS[row]), *(" ".join(words).strip() for words in line)]
            for row, line in zip(results.rows, cells(results, notes), strict=True)]
    said = [f"{results.machine}; {versions(results)}".rstrip("; "), *missing(results),
            "ratios to native of the same round: median lowest–highest"]
    return "\n".join([*said, "", *aligned([head, *body]), *notes.lines()])


def rst(results: Results) -> str:
    """For docs/."""
    notes = Notes({})
    rows = [["", *(TITLES[peer] for peer in results.peers)]]
    rows += [[title(ROWS[row]), *("\n".join(filter(None, words)) for words in line)]
             for row, line in zip(results.rows, cells(results, notes), strict=True)]
    said = [f"{results.machine}; {versions(results)}".rstrip("; "), *missing(results)]
    parts = [*(f"{line}.\n" for line in said), list_table(rows), *(f"| {line}" for line in notes.lines())]
    return "\n".join(parts).rstrip() + "\n"
