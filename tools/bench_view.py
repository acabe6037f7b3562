"""What tools/bench-view runs: bench.d/view.c for each number of lowers and of entries, and one table.

Rules: the layers lie in memory, so that no disk is measured; a cell is the best of its rounds, for what else the
machine does only slows them down; the goals are printed beside the figures, and a figure that misses one makes the
exit status 1.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SOURCES = [TOP / "tools/bench.d/view.c", *sorted(TOP.glob("csrc/view/**/*.c"))]
MEMORY = Path("/dev/shm")
LOWERS = (1, 8, 64)
ENTRIES = (0, 1_000, 1_000_000)
#: Bytes of the index for each entry of the upper, at most.
BYTES_GOAL = 100
#: How much slower a look-up may be with a full upper than with an empty one, and what a lower may add to one.
FLAT = 2


@dataclass(frozen=True)
class Figures:
    """Look-ups a second of a path known before (again) and of one that is not (first); bytes of an index entry."""

    lowers: int
    entries: int
    again: float
    first: float
    bytes: float


def build(directory: Path) -> Path:
    program = directory / "view"
    command = ["gcc", "-std=gnu11", "-O2", "-pthread", "-o", str(program), *map(str, SOURCES)]
    subprocess.run(command, check=True)
    return program


def measure(program: Path, lowers: int, entries: int) -> Figures:
    """One round in a new directory."""
    place = Path(tempfile.mkdtemp(prefix="bench-view-", dir=MEMORY if MEMORY.is_dir() else None))
    command = [str(program), str(place), str(lowers), str(entries)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(place)
    again, first, _, size = map(float, done.stdout.split())
    return Figures(lowers, entries, again, first, size)


def cell(program: Path, lowers: int, entries: int, rounds: int) -> Figures:
    """The best of some rounds; of two when the upper is so large that making it takes long."""
    found = [measure(program, lowers, entries) for _ in range(min(rounds, 2) if entries > 100_000 else rounds)]
    again, first = max(f.again for f in found), max(f.first for f in found)
    return Figures(lowers, entries, again, first, max(f.bytes for f in found))


def missed(table: list[Figures]) -> list[str]:
    """The goals that are not met, one line each."""
    by_cell = {(figures.lowers, figures.entries): figures for figures in table}
    lines = []
    for figures in table:
        empty, single = by_cell[figures.lowers, 0], by_cell[1, figures.entries]
        where = f"{figures.lowers} lowers, {figures.entries} entries"
        if figures.bytes > BYTES_GOAL:
            lines.append(f"{where}: {figures.bytes:.0f} bytes an entry, at most {BYTES_GOAL} wanted")
        if empty.again > figures.again * FLAT:
            lines.append(f"{where}: {empty.again / figures.again:.1f} times as slow as with an empty upper")
        if single.first > figures.first * FLAT * figures.lowers:
            lines.append(f"{where}: more than {figures.lowers} times as slow as with one lower")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/bench-view")
    parser.add_argument("--quick", action="store_true", help="at most 1,000 entries, one round")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    sizes = ENTRIES[:-1] if options.quick else ENTRIES
    table = []
    print(f"{'lowers':>7} {'entries':>9} {'again/s':>11} {'first/s':>11} {'bytes/entry':>12}")
    with tempfile.TemporaryDirectory(prefix="bench-view-") as directory:
        program = build(Path(directory))
        for lowers in LOWERS:
            for entries in sizes:
                figures = cell(program, lowers, entries, 1 if options.quick else 5)
                table.append(figures)
                size = f"{figures.bytes:.1f}" if entries else "-"
                print(f"{lowers:7} {entries:9} {figures.again:11,.0f} {figures.first:11,.0f} {size:>12}", flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(figures) for figures in table], indent=1) + "\n")
    lines = missed(table)
    print("\n".join(lines) if lines else "all goals met: flat in the upper, at most linear in the lowers, "
          f"{BYTES_GOAL} bytes an entry or less")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
