"""Runs the works with the peers, round by round, so that a machine that becomes slow slows all of them.

Rules: every run has an empty layer and a tree as it was made; what goes wrong is the figure's reason, not the end;
nothing that was started goes on afterwards.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from . import trees
from .peers import NATIVE, Peer, Place, complaint
from .results import Results
from .rows import Kit, Work

#: Seconds after which a run is given up, and from which on one is not repeated.
PATIENCE, SLOW = 240, 20


class Failed(Exception):
    """A run that gave no figures; str() says why."""


@contextlib.contextmanager
def started(words: Sequence[str], place: Place) -> Iterator[subprocess.Popen[str]]:
    """A command in its own session, of which nothing is left afterwards."""
    process = subprocess.Popen(words, cwd=place.tree, env=trees.environment(place.tree), stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                               start_new_session=True)
    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    patience = threading.Timer(PATIENCE, end)
    patience.start()
    with process:
        try:
            yield process
        finally:
            patience.cancel()
            end()


def numbers(text: str, count: int) -> list[float]:
    """The figures that a command has printed."""
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if len(found) != count:
        raise Failed(f"printed {complaint(text) or 'nothing'}")
    return found


def reason(status: int, said: str) -> str:
    """Why a command has failed."""
    if status == -signal.SIGKILL:
        return f"no end after {PATIENCE} s"
    return complaint(said) or f"status {status}"


def timed(words: Sequence[str], place: Place, count: int) -> list[float]:
    """The figures of a command that times itself."""
    with started(words, place) as process:
        printed, said = process.communicate("")
    if process.returncode != 0:
        raise Failed(reason(process.returncode, said))
    return numbers(printed, count)


def peak(pid: int) -> float:
    """The most memory that a process has had, in MiB (VmHWM, proc(5))."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found.group(1)) / 1024 if found else 0


def supervisor(process: subprocess.Popen[str], script: str) -> float:
    """The memory of the largest process that has been started, but for the shell with the script and all below it."""
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    theirs = {child.pid for one in everybody if one.cmdline() == ["sh", "-euc", script]
              for child in (one, *one.children(recursive=True))}
    return max(peak(one.pid) for one in everybody if one.pid not in theirs)


def held(words: Sequence[str], place: Place) -> list[float]:
    """The supervisor's memory at the first pause of the script, and how much more it is at the second."""
    found = []
    with started(words, place) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            if process.stdout.readline() != "ready\n":
                raise Failed(reason(process.wait(), process.stderr.read()))
            found.append(supervisor(process, words[-1]))
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait()
    return [found[0], found[1] - found[0]]


@dataclass
class Bench:
    """directory: for everything that a run makes; kit: what its commands need; made: trees by name."""

    directory: Path
    kit: Kit
    made: dict[str, Path] = field(default_factory=dict)

    def tree(self, name: str) -> Path:
        if name not in self.made:
            self.made[name] = trees.make(name, self.directory, self.kit.sizes)
        return self.made[name]

    @contextlib.contextmanager
    def place(self, work: Work, peer: Peer) -> Iterator[Place]:
        """An empty layer, and the tree or a copy of it; removed afterwards."""
        top = self.directory / "place"
        (top / "layer").mkdir(parents=True)
        tree = self.tree(work.tree)
        if work.dirty and not peer.layered:
            subprocess.run(["cp", "-a", tree, top / "tree"], check=True)
            tree = top / "tree"
        try:
            yield Place(tree, top / "layer")
        finally:
            # the kernel's work directory has no permissions
            subprocess.run(["chmod", "-R", "u+rwX", top], check=True)
            subprocess.run(["rm", "-rf", "--one-file-system", top], check=True)

    def run(self, work: Work, peer: Peer) -> list[float]:
        """The figures of one run, one a row."""
        with self.place(work, peer) as place:
            words = work.command(self.kit, peer, place)
            if not work.outside:
                words = peer.command(place, words)
            return held(words, place) if work.memory else timed(words, place, len(work.rows))


def say(text: str) -> None:
    """What is going on, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def one_run(bench: Bench, work: Work, peer: Peer, results: Results, number: int) -> None:
    """Notes the figures of one run, or why there are none."""
    why = work.unfit(peer)
    begun = time.monotonic()
    figures: Iterable[float] = ()
    if not why:
        try:
            figures = bench.run(work, peer)
        except Failed as failed:
            why = f"failed: {failed}"
    took = time.monotonic() - begun
    for row, figure in zip(work.rows, figures, strict=False):
        results.note(row.name, peer.name, number, figure)
    if why or (took > SLOW and peer.name != NATIVE):
        for row in work.rows:
            results.close(row.name, peer.name, why or "measured once, for it takes long")


def run_all(bench: Bench, works: Sequence[Work], peers: Sequence[Peer], results: Results) -> None:
    """All rounds that there is time for; native's turn is the first in each."""
    rounds = bench.kit.sizes.rounds
    late = time.monotonic() + bench.kit.sizes.minutes * 60
    for number in range(max(rounds.values())):
        for work in works:
            if number and time.monotonic() > late:
                break
            for peer in peers:
                if number < rounds[work.kind] and not results.closed(work.rows[0].name, peer.name):
                    say(f"round {number + 1} of {rounds[work.kind]}: {work.rows[0].title}: {peer.title}")
                    one_run(bench, work, peer, results, number)
    say("")
