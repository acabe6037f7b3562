"""Commits that are taken back, killed at any point: of what they replace nothing is lost, and they are finished.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.killing import killed_at
from support.scenes import SCENES, scene
from support.trees import in_memory, tree

from ptoverlay.commit.carry import commit
from ptoverlay.commit.kept import commits
from ptoverlay.commit.takeback import alone, turn
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with in_memory() as path:
        monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
        yield path


def begin(area: Path, name: str) -> Sandbox:
    for path in area.iterdir():
        remove_tree(str(path))
    return scene(area, name)


def turn_last() -> None:
    with alone():
        assert turn(commits()[-1]) == {}


@pytest.mark.parametrize("name", SCENES)
def test_a_commit_that_was_killed_can_be_taken_back(area: Path, name: str) -> None:
    """Once it is finished, as any other."""
    sandbox = begin(area, name)
    old = tree(area / "lower")
    assert not commit(sandbox, keep=True).refused
    new = tree(area / "lower")
    for n in itertools.count(1, 9):
        sandbox = begin(area, name)
        if not killed_at(n, lambda: commit(sandbox, keep=True)):  # noqa: B023
            break
        assert not commit(sandbox, keep=True).refused
        assert tree(area / "lower") == new, f"at point {n}"
        for expected in (old, new, old):
            turn_last()
            assert tree(area / "lower") == expected, f"at point {n}"
        with alone() as finished:
            assert (finished, len(commits())) == ([], 1)


@pytest.mark.parametrize("name", SCENES)
def test_taking_back_that_was_killed(area: Path, name: str) -> None:
    """The next command finishes it; every file is one of before or one of after, whole."""
    sandbox = begin(area, name)
    old = tree(area / "lower")
    assert not commit(sandbox, keep=True).refused
    new = tree(area / "lower")
    contents = {entry[1] for entry in (*old.values(), *new.values())}
    for n in itertools.count(1, 4):
        assert not commit(begin(area, name), keep=True).refused
        if not killed_at(n, turn_last):
            break
        assert not [entry for entry in tree(area / "lower").values() if entry[1] not in contents], f"at point {n}"
        with alone():
            (one,) = commits()
        assert tree(area / "lower") == (old if one.undone else new), f"at point {n}"
        turn_last()
        assert tree(area / "lower") == (new if one.undone else old), f"at point {n}"
