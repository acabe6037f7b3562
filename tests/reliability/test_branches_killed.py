"""A merge, or a fork that leaves its parent, killed at any point: what is seen is what was before or what is after.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.calls import of_view
from support.killing import killed_at
from support.scenes import change
from support.trees import in_memory, tree

from ptoverlay.commit.carry import commit
from ptoverlay.history import steps
from ptoverlay.history.merge import plan
from ptoverlay.layer.view import View
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with in_memory() as path:
        monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
        yield path


def lay_out(area: Path) -> None:
    """A sandbox with two forks, all of which have changed something."""
    for path in area.iterdir():
        remove_tree(str(path))
    lower = area / "lower"
    (lower / "d").mkdir(parents=True)
    (lower / "text").write_text("1\n2\n3\n4\n5\n")
    for name in ("a", "b", "d/x"):
        (lower / name).write_text(f"old {name}\n")
    old = Sandbox.create("old", [str(lower)], str(lower))
    change(old, lambda view, m: view.write(f"{m}/a", b"old's\n"))
    for name in ("new", "other"):
        Sandbox.create(name, [old.upper, *old.stack], old.mount, parent="old").release()
    change(Sandbox.open("other"), lambda view, m: view.write(f"{m}/text", b"1\n2\n3\n4\nfive\n"))
    with plan(Sandbox.open("other")) as merge:
        merge.carry_out([])
    merge.child.release()
    change(Sandbox.open("new"), _changes)


def _changes(view: View, m: str) -> None:
    view.write(f"{m}/text", b"one\n2\n3\n4\n5\n")
    view.unlink(f"{m}/b")
    view.mkdir(f"{m}/n")
    view.write(f"{m}/n/1", b"new\n")
    view.link(f"{m}/n/1", f"{m}/n/2")
    view.rename(f"{m}/d", f"{m}/e")
    view.chmod(f"{m}/a", 0o600)


def shown(name: str) -> dict[str, tuple[object, ...]]:
    box = Sandbox.open(name)
    with box.view() as view:
        return of_view(view, box.mount)


def merge_new() -> None:
    box = Sandbox.open("new")
    with plan(box) as merge:
        merge.carry_out([])
    box.release()


def test_a_merge_is_whole_or_was_not(area: Path) -> None:
    """And merging again finishes it; the other fork never sees anything of it."""
    lay_out(area)
    before, other = shown("old"), shown("other")
    merge_new()
    after = shown("old")
    assert after != before
    assert shown("new") == after
    points = []
    for n in itertools.count(1, 4):
        lay_out(area)
        mine = shown("new")
        if not killed_at(n, merge_new):
            break
        box = Sandbox.open("old")
        with box.lock():
            steps.settle(box)
        found = shown("old")
        assert found in (before, after), f"at point {n}"
        assert shown("new") in (mine, after), f"at point {n}"
        points.append(found == after)
        merge_new()
        assert (shown("old"), shown("new"), shown("other")) == (after, after, other), f"at point {n}"
    assert {*points} == {False, True}


def test_a_fork_that_goes_to_the_host(area: Path) -> None:
    """What it shows stays the same, its parent is as it was, and the next commit finishes."""
    lay_out(area)
    view, parent = shown("new"), tree(Path(Sandbox.open("old").upper))
    box = Sandbox.open("new")
    assert not commit(box).refused
    box.release()
    after = tree(area / "lower")
    for n in itertools.count(2, 11):
        lay_out(area)
        if not killed_at(n, lambda: commit(Sandbox.open("new"))):
            break
        assert tree(Path(Sandbox.open("old").upper)) == parent, f"at point {n}"
        box = Sandbox.open("new")
        assert not commit(box).refused, f"at point {n}"
        box.release()
        assert tree(area / "lower") == after, f"at point {n}"
        assert shown("new") == view, f"at point {n}"
