"""Who may do what: calls on objects of several owners and modes, natively and on a view without a tracee.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import attempts
from support.box import ROOT_DIRECTORY, Box
from support.faults import memory_directory
from support.oracle import ROOT, USER, Done, as_user, run
from support.subjects import Subjects
from support.world import World

pytestmark = pytest.mark.root_only
TESTS = ROOT_DIRECTORY / "tests"


@pytest.fixture
def layers(subjects: Subjects) -> Iterator[World]:
    """In memory: there are thousands of objects."""
    with memory_directory() as area:
        world = World(area, subjects, USER, "none")
        world.lay_out(attempts.nodes(USER.uid, USER.gid))
        yield world
        world.assert_lowers_untouched()


def lines(done: Done) -> dict[str, str]:
    """What support/attempts.py printed, by call or object."""
    assert done.status == 0, done.err[-3000:]
    return dict(line.split(" = " if " = " in line else " is ", 1) for line in done.out.splitlines())


def compare(expected: dict[str, str], found: dict[str, str]) -> None:
    wrong = [f"{what}: {expected.get(what)}, in the view {found.get(what)}" for what in {**expected, **found}
             if expected.get(what) != found.get(what)]
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:60])


def attempt(*arguments: str | Path) -> list[str]:
    """The command that makes the calls, as the user."""
    return [*as_user(USER), sys.executable, "-m", "support.attempts", *map(str, arguments)]


@pytest.mark.quick
def test_an_ordinary_user(layers: World) -> None:
    """Each call succeeds, or fails with the same errno, and leaves the same objects, owners, modes and times; but that
    what the user may not read cannot be copied up, for a link that fs.protected_hardlinks would let him make."""
    expected = lines(run(attempt("plain", layers.plain_directory), cwd=TESTS))
    found = lines(run(attempt("view", layers.lowers[0], layers.upper, layers.work, layers.mount), cwd=TESTS))
    if int(Path("/proc/sys/fs/protected_hardlinks").read_text()) == 0:
        unreadable = {key for key, text in found.items()
                      if key.startswith("0 link ") and "EACCES" in text and "EACCES" not in expected[key]}
        assert all("group-none" in key or "acl-" in key for key in unreadable)
        # the objects that are there natively, too
        names = {key.split()[-1] for key in unreadable}
        for outcome in (expected, found):
            for key in [key for key in outcome if key in unreadable or key.split()[-1] in names]:
                del outcome[key]
    compare(expected, found)


def test_below_root(layers: World, trap: str) -> None:
    """A root supervisor asks what the caller may do, and what the kernel does to the caller's files it does too."""
    box = Box(layers.subjects, ROOT, layers.mount, layers.lowers, layers.upper, layers.work, trap=trap)
    os.chown(layers.upper, 0, 0)
    os.chown(layers.work, 0, 0)
    expected = lines(run(attempt("plain", layers.plain_directory), cwd=TESTS))
    compare(expected, lines(box.run(attempt("plain", layers.mount), cwd=TESTS)))
