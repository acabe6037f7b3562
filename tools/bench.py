"""What tools/bench runs: every row with every peer, in turn, and one table.

Rules: a figure is never printed without native's of the same round beside it, but for the supervisor's memory, which
native does not have; a peer that is not there is named as missing, a row that fails says why and the others go on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(TOP / "tests"))

import bench_history  # noqa: E402
from benchmark import rounds, table, targets, trees  # noqa: E402
from benchmark.peers import NATIVE, PEERS, Peer  # noqa: E402
from benchmark.results import Results  # noqa: E402
from benchmark.rows import ROWS, WORKS, Kit, Work  # noqa: E402

DOCS = TOP / "docs"
FIGURES = DOCS / "performance.json"
PLOT = DOCS / "performance.svg"
HISTORY = "history"  # a row with tables of its own, of ptoverlay alone: tools/bench-history


def names(known: Sequence[str]) -> type[argparse.Action]:
    """An action that takes names, with commas or without, and knows them."""
    class Names(argparse.Action):
        def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object,
                     option_string: str | None = None) -> None:
            words = values if isinstance(values, list) else [values]
            found = [name for word in words for name in str(word).split(",") if name]
            unknown = [name for name in found if name not in known]
            if unknown:
                parser.error(f"{unknown[0]}: not one of {', '.join(known)}")
            setattr(namespace, self.dest, found)
    return Names


def arguments(words: Sequence[str]) -> argparse.Namespace:
    peers = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures ptoverlay and others beside native.")
    parser.add_argument("--quick", action="store_true", help="less of everything, under two minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured, time or not")
    parser.add_argument("--peers", action=names(peers), default=peers, metavar="PEER[,PEER…]",
                        help=f"of {', '.join(peers)}; native is always one")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there too")
    parser.add_argument("--from", metavar="FILE", type=Path, dest="source", help="show figures of --json again")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the ratios: FILE.svg or FILE.png")
    parser.add_argument("--docs", action="store_true", help="write table and plot into docs/")
    parser.add_argument("rows", nargs="*", action=names([*ROWS, HISTORY]), metavar="ROW",
                        help=f"of {', '.join([*ROWS, HISTORY])}")
    return parser.parse_args(words)


def circumstances(quick: bool) -> str:
    """What the figures are of, in one line; a load says how much else was going on."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), os.uname().machine)
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    load = f"{'--quick, ' if quick else ''}load {os.getloadavg()[0]:.1f} when it began"
    return f"{os.cpu_count()} CPUs ({model}), Linux {os.uname().release.split('-')[0]}, as {who}; {load}"


def chosen_works(rows: Sequence[str]) -> list[Work]:
    """Those with one of the rows, or all."""
    return [work for work in WORKS if not rows or any(row.name in rows for row in work.rows)]


def peers_there(wanted: Sequence[str], results: Results) -> list[Peer]:
    """Those of the wanted peers that this machine has; notes the others, and versions."""
    found = []
    for peer in PEERS:
        if peer.name == NATIVE or peer.name in wanted:
            why = peer.missing()
            if why:
                results.missing[peer.name] = why
            else:
                found.append(peer)
                results.versions[peer.name] = peer.version_found()
    return found


def measure(wanted: argparse.Namespace) -> Results:
    """One run; what there is of it when it is interrupted."""
    sizes = trees.QUICK if wanted.quick else trees.FULL
    if wanted.rounds:
        rounds_of = {kind: wanted.rounds for kind, usual in sizes.rounds.items() if usual}
        sizes = dataclasses.replace(sizes, rounds=rounds_of, minutes=float("inf"))
    results = Results(circumstances(wanted.quick))
    peers = peers_there(wanted.peers, results)
    with tempfile.TemporaryDirectory(prefix="ptoverlay-bench-", dir="/var/tmp") as directory:
        bench = rounds.Bench(Path(directory), Kit(trees.programs(Path(directory)), sizes))
        try:
            rounds.run_all(bench, chosen_works(wanted.rows), peers, results)
        except KeyboardInterrupt:
            print("interrupted: what there is so far", file=sys.stderr)
    return results


def parts_of_docs(results: Results) -> dict[str, str]:
    """What docs/performance.rst includes: name → text."""
    return {"performance-table.inc": table.rst(results),
            "performance-targets.inc": targets.rst(targets.targets(results))}


def main(words: Sequence[str]) -> int:
    """The whole of tools/bench."""
    wanted = arguments(words)
    if wanted.rows != [HISTORY]:
        compare(wanted)
    if not wanted.source and (not wanted.rows or HISTORY in wanted.rows):
        print()
        sizes, medians = ((bench_history.QUICK, bench_history.QUICK_ROUNDS) if wanted.quick
                          else (bench_history.FULL, bench_history.ROUNDS))
        bench_history.measure(sizes, wanted.rounds or medians)
    return 0


def compare(wanted: argparse.Namespace) -> None:
    """The rows that others have, too: measured or read, printed, and written where it was asked for."""
    results = Results.from_json(wanted.source.read_text()) if wanted.source else measure(wanted)
    goals = [goal for goal in targets.targets(results) if goal.found or not wanted.rows]
    print(table.text(results), targets.text(goals), sep="\n\n")
    pictures = [wanted.plot, PLOT if wanted.docs else None]
    for path in [wanted.json, FIGURES if wanted.docs else None]:
        if path:
            path.write_text(results.to_json())
    for name, text in parts_of_docs(results).items() if wanted.docs else ():
        (DOCS / name).write_text(text)
    for path in filter(None, pictures):
        from benchmark import plot

        plot.draw(results, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
