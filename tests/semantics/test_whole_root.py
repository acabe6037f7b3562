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
from support.trees import Node
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


SHOWN = """
cd "$1"
exec 5<changed 6<longer 7<removed 8<renamed 9<linked
show() { for fd in 5 6 7 8 9; do stat -c '%a %h %s' - <&$fd; done; }
show; show
chmod 600 changed; echo more >>longer; rm removed; mv renamed new; chmod 640 linked-too
show; show
"""


def test_what_descriptors_show(world: World) -> None:
    """fstat by programs that begin, of files that others have asked about, before and after they are changed."""
    names = ("changed", "longer", "removed", "renamed", "linked")
    world.lay_out([Node(".", "dir", 0o755), *(Node(name, content=name.encode()) for name in names),
                   Node("linked-too", "hard", target="linked")])
    program = ["sh", "-c", SHOWN, "sh", str(world.mount)]
    plain = world.plain().check(program)
    root = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    with on_the_host(world):
        found = root.check(program, cwd=Path("/"))
    assert found == plain
    assert "600 1 7" in plain.splitlines()[10:]
