"""Calls over the whole of /, where what nobody has changed is passed: the same as on a plain copy.

There alone a path never leaves the overlays, and the notify trap passes repeated calls unasked.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, force_inside
from support.compare import LISTED, assert_lines
from support.snapshot import UNTOUCHED, assert_equal
from support.world import World

ON_TREE = ["again", "open", "stat", "names", "rename", "readdir", "fdmeta", "times", "xattr", "cwd", "path", "signals"]


@contextlib.contextmanager
def on_the_host(world: World) -> Iterator[None]:
    """The lower lies at the mount point itself, and is afterwards as it was."""
    lower = world.lowers[0]
    lower.rename(world.mount)
    before = world.raw_snapshot(world.mount)
    try:
        yield
        after = world.raw_snapshot(world.mount)
    finally:
        world.mount.rename(lower)
        world.mount.mkdir()
    assert_equal("the host changed", before, after, UNTOUCHED, exact=True)
    world.freeze()


@pytest.mark.parametrize("subject", ON_TREE)
def test_subject(world: World, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree lies on the host, in one lower with all the rest."""
    force_inside(world.who, monkeypatch)
    world.lay_out_standard(subject)
    program = [world.subjects.path(subject), world.mount]
    plain = world.plain().check(program, env=world.env)
    root = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    with on_the_host(world):
        found = root.check(program, env=world.env, cwd=Path("/"))
    assert_lines(f"{subject} over /", plain, found, LISTED["box"], subject, world.who.name)
