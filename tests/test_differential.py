"""Random sequences of calls over random layers, on the kernel's overlayfs and here: everything must be the same.

Four views are compared: the kernel's and ours after the same calls, the kernel's on the upper that we left, and ours on
the upper that the kernel left.  `--sequences N` runs more than the default, others each time; a failure prints the
shortest sequence as a script.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support import host, replays
from support.differences import documentation, known_call, known_object
from support.oracle import ROOT, Who
from support.players import KernelPlayer, Object, Result, Tree, ViewPlayer, play, tree
from support.sequences import BY_PATH, Trial, kernel_options, lay_out, prefix_of, processes, script, sequences
from support.subjects import Subjects
from support.world import World

from ptoverlay import options
from ptoverlay.view import View

pytestmark = pytest.mark.root_only


class Layers:
    """The directories of one sequence, on a tmpfs of their own."""

    def __init__(self, base: Path, sequence: Trial) -> None:
        self.base = base
        self.sequence = sequence
        for name in ("kernel-upper", "kernel-work", "view-upper", "view-work", "mnt"):
            (base / name).mkdir()
        self.lowers = [base / f"lower{i}" for i in range(len(sequence.lowers))]
        prefix = prefix_of(sequence)
        for path, makes in zip(self.lowers, sequence.lowers, strict=True):
            path.mkdir()
            lay_out(path, makes, prefix)
        for name in ("kernel", "view"):
            lay_out(base / f"{name}-upper", sequence.upper, prefix)
        self.inodes = {os.lstat(os.path.join(d, n)).st_ino for low in self.lowers for d, names, files in os.walk(low)
                       for n in (*names, *files)}

    @property
    def mount(self) -> Path:
        return self.base / "mnt"

    def kernel(self, whose: str) -> KernelPlayer:
        """Mounts the kernel's overlayfs on the upper of `whose`."""
        lowers = ":".join(map(str, self.lowers))
        upper = f"upperdir={self.base / whose}-upper,workdir={self.base / whose}-work"
        host.mount_overlay(self.mount, f"lowerdir={lowers},{upper},{kernel_options(self.sequence)}")
        return KernelPlayer(self.mount, self.inodes)

    def view(self, view: View, whose: str) -> ViewPlayer:
        """Opens a view on the upper of `whose`."""
        flags = options.USERXATTR | options.NO_REDIRECT if self.sequence.user else 0
        view.lay(self.lowers, self.base / f"{whose}-upper", self.base / f"{whose}-work", self.mount, flags)
        return ViewPlayer(view, self.mount, self.inodes)


class Parted(Exception):
    """A known difference: what follows cannot be compared."""


def same_calls(sequence: Trial, kernel: KernelPlayer, view: ViewPlayer) -> list[str]:
    """The first call whose result differs, if any."""
    for i, step in enumerate(sequence.steps):
        theirs, ours = play(kernel, step), play(view, step)
        if theirs != ours and known_call(step, theirs, ours):
            raise Parted
        if theirs != ours:
            return [f"call {i + 1}, {step.line()}: the kernel {told(theirs)}, the view {told(ours)}"]
    return []


def told(result: Result) -> str:
    return f"says {result[1]}" if result[0] == "error" else f"gives {result[1]!r}"


def same_trees(what: str, expected: Tree, found: Tree) -> list[str]:
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        one, other = expected.get(path), found.get(path)
        if one != other and not known_object(one, other):
            lines.append(f"{what}: {path}:\n      {one}\n      {other}")
    return lines


def bare(found: Tree) -> Tree:
    """Without what one implementation cannot tell from what the other left: numbers of links and of inodes."""
    return {path: o if isinstance(o, str) else Object(replace(o.attributes, nlink=0, lower=0), o.content, o.xattrs)
            for path, o in found.items()}


def differences(base: Path, sequence: Trial) -> list[str]:
    """Plays the sequence in new directories below base.  Returns what differs."""
    layers = Layers(base, sequence)
    kernel = layers.kernel("kernel")
    try:
        with View() as view:
            ours = layers.view(view, "view")
            problems = same_calls(sequence, kernel, ours)
            if problems:
                return problems
            kernel_tree, view_tree = tree(kernel), tree(ours)
    finally:
        host.unmount(layers.mount)
    problems = same_trees("the kernel and the view", kernel_tree, view_tree)
    if problems:
        return problems
    try:
        on_view = tree(layers.kernel("view"))
    finally:
        host.unmount(layers.mount)
    with View() as view:
        on_kernel = tree(layers.view(view, "kernel"))
    return [*same_trees("the view, and the kernel on its upper", bare(view_tree), bare(on_view)),
            *same_trees("the kernel, and the view on its upper", bare(kernel_tree), bare(on_kernel))]


@pytest.fixture(scope="module")
def memory(base: Path) -> Iterator[Path]:
    """A tmpfs."""
    path = base / "memory"
    path.mkdir()
    host.mount_tmpfs(path)
    yield path
    host.unmount(path)


@pytest.mark.quick
def test_documented() -> None:
    """docs/differences.rst is what support/differences.py says; made by `python -m support.differences`."""
    documented = Path(__file__).resolve().parent.parent / "docs/differences.rst"
    assert documented.read_text() == documentation()


def test_sequences(memory: Path, sequence_settings: settings) -> None:
    """In this process, through the view's own interface."""

    @sequence_settings
    @given(sequences(st.one_of(BY_PATH)))
    def run(sequence: Trial) -> None:
        problems: list[str] = []
        with tempfile.TemporaryDirectory(dir=memory) as place, contextlib.suppress(Parted):
            problems = differences(Path(place), sequence)
        if problems:
            pytest.fail("\n".join([*problems, "", script(sequence)]), pytrace=False)

    run()


def test_processes(make_world: Callable[[Who, str], World], subjects: Subjects, trap: str,
                   sequence_settings: settings) -> None:
    """End to end: several processes, with descriptors, directory streams and current directories that they hold."""
    trials: list[Trial] = []
    count = sequence_settings.max_examples // 20

    @settings(sequence_settings, max_examples=count, phases=[Phase.generate])
    @given(processes())
    def collect(trial: Trial) -> None:
        trials.append(trial)

    collect()
    replay = subjects.path("replay")

    def found(chosen: list[Trial]) -> dict[int, str]:
        return replays.problems(lambda: make_world(ROOT, trap), chosen, replay)

    all_found = found(trials)
    if all_found:
        number = min(all_found, key=lambda n: len(trials[n].steps))
        trial = replays.shortest(lambda t: bool(found([t])), trials[number])
        told_all = [*(f"trial {n}: {problem}" for n, problem in list(all_found.items())[:20]), "", script(trial)]
        pytest.fail(f"{len(all_found)} of {len(trials)} differ\n" + "\n".join(told_all), pytrace=False)


@pytest.fixture
def sequence_settings(request: pytest.FixtureRequest) -> settings:
    """The number of sequences, the same ones each time unless more are asked for."""
    count = request.config.getoption("--sequences")
    return settings(max_examples=count or 2000, derandomize=not count, deadline=None, database=None,
                    phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
