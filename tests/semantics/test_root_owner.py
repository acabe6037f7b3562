"""The top of a view belongs to whom it belongs below, for an ordinary user too, who cannot give it away.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import command
from support.oracle import ROOT, USER, Done, Who, as_user, run
from support.world import World

pytestmark = pytest.mark.root_only

#: What an ordinary user may do at the top, and in directories that the upper has to make.
SCRIPT = """
stat -c '%u:%g %a %n' . etc etc/mine open
for name in new etc/new open/new etc/mine/new; do mkdir $name 2>/dev/null && echo made $name; done
for name in . etc open etc/mine; do test -w $name && echo may write $name; done
chmod 700 etc 2>/dev/null && echo changed etc
chmod 701 etc/mine && chmod 711 . 2>/dev/null && echo changed the top
stat -c '%u:%g %a %n' . etc etc/mine open
"""


def lay_out(top: Path, owner: int) -> None:
    """Directories of root's, one open to all, one that is the user's."""
    for name, mode, uid in (("etc", 0o755, owner), ("open", 0o1777, owner), ("etc/mine", 0o755, USER.uid)):
        (top / name).mkdir()
        (top / name).chmod(mode)
        os.chown(top / name, uid, uid)
    top.chmod(0o755)
    os.chown(top, owner, owner)


def started(world: World, script: str, options: list[str], prefix: list[str] | None = None) -> Done:
    """Runs it in the view of the lower, whose upper ptoverlay makes."""
    overlay = ["-l", str(world.lowers[0]), "-m", str(world.mount), "-C", str(world.mount), "--trap", world.trap]
    who = as_user(USER) if prefix is None else prefix
    return run([*who, *command(), "run", *overlay, *options, "--", "sh", "-c", script], env=world.env)


@pytest.fixture
def world(make_world: Callable[[Who, str], World], trap: str) -> World:
    """For an ordinary user, with a lower of root's."""
    world = make_world(USER, trap)
    world.add_lower()
    return world


@pytest.mark.parametrize("upper", ["none", "new", "again"])
def test_owner_of_the_top(world: World, upper: str) -> None:
    """As without a view: with a temporary upper, one that is made, and in the next run on that one."""
    lay_out(world.lowers[0], 0)
    lay_out(world.plain_directory, 0)
    options = [] if upper == "none" else ["-u", str(world.home / "made")]
    if upper == "again":
        assert started(world, "exit 7", options).status == 7
    world.freeze()
    found = started(world, SCRIPT, options)
    plain = world.plain().run(["sh", "-c", SCRIPT], env=world.env)
    assert "made new" not in plain.out
    assert "made etc/mine/new" in plain.out
    assert (found.out, found.err, found.status) == (plain.out, plain.err, plain.status)
    world.assert_lowers_untouched()


def test_owner_that_a_user_namespace_lacks(world: World) -> None:
    """Root of a namespace that maps one user: others' directories are nobody's, and stay so when they are copied up."""
    lay_out(world.lowers[0], 4711)
    lay_out(world.plain_directory, 4711)
    world.freeze()
    prefix = [*as_user(USER), "unshare", "-Ur"]
    found = started(world, SCRIPT, ["-u", str(world.home / "made")], prefix)
    script = f"cd {world.plain_directory}\n{SCRIPT}"
    plain = run([*prefix, "sh", "-c", script], env=world.env)
    assert "65534:65534 755 ." in plain.out
    assert (found.out, found.err, found.status) == (plain.out, plain.err, plain.status)
    world.assert_lowers_untouched()


def test_root_gives_owners_away(make_world: Callable[[Who, str], World], trap: str) -> None:
    """The upper that root's run makes has them itself."""
    world = make_world(ROOT, trap)
    world.add_lower()
    lay_out(world.lowers[0], 4711)
    made = world.home / "made"
    assert started(world, "stat -c %u:%g .", ["-u", str(made)], []).out == "4711:4711\n"
    assert (made.stat().st_uid, os.listxattr(made)) == (4711, [])
