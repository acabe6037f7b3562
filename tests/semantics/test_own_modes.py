"""What the upper's objects themselves are on the host, where an ordinary user cannot give them the owner or group that
the view shows: nobody there may more than in the view.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import host
from support.oracle import USER, Who
from support.trees import Node
from support.world import World

pytestmark = pytest.mark.root_only   # who lays out files of others

#: name → mode in the lower; the owner is the user's, the group is not.
FILES = {"open": 0o664, "group": 0o640, "program": 0o755, "dir": 0o2775}


@pytest.fixture
def shared(make_world: Callable[[Who, str], World], trap: str) -> World:
    world = make_world(USER, trap)
    world.lay_out([Node(".", "dir", 0o755), *(
        Node(name, "dir" if name == "dir" else "file", mode) for name, mode in FILES.items())])
    for name, mode in FILES.items():
        os.chown(world.lowers[0] / name, USER.uid, 12345)
        (world.lowers[0] / name).chmod(mode)
    world.freeze()
    return world


def own_modes(upper: Path) -> dict[str, str]:
    """Of what is in the upper."""
    return {path.name: f"{stat.S_IMODE(path.lstat().st_mode):o}" for path in upper.iterdir()}


def test_copies(shared: World) -> None:
    """Members of a group that a copy does not have are others there, and others may be of the group that it has."""
    shown = shared.box().check(["/bin/sh", "-c", "touch *; stat -c '%n %a %g' *"], env=shared.env)
    assert shown == "dir 2775 12345\ngroup 640 12345\nopen 664 12345\nprogram 755 12345\n"
    assert own_modes(shared.upper) == {"dir": "755", "group": "600", "open": "644", "program": "755"}


def test_chmod(shared: World) -> None:
    """What is closed in the view is closed on the host, at once; what is opened is open there as far as it may be."""
    script = "chmod 600 open; chmod 711 program; chmod 644 group; chmod 700 dir; stat -c '%n %a' *"
    expected = "dir 700\ngroup 644\nopen 600\nprogram 711\n"
    assert shared.box().check(["/bin/sh", "-c", script], env=shared.env) == expected
    assert own_modes(shared.upper) == {"dir": "700", "group": "644", "open": "600", "program": "711"}
    assert shared.box().check(["/bin/sh", "-c", "stat -c '%n %a' *"], env=shared.env) == expected


def test_made_in_a_directory_of_another_group(shared: World) -> None:
    """A file gets the group of its directory, which its owner is not in."""
    script = "umask 007; echo text >dir/made; mkdir dir/sub; stat -c '%n %a %g' dir/made dir/sub; cat dir/made"
    expected = "dir/made 660 12345\ndir/sub 2770 12345\ntext\n"
    assert shared.box().check(["/bin/sh", "-c", script], env=shared.env) == expected
    assert own_modes(shared.upper / "dir") == {"made": "600", "sub": "700"}


def test_without_attributes(shared: World, area: Path) -> None:
    """Where nothing can be kept beside the copy a chmod is in its own mode, and there the next time."""
    ram = area / "ram"
    ram.mkdir()
    host.mount_ramfs(ram)
    try:
        for name in ("upper", "work"):
            (ram / name).mkdir()
            os.chown(ram / name, USER.uid, USER.gid)
        shared.upper, shared.work = ram / "upper", ram / "work"
        shared.box().check(["/bin/sh", "-c", "chmod 600 open; chmod 700 program"], env=shared.env)
        assert own_modes(shared.upper) == {"open": "600", "program": "700"}
        told = shared.box().check(["/bin/sh", "-c", "stat -c '%n %a' open program"], env=shared.env)
        assert told == "open 600\nprogram 700\n"
    finally:
        host.unmount(ram)
