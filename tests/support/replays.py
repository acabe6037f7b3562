"""Many sequences in one run of subjects/replay.c, each in a subdirectory of the same layers; what must be equal.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .differences import known_call
from .sequences import Step, Trial, lay_out, moved, prefix_of
from .snapshot import TREE, Snapshot, differences
from .world import World

#: Calls that make, remove or move names.
CHANGES = {"mkdir", "rmdir", "unlink", "symlink", "mkfifo", "link", "rename", "write", "open"}


def layers(world: World, trials: Sequence[Trial]) -> None:
    """Lays the trials out, each in its directory."""
    lowers = [world.add_lower(), world.add_lower()]
    for number, trial in enumerate(trials):
        top, prefix = f"s{number}", prefix_of(trial.user)
        for lower, makes in zip(lowers, trial.lowers, strict=True):
            (lower / top).mkdir()
            lay_out(lower / top, moved(makes, top), prefix)
        for upper in (world.upper, world.kernel_upper) if trial.upper else ():
            (upper / top).mkdir()
            lay_out(upper / top, moved(trial.upper, top), prefix)
    world.freeze()


def script(trials: Sequence[Trial]) -> str:
    """What replay.c reads."""
    lines = []
    for number, trial in enumerate(trials):
        lines += [f"begin s{number}", *(step.line() for step in trial.steps)]
    return "\n".join([*lines, ""])


def results(output: str) -> list[list[str]]:
    """The results of each trial."""
    trials: list[list[str]] = []
    for line in output.splitlines():
        if line.startswith("begin "):
            trials.append([])
        else:
            trials[-1].append(line.partition(" = ")[2])
    return trials


def _plain(step: Step) -> Step:
    """The call itself, whether a child makes it or not."""
    return replace(step, op=str(step.args[0]), args=step.args[1:]) if step.op == "child" else step


@dataclass
class Streams:
    """What is known of the directory streams of a trial, by (worker, slot).

    0: at the start and nothing changed, 1: on the way and nothing changed, 2: names have changed since it began."""

    state: dict[tuple[int, object], int]

    def follow(self, step: Step) -> int:
        """Of the stream that the step is about, before the step."""
        call = _plain(step)
        if call.op in CHANGES:
            self.state = dict.fromkeys(self.state, 2)
        key = (step.worker, call.args[0] if call.args else 0)
        before = self.state.get(key, 0)
        if call.op in ("opendir", "rewinddir"):
            self.state[key] = 0
        elif call.op in ("readdir", "names", "seekdir") and before == 0:
            self.state[key] = 1
        return before


def _comparable(step: Step, result: str, state: int, inodes: frozenset[str]) -> str:
    """The part of a result that has to be equal.  Positions and order of names are each implementation's own."""
    op = _plain(step).op
    if op == "names" and state and result.startswith("names"):
        return f"{len(result.split())} names" if state == 1 else "names"
    if op == "readdir" and state == 2:
        return "readdir"
    return re.sub(r"ino (\d+)", lambda match: f"ino {match[1] if match[1] in inodes else 'new'}", result)


def _inodes(world: World) -> frozenset[str]:
    return frozenset(str(os.lstat(os.path.join(directory, name)).st_ino) for lower in world.lowers
                     for directory, names, files in os.walk(lower) for name in (*names, *files))


def different_calls(world: World, trials: Sequence[Trial], kernel: str, view: str) -> dict[int, str]:
    """By trial, the first call whose result differs; "": it is a known difference, and what follows does not count."""
    inodes, found = _inodes(world), {}
    for number, (trial, theirs, ours) in enumerate(zip(trials, results(kernel), results(view), strict=True)):
        streams = Streams({})
        for step, one, other in zip(trial.steps, theirs, ours, strict=True):
            state = streams.follow(step)
            pair = (_comparable(step, one, state, inodes), _comparable(step, other, state, inodes))
            if pair[0] == pair[1]:
                continue
            known = known_call(_plain(step), ("ok", pair[0]), ("ok", pair[1]))
            found[number] = "" if known else f"{step.line()}: the kernel gives {pair[0]}, the view {pair[1]}"
            break
    return found


def _without_whiteouts(snapshot: Snapshot) -> Snapshot:
    """Where it merges nothing the kernel lists whiteouts, of which there is nothing to see."""
    return {path: entry for path, entry in snapshot.items() if entry.type != "!ENOENT"}


def different_trees(what: str, expected: Snapshot, found: Snapshot, names: Sequence[str]) -> dict[int, str]:
    """By trial, what differs in its tree."""
    lines: dict[int, str] = {}
    expected, found = _without_whiteouts(expected), _without_whiteouts(found)
    for line in differences(expected, found, names):
        match = re.match(r"(?:\./)?s(\d+)[/:]", line)
        number = int(match[1]) if match else -1
        lines[number] = f"{lines.get(number, what)}\n    {line}"
    return lines


def problems(make_world: Callable[[], World], trials: Sequence[Trial], replay: Path) -> dict[int, str]:
    """Plays the trials in both places.  By trial, what differs: calls, else trees of the four views."""
    world = make_world()
    layers(world, trials)
    kernel, view, text = world.kernel(), world.box(), script(trials)
    theirs, ours = (place.run([replay, world.mount], stdin=text, env=world.env) for place in (kernel, view))
    assert theirs.status == ours.status == 0, f"replay: {theirs.err[-1000:]} {ours.err[-2000:]}"
    found = different_calls(world, trials, theirs.out, ours.out)
    kernel_tree, view_tree = kernel.snapshot(), view.snapshot()
    found = different_trees("the kernel and the view", kernel_tree, view_tree, (*TREE, "nlink")) | found
    on_view = world.kernel_on_upper().snapshot()
    world.upper, world.work = world.kernel_upper, world.kernel_work
    on_kernel = world.box().snapshot()
    found = different_trees("the view, and the kernel on its upper", view_tree, on_view, TREE) | found
    found = different_trees("the kernel, and the view on its upper", kernel_tree, on_kernel, TREE) | found
    return {number: problem for number, problem in found.items() if problem}


def shortest(differs: Callable[[Trial], bool], trial: Trial, runs: int = 60) -> Trial:
    """Leaves out calls and objects, one at a time from the end, as long as something differs."""
    for field in ("steps", "upper"):
        for at in reversed(range(len(getattr(trial, field)))):
            items = getattr(trial, field)
            left: dict[str, Any] = {field: (*items[:at], *items[at + 1:])}
            shorter = replace(trial, **left)
            runs -= 1
            if runs >= 0 and differs(shorter):
                trial = shorter
    return trial
