"""Which tests run which lines of the core: gathered once, kept in .venv, and brought up to date for what changed.

A line is known by the block that it stands in: the nearest line above at which one begins (cover.c).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import bisect
import difflib
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .scratch import TOP, VENV, Scratch

CACHE = VENV / "coverage.json"
PLACES = 8 << 20   # as cover.c
HERE = Path(__file__).resolve().parent
#: Tests that compile csrc/view into programs of their own, which the recording does not see: they run most of it.
LINKED = {"tests/reliability/test_faults.py::test_error_at_every_call[trusted]": "csrc/view/",
          "tests/reliability/test_faults.py::test_error_at_every_call[by-user]": "csrc/view/"}
TIMEOUT = 1800.0   # seconds for a file of tests

Lines = dict[str, list[int]]


@dataclass
class Record:
    """One test: the processor time that it takes, and the lines of blocks that it runs, by file."""

    test: str
    seconds: float
    lines: Lines


@dataclass
class Coverage:
    """sources: the text of each file, to which all lines refer; blocks: lines at which one begins; gathered: of each
    file of tests its hash and its records."""

    sources: dict[str, str] = field(default_factory=dict)
    blocks: Lines = field(default_factory=dict)
    gathered: dict[str, tuple[str, list[Record]]] = field(default_factory=dict)

    # ---- asking

    def tests(self, path: str, line: int) -> list[Record]:
        """Those that run the line, the quickest first."""
        blocks = self.blocks.get(path, [])
        at = bisect.bisect_right(blocks, line) - 1
        if at < 0:
            return []
        found = [record for _, records in self.gathered.values() for record in records
                 if blocks[at] in record.lines.get(path, ()) or path.startswith(LINKED.get(record.test, "\0"))]
        return sorted(found, key=lambda record: record.seconds)

    # ---- on disk

    @staticmethod
    def load() -> Coverage:
        if not CACHE.exists():
            return Coverage()
        data = json.loads(CACHE.read_text())
        gathered = {name: (digest, [Record(**record) for record in records])
                    for name, (digest, records) in data["gathered"].items()}
        return Coverage(data["sources"], data["blocks"], gathered)

    def save(self) -> None:
        gathered = {name: (digest, [vars(r) for r in records]) for name, (digest, records) in self.gathered.items()}
        new = CACHE.with_suffix(".new")
        new.write_text(json.dumps({"sources": self.sources, "blocks": self.blocks, "gathered": gathered}))
        new.replace(CACHE)

    # ---- keeping up

    def follow(self) -> None:
        """Lines of files that have changed become what they are now."""
        for path, text in sources().items():
            if self.sources.get(path, text) != text:
                lines = _moved(self.sources[path], text)
                for every in [self.blocks, *(r.lines for _, records in self.gathered.values() for r in records)]:
                    if path in every:
                        every[path] = sorted(lines[n] for n in every[path] if n in lines)
            self.sources[path] = text

    def stale(self, files: Iterable[str]) -> list[str]:
        """Files of tests that were not gathered as they are."""
        return [name for name in files if self.gathered.get(name, ("", []))[0] != _digest(name)]


def sources() -> dict[str, str]:
    """The text of each C file of the core, by its path in the tree."""
    return {str(path.relative_to(TOP)): path.read_text() for path in sorted(TOP.glob("csrc/**/*.c"))}


def _digest(name: str) -> str:
    return hashlib.sha256((TOP / name).read_bytes()).hexdigest()


def _moved(old: str, new: str) -> dict[int, int]:
    """Where lines of the old text are in the new one."""
    matcher = difflib.SequenceMatcher(None, old.splitlines(), new.splitlines(), autojunk=False)
    return {a + i + 1: b + i + 1 for a, b, size in matcher.get_matching_blocks() for i in range(size)}


class _Sites:
    """The calls of the recording function in a library, by their return address."""

    def __init__(self, library: Path, top: Path) -> None:
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(library)], capture_output=True, text=True,
                              check=True).stdout
        call = re.compile(r"^ *[0-9a-f]+:\s+(?:call|bl)\S*\s.*__sanitizer_cov_trace_pc.*\n *([0-9a-f]+):", re.MULTILINE)
        self.addresses = [int(m.group(1), 16) for m in call.finditer(code)]
        asked = "\n".join(f"{address - 1:#x}" for address in self.addresses)
        told = subprocess.run(["addr2line", "-e", str(library)], input=asked, capture_output=True, text=True,
                              check=True).stdout
        self.at: dict[int, tuple[str, int]] = {}
        for address, line in zip(self.addresses, told.splitlines(), strict=True):
            path, _, number = line.split(" ")[0].rpartition(":")
            if path.startswith(f"{top}/csrc/") and number.isdigit():
                self.at[address] = (path[len(str(top)) + 1 :], int(number))

    def lines(self, places: Iterable[int]) -> Lines:
        found: dict[str, set[int]] = {}
        for place in places:
            if place in self.at:
                path, line = self.at[place]
                found.setdefault(path, set()).add(line)
        return {path: sorted(lines) for path, lines in found.items()}


def gather(coverage: Coverage, files: Sequence[str], room: Path) -> None:
    """Runs these files of tests with the recording core; keeps what each test that passes runs."""
    with tempfile.TemporaryDirectory(dir=room, prefix="cover-") as name:
        place = Path(name)
        place.chmod(0o755)
        scratch = Scratch(place / "tree", ["-O0", "-g", "-fsanitize-coverage=trace-pc"])
        shared = scratch.top / "places"
        shared.write_bytes(bytes(PLACES))
        shared.chmod(0o666)
        scratch.flags.append(f'-DCOVER_FILE="{shared}"')
        scratch.build([HERE / "cover.c"])
        sites = _Sites(scratch.library, scratch.top)
        coverage.follow()
        coverage.blocks = sites.lines(sites.at)
        for file in files:
            record = scratch.top / "record"
            record.write_text("")
            env = {"PYTHONPATH": str(HERE.parent), "PTOVERLAY_COVER_PLACES": str(shared),
                   "PTOVERLAY_COVER_RECORD": str(record)}
            ended = scratch.pytest([file, "-p", "mutation.recording"], TIMEOUT, env) is not None
            told = [json.loads(line) for line in record.read_text().splitlines()]
            if not told:
                sys.exit(f"tools/mutants: {file}: {scratch.output()[-2000:]}")
            records = [Record(one["test"], one["seconds"], sites.lines(one["places"])) for one in told if one["passed"]]
            failed = [one["test"] for one in told if not one["passed"]]
            more = "" if ended else "; it did not end in time, and is gathered again"
            more += f"; not used, they fail: {' '.join(failed)}" if failed else ""
            print(f"{file}: {len(records)} tests{more}", flush=True)
            coverage.gathered[file] = (_digest(file) if ended else "", records)   # else it is gathered again
            coverage.save()
