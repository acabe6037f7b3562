"""Random changes in steps: whatever is undone, redone, folded and committed, the view is that of a plain directory.

PTOVERLAY_TEST_EXAMPLES: how many sequences (default: 100).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from support.calls import TREE, Merged, Plain, call_of, do, of_directory, of_view, shown

from ptoverlay.commit.carry import commit
from ptoverlay.history import steps
from ptoverlay.history.fold import flattened, fold_oldest
from ptoverlay.history.record import HistoryStep
from ptoverlay.history.states import after, between, history_of
from ptoverlay.layer.changes import changes
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

EXAMPLES = int(os.environ.get("PTOVERLAY_TEST_EXAMPLES", "100"))
Shown = dict[str, tuple[object, ...]]


@contextmanager
def named(monkeypatch: pytest.MonkeyPatch, tmp: Path) -> Iterator[tuple[Sandbox, Path]]:
    """A sandbox over a lower, and a plain copy of the lower."""
    area = tmp / "area"
    (area / "lower").mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(area / "state"))
    try:
        for number, operation in enumerate(TREE):
            do(Plain(area / "lower"), operation, 1000 + number)
        shutil.copytree(area / "lower", area / "plain", symlinks=True)
        (area / "plain/e/l").unlink()  # copytree has made two files of it
        os.link(area / "plain/d/a", area / "plain/e/l")
        box = Sandbox.create("one", [str(area / "lower")], str(area / "lower"))
        box.release()
        os.mkdir(box.upper)
        yield box, area
    finally:
        remove_tree(str(area))


def play(box: Sandbox, area: Path, random: Random) -> list[tuple[str, ...]]:
    """A step of some calls, which go as on the plain copy."""
    played = []
    steps.begin(box, HistoryStep(0))
    with box.view(writable=True) as view:
        for number in range(random.randint(1, 5)):
            operation = call_of(area / "plain", random)
            played.append(operation)
            results = [do(place, operation, number) for place in (Plain(area / "plain"), Merged(view, area / "lower"))]
            assert results[0] == results[1], played
    steps.finish(box, 0)
    return played


def look(box: Sandbox) -> Shown:
    with box.view() as view:
        return of_view(view, box.mount)


def found(box: Sandbox) -> list[tuple[str, str, str | None]]:
    """What diff tells."""
    with box.view() as view, box.base() as base:
        return [(change.path, str(change.kind), change.old_path) for change in changes(view, base, box.mount)]


@pytest.mark.parametrize("seed", range(4))
def test_random_steps(seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in range(EXAMPLES // 4):
        with named(monkeypatch, tmp_path) as (box, area):
            one(box, area, Random(f"{seed} {number}"))


def one(box: Sandbox, area: Path, random: Random) -> None:
    before = shown(area / "lower")
    expected, played = {0: look(box)}, []
    for _ in range(random.randint(2, 6)):
        played.append(play(box, area, random))
        last = history_of(box).last
        expected[last.number if last else 0] = of_directory(area / "plain")
        assert look(box) == of_directory(area / "plain"), played
    numbers = sorted(expected)
    for older, newer in pairwise(numbers):
        with between(box, older, newer) as (view, base):
            assert (of_view(view, box.mount), of_view(base, box.mount)) == (expected[newer], expected[older]), played
            assert changes(view, base, box.mount), played
    told = found(box)
    with flattened(box) as flat:
        assert look(flat) == expected[numbers[-1]], played
        assert found(flat) == told, played
    if numbers[-1]:
        count = random.randint(1, len(numbers) - 1)
        steps.undo(box, count)
        assert look(box) == expected[numbers[-1 - count]], played
        steps.redo(box, count)
    assert found(box) == told, played
    fold_oldest(box, 1)
    assert (look(box), found(box)) == (expected[numbers[-1]], told), played
    assert shown(area / "lower") == before
    played.append(play(box, area, random))
    outcome = commit(box)
    if outcome.refused:  # as it would be in one layer: names of one file that were renamed in several ways
        assert {*outcome.refused.values()} == {"changed on the host meanwhile"}, played
        return
    assert shown(area / "lower") == shown(area / "plain"), played
    assert found(box) == []
    with after(box, 0) as view:
        assert of_view(view, box.mount) == of_directory(area / "plain")
