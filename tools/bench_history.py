"""What tools/bench-history runs: a sandbox that holds many changed files, and what its history costs then; look-ups on
a stack of many steps beside one.

Rules: what is compared is measured in the same round, in turn; the times are those of the work itself, without the
start of a Python that asks for it; a goal that is missed makes the exit status 1.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
STEPS = 50
FILES = 2000  # in the directory that each step changes
SOURCES = 12
FULL, ROUNDS = [10, 10_000, 100_000], 9  # changed files; medians of so many
QUICK, QUICK_ROUNDS = [10, 1000], 3
GOAL, GOAL_STACK = 0.020, 1.10  # seconds; times
#: Seconds of the first look at each file in the current directory: by stat, and by open and close.
LOOK = """
import os, sys, time
names = [f"file{i}" for i in range(int(sys.argv[1]))]
half = len(names) // 2
for part, one in (names[:half], os.stat), (names[half:], lambda name: os.close(os.open(name, os.O_RDONLY))):
    begun = time.perf_counter()
    for name in part:
        one(name)
    print(time.perf_counter() - begun)
"""


class Shell:
    """A shell that runs in a named sandbox."""

    def __init__(self, name: str, lower: Path) -> None:
        line = ["run", "--name", name, "-l", str(lower), "-C", str(lower), "--", "sh"]
        self.process = subprocess.Popen([sys.executable, "-m", "ptoverlay", *line], cwd=TOP, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, script: str) -> list[str]:
        """What it prints."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{script}\necho over\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().strip()) != "over":
            if not line and self.process.poll() is not None:
                raise SystemExit(f"the shell of the sandbox is gone: {script}")
            lines.append(line)
        return lines

    def end(self) -> None:
        """Its end is that of the run."""
        self.process.communicate()


@contextmanager
def shell(name: str, lower: Path) -> Iterator[Shell]:
    """One that runs meanwhile."""
    made = Shell(name, lower)
    made.say(":")
    try:
        yield made
    finally:
        made.end()


def ask(name: str, message: dict[str, object]) -> None:
    """A question to the sandbox's supervisor."""
    from ptoverlay.sandboxes.sandbox import state_directory
    from ptoverlay.shared.talk import Talk

    with Talk.to(state_directory() / name) as talk:
        talk.ask(message, waits=True)


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


# ---- what changes the history


def change_many(inside: Shell, files: int) -> None:
    """So many new files in the layer, 1,000 a directory."""
    inside.say(f"""i=0; while [ $i -lt {files} ]; do mkdir -p many/$i
                   (cd many/$i; seq -f f%g 1 {min(files, 1000)} | xargs touch); i=$((i + 1000)); done""")


