"""What tools/bench runs: every row with every peer, in turn, and one table.

A row is measured in rounds; in each round every peer has its turn, so that a machine that slows down slows all of them.
A ratio is ours to native of the same round; the table shows the median of the ratios and, as the spread, the
lowest and the highest.

Rules: a figure is never printed without native's beside it, but for the supervisor's memory, which native does not
have; a peer that is not there is named as missing; the files are read once before anything is timed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

TOP = Path(__file__).resolve().parent.parent
LOOP_SOURCE = TOP / "tools/bench.d/loop.c"
PTOVERLAY = [sys.executable, "-P", "-m", "ptoverlay"]
NATIVE = "native"
MEMORY_CALLS = 100_000


@dataclass(frozen=True)
class Peer:
    """A way to run a command: the words that go before it."""

    name: str
    words: tuple[str, ...]
    probe: Callable[[Peer], str] = lambda peer: runs_true(peer.words)

    def missing(self) -> str:
        """Why it cannot be measured here, "" if it can."""
        return self.probe(self)


def runs_true(words: Sequence[str]) -> str:
    """"" if `true` runs with these words before it, else what they said."""
    done = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


def has_trap(peer: Peer) -> str:
    """"" if ptoverlay really uses the trap that the peer is named for."""
    done = subprocess.run([*PTOVERLAY, "-v", *peer.words[len(PTOVERLAY):], "true"], capture_output=True, text=True,
                          check=False)
    return "" if f"ran with the {peer.name} trap" in done.stderr else "this machine or this build does not have it"


PEERS = (
    Peer(NATIVE, ()),
    Peer("ptrace", (*PTOVERLAY, "--trap", "ptrace", "--"), has_trap),
    Peer("notify", (*PTOVERLAY, "--trap", "notify", "--"), has_trap),
)


@dataclass(frozen=True)
class Bench:
    """What the rows work on: a directory with the files, the program, and the size of the work."""

    directory: Path
    loop: Path
    quick: bool

    @property
    def rounds(self) -> int:
        return 3 if self.quick else 9

    @property
    def calls(self) -> int:
        return 10_000 if self.quick else 50_000

    @property
    def big_size(self) -> int:
        return 1 << 27 if self.quick else 1 << 30

    @property
    def small(self) -> Path:
        return self.directory / "small"

    @property
    def big(self) -> Path:
        return self.directory / "big"


def printed(words: Sequence[str | Path]) -> float:
    """The number that the command prints."""
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def stat(bench: Bench, peer: Peer) -> float:
    return printed([*peer.words, bench.loop, "stat", bench.small, str(bench.calls)]) / 1e3


def open_close(bench: Bench, peer: Peer) -> float:
    return printed([*peer.words, bench.loop, "open", bench.small, str(bench.calls)]) / 1e3


def sequential_read(bench: Bench, peer: Peer) -> float:
    return printed([*peer.words, bench.loop, "read", bench.big]) / 1e9


@dataclass(frozen=True)
class Row:
    """name: for the command line; measure: one figure of one peer, in `unit`, less being better."""

    name: str
    title: str
    unit: str
    measure: Callable[[Bench, Peer], float]


ROWS = (
    Row("stat", "stat of a file", "us", stat),
    Row("open", "open and close", "us", open_close),
    Row("read", "read a file once open", "s", sequential_read),
)


@dataclass
class Result:
    """The figures of one row: by peer, one a round."""

    row: Row
    figures: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self, peer: str) -> list[float]:
        return [ours / native for ours, native in zip(self.figures[peer], self.figures[NATIVE], strict=True)]


def measure(bench: Bench, row: Row, peers: Sequence[Peer]) -> Result:
    """All rounds of a row."""
    result = Result(row, {peer.name: [] for peer in peers})
    for _ in range(bench.rounds):
        for peer in peers:
            result.figures[peer.name].append(row.measure(bench, peer))
    return result


def supervisor_memory(bench: Bench, peer: Peer) -> tuple[float, float]:
    """MiB that the supervisor holds before and after MEMORY_CALLS calls of open and close."""
    words = list(map(str, [*peer.words, bench.loop, "pause", bench.small, MEMORY_CALLS]))
    held = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        for _ in range(2):
            if program.stdout.readline() != "ready\n":
                raise SystemExit(f"tools/bench: {' '.join(words)}: ended too soon")
            held.append(psutil.Process(program.pid).memory_info().rss / (1 << 20))
            program.stdin.write("\n")
            program.stdin.flush()
    return held[0], held[1]


def table(results: Sequence[Result], peers: Sequence[Peer]) -> str:
    """One line a row and peer."""
    lines = [f"{'':<26}{'peer':<10}{'median':>12}{'ratio':>9}   spread of the ratio"]
    for result in results:
        for peer in peers:
            figure = statistics.median(result.figures[peer.name])
            ratios = result.ratios(peer.name)
            title = result.row.title if peer.name == NATIVE else ""
            spread = "" if peer.name == NATIVE else f"   {min(ratios):.2f} to {max(ratios):.2f}"
            lines.append(f"{title:<26}{peer.name:<10}{figure:>9.3f} {result.row.unit:<2}"
                         f"{statistics.median(ratios):>9.2f}{spread}")
    return "\n".join(lines)


def prepare(directory: Path, quick: bool) -> Bench:
    """The program and the files, read once."""
    bench = Bench(directory, directory / "loop", quick)
    subprocess.run(["gcc", "-O2", "-Wall", "-o", str(bench.loop), str(LOOP_SOURCE)], check=True)
    bench.small.write_text("small\n")
    block = os.urandom(1 << 20)
    with bench.big.open("wb") as file:
        for _ in range(bench.big_size >> 20):
            file.write(block)
    printed([bench.loop, "read", bench.big])
    return bench


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures ptoverlay beside native.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a smaller file")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there too")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)}, memory")
    parsed = parser.parse_args(words)
    unknown = set(parsed.rows) - {row.name for row in ROWS} - {"memory"}
    if unknown:
        parser.error(f"no such row: {' '.join(sorted(unknown))}")
    return parsed


def main(words: Sequence[str]) -> int:
    """The whole of tools/bench."""
    wanted = arguments(words)
    missing = {peer.name: peer.missing() for peer in PEERS}
    peers = [peer for peer in PEERS if not missing[peer.name]]
    for name, why in missing.items():
        if why:
            print(f"{name}: missing: {why}")
    with tempfile.TemporaryDirectory(prefix="ptoverlay-bench-", dir="/var/tmp") as directory:
        bench = prepare(Path(directory), wanted.quick)
        results = [measure(bench, row, peers) for row in ROWS if not wanted.rows or row.name in wanted.rows]
        held = {}
        if not wanted.rows or "memory" in wanted.rows:
            held = {peer.name: supervisor_memory(bench, peer) for peer in peers if peer.words}
    if results:
        print(f"{bench.rounds} rounds, {bench.calls:,} calls each, a file of {bench.big_size >> 20} MiB")
        print(table(results, peers))
    for name, (before, after) in held.items():
        print(f"supervisor's memory, {name}: {before:.1f} MiB, after {MEMORY_CALLS:,} open and close {after:.1f} MiB")
    if wanted.json:
        figures = {"rows": {result.row.name: result.figures for result in results}, "memory": held}
        wanted.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
