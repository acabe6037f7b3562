"""The figures of a run, and what is read from them.

Rules: a ratio is of two figures of the same round; what stands for several rounds is the median, beside the lowest and
the highest; a cell without figures has its reason.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

from .peers import NATIVE


@dataclass(frozen=True)
class Spread:
    """Of some rounds."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass
class Cell:
    """figures: by round; why: for there being none, or no more of them."""

    figures: dict[int, float] = field(default_factory=dict)
    why: str = ""


@dataclass
class Results:
    """machine: one line; missing: peers that are not there, and why; versions: of those that are; cells: by row and
    peer."""

    machine: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    # ---- while it is measured

    def cell(self, row: str, peer: str) -> Cell:
        return self.cells.setdefault((row, peer), Cell())

    def note(self, row: str, peer: str, number: int, figure: float) -> None:
        self.cell(row, peer).figures[number] = figure

    def close(self, row: str, peer: str, why: str) -> None:
        self.cell(row, peer).why = why

    def closed(self, row: str, peer: str) -> bool:
        return bool(self.cell(row, peer).why)

    # ---- afterwards

    @property
    def rows(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(row for row, _ in self.cells))

    @property
    def peers(self) -> list[str]:
        return list(dict.fromkeys(peer for _, peer in self.cells))

    def why(self, row: str, peer: str) -> str:
        return self.cells.get((row, peer), Cell()).why

    def combined(self, of: Callable[..., float], *cells: tuple[str, str]) -> Spread | None:
        """`of` the figures of these cells, in the rounds that all of them have; None if there is no such round."""
        figures = [self.cells.get(cell, Cell()).figures for cell in cells]
        common = sorted(set.intersection(*(set(one) for one in figures)))
        values = [of(*(one[number] for one in figures)) for number in common]
        if not values:
            return None
        return Spread(statistics.median(values), min(values), max(values), len(values))

    def figure(self, row: str, peer: str) -> Spread | None:
        return self.combined(lambda one: one, (row, peer))

    def ratio(self, row: str, peer: str, base: str = NATIVE) -> Spread | None:
        """How many times the base's figure."""
        return self.combined(lambda one, other: one / other, (row, peer), (row, base))

    # ---- kept

    def to_json(self) -> str:
        rows: dict[str, dict[str, object]] = {}
        for (row, peer), cell in self.cells.items():
            rows.setdefault(row, {})[peer] = asdict(cell)
        whole = {"machine": self.machine, "versions": self.versions, "missing": self.missing, "rows": rows}
        return json.dumps(whole, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Results:
        whole = json.loads(text)
        cells = {(row, peer): cell_from(found) for row, peers in whole["rows"].items() for peer, found in peers.items()}
        return Results(whole["machine"], whole["versions"], whole["missing"], cells)


def cell_from(found: Mapping[str, object]) -> Cell:
    figures = found["figures"]
    assert isinstance(figures, dict)
    return Cell({int(number): float(figure) for number, figure in figures.items()}, str(found["why"]))
