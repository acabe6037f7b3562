"""Puts faults into the C of the core, one at a time, and lists those that the tests let live: see tools/mutants.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from queue import Queue

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from mutation.cover import Coverage, Record, gather
from mutation.mutate import Mutation, mutations
from mutation.scratch import TOP, Scratch
from support import host

#: What runs the core most in the least time, the quickest first: a quarter of an hour on one CPU to gather.
TESTS = [f"tests/{name}.py" for name in (
    "semantics/test_view", "semantics/test_view_kept", "semantics/test_view_calls", "product/test_layers",
    "semantics/test_permission", "semantics/test_names", "semantics/test_places", "semantics/test_seed",
    "semantics/test_checks", "semantics/test_calls", "semantics/test_exec", "semantics/test_semantics",
    "semantics/test_seed_kernel", "semantics/test_mounts", "semantics/test_watches", "semantics/test_maps",
    "traps/test_tricks", "traps/test_limits", "traps/test_lists", "traps/test_outside")]
EQUIVALENT = Path(__file__).with_name("mutation") / "equivalent.txt"
SLOWER = 10.0   # a run is given this many times the processor time that its tests took
START = 20.0    # seconds of pytest itself, on a machine that does much else


@dataclass(frozen=True)
class Outcome:
    """what: killed, endless, survived, same (the compiler makes the same code of it), refused (it does not compile),
    untested, changed (the file, since the faults were made)."""

    mutation: Mutation
    what: str
    tests: int = 0
    by: str = ""


def known() -> set[tuple[str, str, str]]:
    """(file, line of source, change) of faults that change nothing that could be seen."""
    entries = set()
    for line in EQUIVALENT.read_text().splitlines():
        words = [word.strip() for word in line.split("|||")]
        if len(words) == 4:
            entries.add((words[0], words[1], words[2]))
    return entries


def key(mutation: Mutation) -> tuple[str, str, str]:
    return str(mutation.path.relative_to(TOP)), mutation.source, mutation.change


def chosen(arguments: Sequence[str]) -> Iterator[Mutation]:
    """All mutations of the files, folders, FILE:LINE and FILE:FIRST-LAST."""
    for argument in arguments:
        name, _, lines = argument.partition(":")
        path = (TOP / name).resolve()
        if not path.exists():
            sys.exit(f"tools/mutants: {name}: there is no such file in {TOP}")
        first, _, last = lines.partition("-")
        low, high = int(first or 0), int(last or first or sys.maxsize)
        for file in sorted(path.rglob("*.c")) if path.is_dir() else [path]:
            yield from (m for m in mutations(file) if low <= m.line <= high)


def sample(found: Sequence[Mutation], count: int, seed: int) -> list[Mutation]:
    """So many at random, of each file in its turn: those that are tried first are of all files."""
    chance = random.Random(seed)
    by_file: dict[Path, list[Mutation]] = {}
    for mutation in found:
        by_file.setdefault(mutation.path, []).append(mutation)
    for mutations_ in by_file.values():
        chance.shuffle(mutations_)
    rounds = zip_longest(*by_file.values())
    return [mutation for round_ in rounds for mutation in round_ if mutation is not None][:count]


def within(records: Sequence[Record], limit: float) -> list[Record]:
    """The quickest that fit into so many seconds, and at least one."""
    spent = 0.0
    taken: list[Record] = []
    for record in records:
        spent += record.seconds
        if taken and spent > limit:
            break
        taken.append(record)
    return taken


class Bench:
    """A scratch copy in which one fault at a time is tried."""

    def __init__(self, room: Path, number: int) -> None:
        self.scratch = Scratch(room / f"bench-{number}", ["-O1"])
        self.scratch.build()

    def try_one(self, mutation: Mutation, records: Sequence[Record]) -> Outcome:
        if not records:
            return Outcome(mutation, "untested")
        source = self.scratch.top / mutation.path.relative_to(TOP)
        object_file = self.scratch.object_of(source)
        text, made = source.read_text(), object_file.read_bytes()
        try:
            source.write_text(mutation.applied(text))
            if text[mutation.start : mutation.end] != mutation.old:
                return Outcome(mutation, "changed")
            if not self.scratch.compiles(source):
                return Outcome(mutation, "refused")
            if object_file.read_bytes() == made:
                return Outcome(mutation, "same")
            self.scratch.link()
            return self._tested(mutation, records)
        finally:
            source.write_text(text)
            object_file.write_bytes(made)

    def _tested(self, mutation: Mutation, records: Sequence[Record]) -> Outcome:
        seconds = sum(record.seconds for record in records)
        status = self.scratch.pytest(["-x", *(record.test for record in records)], START + SLOWER * seconds)
        if status is None:
            return Outcome(mutation, "endless", len(records))
        if status == 0:
            return Outcome(mutation, "survived", len(records))
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", self.scratch.output(), re.MULTILINE)
        return Outcome(mutation, "killed", len(records), failed.group(1) if failed else f"status {status}")


def tell(outcome: Outcome, verbose: bool) -> None:
    if outcome.what not in ("survived", "untested") and not verbose:
        return
    path, source, change = key(outcome.mutation)
    more = f" by {outcome.by}" if outcome.by else f" {outcome.tests} tests" if outcome.tests else ""
    print(f"{path}:{outcome.mutation.line}: {outcome.what}{more}: {change}\n    {source}", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/mutants", description="Lists faults in the core that no test notices.")
    parser.add_argument("paths", nargs="*", default=["csrc/view", "csrc/calls"], metavar="PATH",
                        help="C files, folders of them, FILE:LINE or FILE:FIRST-LAST (default: csrc/view csrc/calls)")
    parser.add_argument("--sample", type=int, metavar="N", help="only N of the faults, at random, of all files alike")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no fault after so long")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another sample (default: 0)")
    parser.add_argument("--limit", type=float, default=30, metavar="SECONDS",
                        help="of processor time for the tests of a fault (default: 30)")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="only these files of tests")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="faults tried at a time")
    parser.add_argument("--gather", action="store_true", help="gather anew what tests run, those of --tests or all")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of each fault, and what has noticed it")
    return parser.parse_args()


def try_all(found: Sequence[Mutation], coverage: Coverage, options: argparse.Namespace, room: Path) -> list[Outcome]:
    benches: Queue[Bench] = Queue()
    for number in range(options.jobs):
        benches.put(Bench(room, number))
    wanted = set(options.tests or coverage.gathered)
    end = time.monotonic() + (options.minutes * 60 if options.minutes else float("inf"))

    def one(mutation: Mutation) -> Outcome | None:
        if time.monotonic() > end:
            return None
        tests = coverage.tests(str(mutation.path.relative_to(TOP)), mutation.line)
        usable = [record for record in tests if record.test.partition("::")[0] in wanted]
        bench = benches.get()
        try:
            outcome = bench.try_one(mutation, within(usable, options.limit))
        finally:
            benches.put(bench)
        tell(outcome, options.verbose)
        return outcome

    pool = ThreadPoolExecutor(options.jobs)
    try:
        return [outcome for outcome in pool.map(one, found) if outcome is not None]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run(options: argparse.Namespace, room: Path) -> int:
    if os.geteuid() == 0:
        host.private_mounts()
        host.mount_tmpfs(room)
    coverage = Coverage.load()
    coverage.follow()
    files = options.tests or TESTS
    stale = list(files) if options.gather else coverage.stale(files)
    if stale:
        gather(coverage, stale, room)
    accepted = known()
    found = [m for m in chosen(options.paths) if key(m) not in accepted]
    print(f"{len(found)} faults", flush=True)
    if options.sample is not None:
        found = sample(found, options.sample, options.seed)
    start = time.monotonic()
    outcomes = try_all(found, coverage, options, room)
    counts = {what: sum(o.what == what for o in outcomes)
              for what in ("killed", "endless", "survived", "untested", "same", "refused", "changed")}
    print(f"{len(outcomes)} tried in {time.monotonic() - start:.0f} s: "
          + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["survived"] else 0


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    room = Path(tempfile.mkdtemp(prefix="ptoverlay-mutants-", dir="/var/tmp"))
    room.chmod(0o755)
    try:
        return run(options, room)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(room)], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--one-file-system", str(room)], check=False)


if __name__ == "__main__":
    sys.exit(main())
