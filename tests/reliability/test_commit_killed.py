"""A commit that is killed at any point: nothing on the host is half-written, and the next commit finishes.

PTOVERLAY_TEST_KILLS: how often it is killed at a random time (default: 24).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from support.calls import of_directory, of_view
from support.killing import killed_at
from support.scenes import SCENES, scene
from support.trees import in_memory, tree

from ptoverlay.commit.carry import commit
from ptoverlay.commit.journal import Journal
from ptoverlay.remove import remove_tree

KILLS = int(os.environ.get("PTOVERLAY_TEST_KILLS", "24"))
LONGEST = 0.06  # seconds until it is killed


@pytest.fixture
def area() -> Iterator[Path]:
    with in_memory() as path:
        yield path


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("name", SCENES)
def test_killed_anywhere_the_next_commit_finishes(area: Path, name: str, layered: bool) -> None:
    """Every second point of a commit at which something is about to change: odd ones, or even ones."""
    sandbox = scene(area, name, layered=layered)
    lower = Path(sandbox.lowers[0])
    old = tree(lower)
    assert not commit(sandbox).refused
    new = tree(lower)
    assert new != old
    contents = {entry[1] for entry in (*old.values(), *new.values())}
    points = 0
    for n in itertools.count(1 + (layered + list(SCENES).index(name)) % 2, 2):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, name, layered=layered)
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023 (it runs at once)
            break
        points += 1
        found = tree(lower)
        strange = [path for path, entry in found.items() if entry[1] not in contents]
        assert not strange, f"at point {n}: half-written {strange}"
        outcome = commit(sandbox)
        assert not outcome.refused, f"at point {n}: {outcome.refused}"
        assert tree(lower) == new, f"at point {n}"
        assert os.listdir(area / "upper") == [], f"at point {n}"
        assert not Journal.path(sandbox.work).parent.exists()
    assert points > 10


@pytest.mark.parametrize("name", ["names", "contents"])
def test_killed_twice(area: Path, name: str) -> None:
    """A commit that is killed while it finishes another one."""
    sandbox = scene(area, name)
    assert not commit(sandbox).refused
    new = tree(area / "lower")
    for n in itertools.count(10, 7):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, name)
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023
            break
        for m in range(2, 60, 5):
            if not killed_at(m, lambda: commit(sandbox)):  # noqa: B023
                break
        assert not commit(sandbox).refused
        assert tree(area / "lower") == new, f"at point {n}"
        assert os.listdir(area / "upper") == []


def test_what_the_host_does_meanwhile_is_not_lost(area: Path) -> None:
    """Killed half-way, then the host changes what was to be replaced: that path is refused, the rest is finished."""
    points = 0
    for n in itertools.count(5, 3):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, "contents")
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023
            break
        lower = area / "lower"
        before = {name: (lower / name).read_bytes() for name in ("a", "big")}
        (lower / "big").write_bytes(b"host")
        outcome = commit(sandbox)
        assert (lower / "a").read_text() == "new a\n"
        if before["big"].startswith(b"old"):
            assert list(outcome.refused) == [f"{lower}/big"], f"at point {n}"
            points += 1
        assert (lower / "big").read_bytes() == b"host", f"at point {n}"
        assert not [name for name in os.listdir(lower) if name.startswith(".ptoverlay")]
    assert points


def test_killed_at_any_time(area: Path) -> None:
    """SIGKILL at a moment of its own, which no call of ours marks."""
    random = Random("kills")
    interrupted = 0
    for number in range(KILLS):
        for path in area.iterdir():
            remove_tree(str(path))
        name = sorted(SCENES)[number % len(SCENES)]
        sandbox = scene(area, name)
        expected = tree(Path(sandbox.lowers[0]))
        with sandbox.view() as view:
            expected_names = of_view(view, sandbox.mount)
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                commit(sandbox)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        interrupted += killed and tree(Path(sandbox.lowers[0])) != expected
        outcome = commit(sandbox)
        assert not outcome.refused, (name, time.monotonic() - begun, outcome.refused)
        assert of_directory(Path(sandbox.lowers[0])) == expected_names, name
        assert os.listdir(sandbox.upper) == [], name
        assert not Journal.path(sandbox.work).parent.exists()
    assert interrupted or KILLS < 100
