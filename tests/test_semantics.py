"""What the upper layer holds afterwards: the same as the kernel's overlayfs leaves there for the same operations,
and each can go on from what the other left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from support.box import Box
from support.oracle import Kernel
from support.snapshot import TREE, Snapshot, assert_equal
from support.world import World

#: Private attributes whose value is the same for the same history; the others hold identities and versions.
COMPARED = ("opaque", "redirect", "whiteout", "metacopy")

SCENARIOS = {
    "unlink": "rm file link fifo dir/a",
    "unlink new": "echo x > new; rm new; echo x > dir/new; rm dir/new",
    "unlink changed": "echo x >> file; chmod 600 dir/a; rm file dir/a",
    "rmdir": "rmdir emptydir; rm -r dir gone",
    "rmdir new": "mkdir new new/sub; rmdir new/sub new",
    "rmdir merged": "echo x > dir/new; rm -r dir",
    "file again": "rm file; echo new > file; rm dir/b; echo b > dir/b",
    "directory again": "rm -r dir; mkdir dir; rm -r gone; mkdir gone; echo x > gone/x; mkdir gone/z",
    "file where directory was": "rm -r dir; echo x > dir",
    "directory where file was": "rm file; mkdir file; echo x > file/in",
    "link where file was": "rm file; ln -s dir file; rm ro; ln -s nowhere ro",
    "fifo where file was": "rm file; mkfifo file",
    "no whiteouts in opaque": "rm -r dir; mkdir dir; echo x > dir/a; rm dir/a; mkdir dir/sub; rmdir dir/sub",
    "rename file": "mv file moved; mv dir/a dir/sub/aa",
    "rename over": "mv file ro; mv dir/a dir/b",
    "rename back": "mv file moved; mv moved file",
    "rename new over lower": "echo x > new; mv new file; mkdir d; mv -T d emptydir",
    "rename link": "mv link moved; mv dangling dir/dangling",
    "rename directory": "mv dir moved",
    "rename directory elsewhere": "mv dir gone/moved; mv emptydir gone/moved/sub",
    "rename directory twice": "mv dir one; mv one two; mv two gone/three",
    "rename and change": "mv dir moved; echo x > moved/a; rm moved/b; mkdir moved/new; mkdir dir; echo y > dir/y",
    "rename back directory": "mv dir moved; mv moved dir",
    "rename new directory": "mkdir new; echo x > new/x; mv new newer; mv newer dir/newest",
    "rename within renamed": "mv dir moved; mv moved/sub moved/bus; mv moved/bus top; echo x >> top/deeper/leaf",
    "rename over whiteout": "rm ro; mv file ro; rm -r emptydir; mv dir emptydir",
    "chmod": "chmod 600 file; chmod 700 dir; chmod 711 dir/sub/deeper",
    "touch": "touch -d '2001-02-03 04:05:06.789' file dir/sub/deeper/leaf emptydir; touch -h -d '2001-02-03' link",
    "write": "echo more >> file; echo new > dir/a; : > dir/b; truncate -s 100000 big; truncate -s 3 dir/c",
    "hard link": "ln file hard; ln dir/a dir/sub/hard; ln dir/a top",
    "hard link of new": "echo x > new; ln new newer; rm new",
    "copy-up of a deep one": "echo x >> dir/sub/deeper/leaf",
    "attributes": "setfattr -n user.new -v 1 file; setfattr -x user.test dir; setfacl -m u:4711:rw dir/a",
    "setgid directory": "mkdir setgid/new; echo x > setgid/file",
    "sparse": "chmod 600 sparse; echo x >> attrs; chmod 700 attrsdir; echo x > attrsdir/new",
    "exclusive": "sh -c 'set -C; echo x > file' 2>/dev/null || mkdir dir 2>/dev/null || rmdir dir 2>/dev/null || true",
    "read only": "cat file dir/a >/dev/null; ls -lR >/dev/null; find . -newer file >/dev/null; test -w file",
}


def upper(world: World, directory_of_kernel: bool) -> Snapshot:
    """The layer itself, with the private attributes that count, under one name for both prefixes."""
    snapshot = world.raw_snapshot(world.kernel_upper if directory_of_kernel else world.upper)
    for path, entry in snapshot.items():
        kept = []
        for attribute in entry.xattrs:
            name = attribute.split("=")[0]
            if ".overlay." not in name:
                kept.append(attribute)
            elif name.split(".overlay.")[1] in COMPARED:
                kept.append("overlay." + attribute.split(".overlay.")[1])
        snapshot[path] = replace(entry, xattrs=tuple(kept))
    return snapshot


@pytest.fixture(params=SCENARIOS)
def scenario(request: pytest.FixtureRequest) -> list[str]:
    """A shell command that runs one of the scenarios in the mount point."""
    return ["/bin/sh", "-euc", SCENARIOS[request.param]]


@pytest.mark.debian("attr", "acl")
def test_upper_is_the_kernels(world: World, scenario: list[str]) -> None:
    """Whiteouts, opaque marks, redirects, copied-up files and directories, entry by entry."""
    world.lay_out_standard()
    world.plain().check(scenario, env=world.env)
    world.kernel().check(scenario, env=world.env)
    world.box().check(scenario, env=world.env)
    # The kernel keeps whiteouts as hard links of one, and gives copied-up files of several names one index entry.
    names = [n for n in TREE if n != "group"]
    assert_equal("the upper differs from the kernel's", upper(world, True), upper(world, False), names)
    world.assert_same_tree()


@pytest.mark.root_only
@pytest.mark.debian("attr", "acl")
def test_goes_on_from_the_kernels_upper(world: World, scenario: list[str]) -> None:
    """A layer that the kernel left is shown as the kernel shows it, and can be changed further."""
    world.lay_out_standard()
    kernel = world.kernel()
    kernel.check(scenario, env=world.env)
    expected = kernel.snapshot()
    box = Box(
        world.subjects, world.who, world.mount, world.lowers, world.kernel_upper, world.kernel_work, trap=world.trap
    )
    assert_equal("the kernel's upper shows another tree", expected, box.snapshot(), TREE)
    more = ["/bin/sh", "-euc", "echo x > added; rm -rf full; mv mixed dexim; chmod 700 long; rm -f big; mkdir big"]
    box.check(more, env=world.env)
    again = Kernel(world.subjects, world.who, world.mount, world.lowers, world.kernel_upper, world.kernel_work)
    assert_equal("the kernel sees another tree than the box", box.snapshot(), again.snapshot(), TREE)


def test_layers_of_one_run_are_lowers_of_the_next(world: World) -> None:
    """The upper of one run as the topmost lower of another, whiteouts and opaque directories included."""
    world.lay_out_standard()
    first = ["/bin/sh", "-euc", "rm file; rm -r dir; mkdir dir; echo 1 > dir/one; rm -r gone/z; echo x > gone/x; mv link knil"]
    second = ["/bin/sh", "-euc", "echo back > file; rm dir/one; echo 2 > dir/two; rm -r gone; mkdir gone; mv knil link"]
    for script in (first, second):
        world.plain().check(script, env=world.env)
    world.box().check(first, env=world.env)
    upper_now = world.area / "second-upper"
    for path in (upper_now, world.area / "second-work"):
        path.mkdir()
        os.chown(path, *world.owner)
    lowers = [world.upper, *world.lowers]
    box = Box(world.subjects, world.who, world.mount, lowers, upper_now, world.area / "second-work", trap=world.trap)
    box.check(second, env=world.env)
    assert_equal("three layers", world.plain().snapshot(), box.snapshot(), TREE)
