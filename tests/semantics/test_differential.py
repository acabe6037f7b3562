"""Random sequences of calls over random layers, on the kernel's overlayfs and here: everything must be the same.

Four views are compared: the kernel's and ours after the same calls, the kernel's on the upper that we left, and ours on
the upper that the kernel left.  `--sequences N` runs more than the default, others each time; a failure prints the
shortest sequence as a script.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support import replays
from support.box import ROOT_DIRECTORY
from support.differences import documentation
from support.oracle import ROOT, Who
from support.pair import Parted, differences
from support.sequences import BY_PATH, Trial, processes, script, sequences
from support.subjects import Subjects
from support.world import World

pytestmark = pytest.mark.root_only


@pytest.mark.quick
def test_documented() -> None:
    """docs/differences.rst is what support/differences.py says; made by `python -m support.differences`."""
    documented = ROOT_DIRECTORY / "docs/differences.rst"
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
