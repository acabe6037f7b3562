"""What the figures are wanted to be, and whether they are.

Rules: a target is met by the median of the rounds; one whose rows or peers were not measured is neither met nor missed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .peers import NATIVE, OURS
from .results import Results, Spread
from .table import list_table, number

#: Of what is measured twice: what may lie between two medians.
NOISE = 0.05
#: Rows in which a view is to cost about what the kernel's overlayfs does.
OF_NATIVE = {"stat": 1.15, "stat-missing": 1.2, "readlink": 1.2, "open": 1.5, "true-300": 1.25, "python": 1.05,
             "gcc": 1.1, "make-nothing": 1.3, "configure": 1.2, "git-status": 1.15, "find": 1.4, "git-status-made": 1.5,
             "find-made": 2}


@dataclass(frozen=True)
class Target:
    """at_least: the limit is the least that is wanted, not the most; unit: of figure and limit."""

    title: str
    limit: float
    found: Spread | None
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """None: not measured."""
        if self.found is None:
            return None
        return self.found.median >= self.limit if self.at_least else self.found.median <= self.limit


def beyond_floor(results: Results, trap: str) -> Target:
    cells = ("stat", trap), (f"floor-{trap}", NATIVE), ("stat", NATIVE)
    found = results.combined(lambda ours, floor, native: (ours - floor) / native, *cells)
    return Target(f"stat, {trap}: beyond the bare trap, in native stats", 7, found)


def times_floor(results: Results, trap: str) -> Target:
    found = results.combined(operator.truediv, ("stat", trap), (f"floor-{trap}", NATIVE))
    return Target(f"stat, {trap}: in bare traps", 2, found)


def speed_up(results: Results, trap: str) -> Target:
    """Of make -j2 beside native's, which is 1 when both gain the same."""
    cells = [(row, peer) for peer in (trap, NATIVE) for row in ("make-j1", "make-j2")]
    found = results.combined(lambda one, two, native1, native2: (one / two) / (native1 / native2), *cells)
    return Target(f"hello, {trap}: what make -j2 gains, of what it gains native", 0.9, found, at_least=True)


def start_up(results: Results, trap: str) -> Target:
    found = results.combined(lambda ours, python: (ours - python) * 1000, ("start", trap), ("start", NATIVE))
    return Target(f"start-up, {trap}: more than python3 -c pass", 40, found, "ms")


def of_trap(results: Results, trap: str) -> Iterator[Target]:
    for row in ("read", "write", "pread", "pwrite"):
        yield Target(f"{row} once open, {trap}: of native", 1 + NOISE, results.ratio(row, trap))
    yield (beyond_floor if trap == "notify" else times_floor)(results, trap)
    for rival in ("proot", "sandlock"):
        for row in ("stat", "open", "create"):
            yield Target(f"{row}, {trap}: times as fast as {rival}", 5, results.ratio(row, rival, trap), at_least=True)
    for row, limit in OF_NATIVE.items():
        yield Target(f"{row}, {trap}: of native", limit, results.ratio(row, trap))
    yield Target(f"gcc, {trap}: of fuse-overlayfs", 1, results.ratio("gcc", trap, "fuse"))
    yield speed_up(results, trap)
    yield start_up(results, trap)
    yield Target(f"supervisor's memory, {trap}", 40, results.figure("memory", trap), "MiB")
    yield Target(f"the same, growth, {trap}", 1, results.figure("growth", trap), "MiB")


def targets(results: Results) -> list[Target]:
    return [target for trap in OURS for target in of_trap(results, trap)]


def columns(target: Target) -> tuple[str, str, str, str]:
    """What it is, what was found, what is wanted, and whether it is met."""
    limit = f"{'≥' if target.at_least else '≤'} {target.limit:g} {target.unit}".rstrip()
    found = "" if target.found is None else number(target.found.median)
    return target.title, found, limit, {True: "met", False: "not met", None: "not measured"}[target.met]


def text(wanted: Sequence[Target]) -> str:
    """One line a target, for a terminal."""
    return "\n".join(f"{title:<60} {found:>7}  {limit:<8}  {verdict}" for title, found, limit, verdict in
                     map(columns, wanted))


def rst(wanted: Sequence[Target]) -> str:
    """For docs/."""
    return list_table([("", "measured", "wanted", ""), *map(columns, wanted)])