def join(name: str, lower: Path) -> float:
    """Seconds from the question of who comes in to the end of its `true`, in a process that has begun already."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        from ptoverlay import cli
        from ptoverlay.shared.guest import run_as_guest

        request = cli.parse(["--name", name, "-l", str(lower), "--", "true"])
        took = timed(lambda: run_as_guest(request))
        os.write(write, repr(took).encode())
        os._exit(0)
    os.close(write)
    with open(read, encoding="ascii") as file:
        took = float(file.read())
    os.waitpid(pid, 0)
    return took


def changing(files: int, rounds: int, lower: Path) -> dict[str, float]:
    """Medians, in seconds, of what is done to a sandbox that has changed so many files."""
    from ptoverlay.history.steps import redo, undo
    from ptoverlay.sandboxes.sandbox import Sandbox

    name = f"many{files}"
    found: dict[str, list[float]] = {"checkpoint": [], "fork": [], "join": [], "undo": [], "redo": []}
    with shell(name, lower) as inside:
        change_many(inside, files)
        for number in range(rounds):
            if number:
                inside.say(f"echo {number} >one")
            found["checkpoint"].append(timed(lambda: ask(name, {"verb": "checkpoint", "message": ""})))
            inside.say(f"echo {number} >other")
            new = f"{name}-{number}"
            found["fork"].append(timed(lambda: ask(name, {"verb": "fork", "new": new})))  # noqa: B023
            found["join"].append(join(name, lower))
    for number in range(rounds):
        subprocess.run([sys.executable, "-m", "ptoverlay", "remove", f"{name}-{number}"], cwd=TOP, check=True)
    box = Sandbox.open(name)
    for _ in range(rounds):
        with box.change():
            found["undo"].append(timed(lambda: undo(box, 1)))
            found["redo"].append(timed(lambda: redo(box, 1)))
    return {what: statistics.median(times) for what, times in found.items()}


def show_changing(sizes: list[int], rounds: int, lower: Path) -> bool:
    """Prints the table; whether each goal was reached."""
    found = {files: changing(files, rounds, lower) for files in sizes}
    print(f"\n{'changed files':14}" + "".join(f"{files:>12,}" for files in sizes))
    for what in found[sizes[0]]:
        print(f"{what:14}" + "".join(f"{found[files][what] * 1000:9.1f} ms" for files in sizes))
    return all(took < GOAL for each in found.values() for took in each.values())


# ---- look-ups


def lay_out(lower: Path) -> None:
    """A directory of many files, and sources that include some of them."""
    for number in range(FILES):
        (lower / f"file{number}").write_text(f"#define F{number} {number}\n")
    for number in range(SOURCES):
        names = ["<stdio.h>", "<stdlib.h>", *(f'"file{number * 10 + i}"' for i in range(10))]
        includes = "".join(f"#include {name}\n" for name in names)
        (lower / f"source{number}.c").write_text(f"{includes}int f{number}(void) {{ return F{number * 10}; }}\n")


def make_stack(name: str, lower: Path, steps: int) -> None:
    """Each step changes a file and makes one."""
    with shell(name, lower) as inside:
        for number in range(steps):
            inside.say(f"echo '#define F{number} {number}' >file{number}; echo >new{number}")
            if number < steps - 1:
                ask(name, {"verb": "checkpoint", "message": ""})


def look(name: str, lower: Path) -> dict[str, float]:
    """In a run of its own, whose index is empty."""
    with shell(name, lower) as inside:
        stat, opened = inside.say(f"{sys.executable} -c '{LOOK}' {FILES}")
        names = " ".join(f"source{number}.c" for number in range(SOURCES))
        gcc = timed(lambda: inside.say(f"for i in {names}; do gcc -c -o /dev/null $i; done"))
    return {"stat": float(stat), "open": float(opened), "gcc": gcc}


def show_looks(rounds: int, lower: Path) -> bool:
    """Prints the table; whether each goal was reached."""
    lay_out(lower)
    make_stack("one", lower, 1)
    make_stack("fifty", lower, STEPS)
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        one, fifty = look("one", lower), look("fifty", lower)
        for what, took in one.items():
            found.setdefault(what, []).append((took, fifty[what]))
    print(f"\n{'':14}{'1 step':>12}{f'{STEPS} steps':>12}{'ratio':>12}")
    good = True
    for what, pairs in found.items():
        one_took, fifty_took = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(other / first for first, other in pairs)
        good &= ratio < GOAL_STACK
        print(f"{what:14}{one_took * 1000:9.1f} ms{fifty_took * 1000:9.1f} ms{ratio:12.2f}")
    return good


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench-history", description="Measures what a history costs.")
    parser.add_argument("--files", default=",".join(map(str, FULL)), metavar="N,…",
                        help="changed files (default: 10,10000,100000)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N",
                        help=f"medians of so many (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="10 and 1,000 files, 3 rounds")
    parser.add_argument("--only", choices=("changes", "looks"), help="one table alone")
    return parser.parse_args()


def measure(sizes: list[int], rounds: int, only: str | None = None) -> bool:
    """Prints the tables, or the one of `only`; whether each goal was reached."""
    place = Path(tempfile.mkdtemp(prefix="bench-history-", dir="/var/tmp"))
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(place / "state")
    good = True
    try:
        print(f"a sandbox's history: medians of {rounds} (load {os.getloadavg()[0]:.1f})")
        if only != "looks":
            (place / "changed").mkdir()
            good &= show_changing(sizes, rounds, place / "changed")
        if only != "changes":
            (place / "looked").mkdir()
            good &= show_looks(rounds, place / "looked")
    finally:
        shutil.rmtree(place)
        del os.environ["XDG_STATE_HOME"]
        if before is not None:
            os.environ["XDG_STATE_HOME"] = before
    return good


def main() -> int:
    wanted = arguments()
    sizes = QUICK if wanted.quick else [int(word) for word in wanted.files.split(",")]
    return 0 if measure(sizes, QUICK_ROUNDS if wanted.quick else wanted.rounds, wanted.only) else 1


if __name__ == "__main__":
    sys.exit(main())
