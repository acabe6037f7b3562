"""Every call of the table, by C subjects that print what they get: the same on a plain copy and in the box.

The kernel's overlayfs runs them too: it has to agree with the plain copy, except where LISTED says so.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re

import pytest
from support.box import force_inside
from support.compare import LISTED, all_of, assert_lines
from support.subjects import SOURCES
from support.trees import Node
from support.world import World

#: Subjects that run on the standard tree and take it as their one argument.
ON_TREE = ["open", "stat", "names", "rename", "readdir", "fdmeta", "times", "xattr", "cwd", "path", "procfd", "socket"]
ON_TREE += ["newer", "signals", "guarded"]


@pytest.fixture(params=[False, True], ids=["fresh", "split"])
def split(request: pytest.FixtureRequest) -> bool:
    """Whether the tree is spread over upper and two lowers."""
    return bool(request.param)


@pytest.fixture(params=ON_TREE)
def subject(request: pytest.FixtureRequest) -> str:
    """One of the subjects."""
    return str(request.param)


@pytest.mark.root_only
@pytest.mark.parametrize("trap", ["none"], indirect=True)
def test_oracle(world: World, subject: str, split: bool) -> None:
    """The kernel's overlayfs and a plain copy give the same, with the listed differences."""
    world.lay_out_standard(subject, split=split)
    program = [world.subjects.path(subject), world.mount]
    plain = world.plain().check(program, env=world.env)
    kernel = world.kernel().check(program, env=world.env)
    assert_lines(f"{subject} on the kernel's overlayfs", plain, kernel, LISTED["kernel"], subject, world.who.name)


#: What an ordinary user's run leaves otherwise: nobody lets him read the first, so it cannot be copied up; and the
#: second, a socket, can hold no attribute of his that keeps a group that he is not in for the next run.
USER_DIFFERENCES = (r"^noaccess$", r"^setgid/socket$")


def same_in_the_box(world: World, subject: str) -> None:
    """The box gives what a plain copy gives, with the listed differences."""
    program = [world.subjects.path(subject), world.mount]
    plain = world.plain().check(program, env=world.env)
    box = world.box().check(program, env=world.env)
    all_of(
        lambda: assert_lines(f"{subject} in ptoverlay", plain, box, LISTED["box"], subject, world.who.name),
        lambda: world.assert_same_tree(ignore=() if world.who.is_root else USER_DIFFERENCES),
    )


def test_box(world: World, subject: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in one lower, nothing in the upper."""
    force_inside(world.who, monkeypatch)
    world.lay_out_standard(subject)
    same_in_the_box(world, subject)


@pytest.mark.heavy
def test_box_on_several_layers(world: World, subject: str) -> None:
    """The same tree spread over upper and two lowers."""
    world.lay_out_standard(subject, split=True)
    same_in_the_box(world, subject)


@pytest.mark.root_only
@pytest.mark.parametrize("trap", ["none"], indirect=True)
def test_oracle_deeper_than_a_path(world: World) -> None:
    """The kernel's overlayfs and a plain directory give the same."""
    world.lay_out([Node(".", "dir", 0o755)])
    program = [world.subjects.path("deep"), world.mount]
    plain, kernel = (place.check(program, env=world.env) for place in (world.plain(), world.kernel()))
    assert_lines("deep on the kernel's overlayfs", plain, kernel, {}, "deep", world.who.name)


def test_deeper_than_a_path(world: World) -> None:
    """What no path can name is reached step by step."""
    world.lay_out([Node(".", "dir", 0o755)])
    program = [world.subjects.path("deep"), world.mount]
    plain = world.plain().check(program, env=world.env)
    assert_lines("deep in ptoverlay", plain, world.box().check(program, env=world.env), {}, "deep", world.who.name)
    world.assert_same_tree()


def test_every_subject_is_used() -> None:
    """No C file of tests/subjects is forgotten by the tests."""
    text = "".join(p.read_text() for p in SOURCES.parent.rglob("*.py"))
    unused = [p.stem for p in SOURCES.glob("*.c") if not re.search(rf"\b{p.stem}(\"|\.c\b)", text)]
    assert not unused
