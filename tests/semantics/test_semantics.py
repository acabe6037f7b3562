"""What the upper layer holds afterwards: the same as the kernel's overlayfs leaves there for the same operations,
and each can go on from what the other left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.box import Box
from support.compare import all_of
from support.oracle import Kernel
from support.snapshot import TREE, Snapshot, assert_equal
from support.trees import Node, standard
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
    "attributes": "setfattr -n user.new -v 1 file; setfattr -x user.test dir; setfacl -m u:$(id -u):rw dir/a",
    "setgid directory": "mkdir setgid/new; echo x > setgid/file",
    "sparse": "chmod 600 sparse; echo x >> attrs; chmod 700 attrsdir; echo x > attrsdir/new",
    "exclusive": "sh -c 'set -C; echo x > file' 2>/dev/null || mkdir dir 2>/dev/null || rmdir dir 2>/dev/null || true",
    "read only": "cat file dir/a >/dev/null; ls -lR >/dev/null || :; find . -newer file >/dev/null; test -w file",
}
#: These the kernel does by copying where it follows no redirects: in a user namespace.
MOVES_DIR = re.compile(r"mv (-T )?(\S+/)?dir(?=[ ;])")
REDIRECTING = [name for name, script in SCENARIOS.items() if name.startswith("rename") and MOVES_DIR.search(script)]
if os.geteuid() != 0:
    for redirecting in REDIRECTING:
        del SCENARIOS[redirecting]


def layout(world: World) -> None:
    """A lower that has, for each scenario, a directory with a small tree of its own."""
    left_out = ("full", "chain", "long", "mixed", "meta", "noaccess", "sticky", "socket", "foreign")
    small = [n for n in standard(world.mount) if not n.path.startswith(left_out)]
    nodes = [Node(".", "dir", 0o755)]
    for name in SCENARIOS:
        top = name.replace(" ", "-")
        for node in small:
            path = top if node.path == "." else f"{top}/{node.path}"
            target = f"{top}/{node.target}" if node.kind == "hard" else node.target
            content = node.content[:1000]
            nodes.append(replace(node, path=path, target=target, content=content, hole=node.hole and 1 << 21))
    world.lay_out([*nodes, *(n for n in standard(world.mount) if n.path.startswith(("mixed", "long")))])


def all_scenarios() -> list[str]:
    """A shell command that runs them all, each in its directory of the mount point."""
    lines = [
        f"(set -eu; cd {name.replace(' ', '-')}; {script}) || echo failed: {name}" for name, script in SCENARIOS.items()
    ]
    return ["/bin/sh", "-c", "\n".join(lines)]


def upper(layer: Path, world: World) -> Snapshot:
    """The layer itself, with the private attributes that count, under one name for both prefixes."""
    snapshot = world.raw_snapshot(layer)
    for path, entry in snapshot.items():
        kept = []
        for attribute in entry.xattrs:
            name = attribute.split("=")[0]
            if ".overlay." not in name:
                kept.append(attribute)
            elif name.split(".overlay.")[1] in COMPARED:
                kept.append("overlay." + attribute.split(".overlay.")[1])
        if entry.type == "chr":  # a whiteout belongs to whoever made the mount
            entry = replace(entry, uid="", gid="", mode="")
        snapshot[path] = replace(entry, xattrs=tuple(kept))
    return snapshot


@pytest.mark.debian("attr", "acl")
def test_upper_is_the_kernels(world: World) -> None:
    """Whiteouts, opaque marks, redirects, copied-up files and directories, entry by entry."""
    layout(world)
    assert world.plain().check(all_scenarios(), env=world.env) == ""
    assert world.kernel().check(all_scenarios(), env=world.env) == ""
    assert world.box().check(all_scenarios(), env=world.env) == ""
    # The kernel keeps its whiteouts as hard links of one.
    names = [n for n in TREE if n != "group"]
    # An ordinary user's copy cannot have a group that he is not in; the view and the kept attribute have it.
    ignore = () if world.who.is_root else (r"/setgid",)
    found = upper(world.upper, world)
    all_of(
        lambda: assert_equal("the upper differs", upper(world.kernel_upper, world), found, names, ignore=ignore),
        lambda: world.assert_same_tree(ignore=ignore),
    )


@pytest.mark.root_only
@pytest.mark.debian("attr", "acl")
def test_goes_on_from_the_kernels_upper(world: World) -> None:
    """A layer that the kernel left is shown as the kernel shows it, and can be changed further."""
    layout(world)
    kernel = world.kernel()
    assert kernel.check(all_scenarios(), env=world.env) == ""
    expected = kernel.snapshot()
    box = Box(
        world.subjects, world.who, world.mount, world.lowers, world.kernel_upper, world.kernel_work, trap=world.trap
    )
    assert_equal("the kernel's upper shows another tree", expected, box.snapshot(), TREE)
    more = (
        "echo x > added; mv mixed dexim; chmod 700 long; for d in */; do echo x > $d/added; rm -rf $d/moved; done;"
        "for d in r*/; do mv $d/dir $d/rid; rm -f $d/big; mkdir $d/big; done 2>/dev/null; true"
    )
    box.check(["/bin/sh", "-uc", more], env=world.env)
    again = Kernel(world.subjects, world.who, world.mount, world.lowers, world.kernel_upper, world.kernel_work)
    assert_equal("the kernel sees another tree than the box", box.snapshot(), again.snapshot(), TREE)


def test_layers_of_one_run_are_lowers_of_the_next(world: World) -> None:
    """The upper of one run as the topmost lower of another, whiteouts and opaque directories included."""
    world.lay_out_standard()
    first = [
        "/bin/sh",
        "-euc",
        "rm file; rm -r dir; mkdir dir; echo 1 > dir/one; rm -r gone/z; echo x > gone/x; mv link knil",
    ]
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


CHOWN_NOTHING = """if True:
    import os
    for name in ("program", "directory", "link", "plain"):
        before = os.lstat(name)
        os.chown(name, -1, -1, follow_symlinks=False)
        after = os.lstat(name)
        print(name, oct(after.st_mode), before.st_ino == after.st_ino, before.st_ctime_ns == after.st_ctime_ns)
"""


def test_chown_of_neither(world: World) -> None:
    """chown(2) with -1 twice: set-id bits go off a file and the ctime changes, as in the kernel."""
    lower = world.add_lower()
    (lower / "directory").mkdir()
    (lower / "link").symlink_to("plain")
    for name in ("program", "plain"):
        (lower / name).write_text("x")
    for path in (lower, *lower.iterdir()):
        os.chown(path, *world.owner, follow_symlinks=False)
    for name in ("program", "directory"):
        (lower / name).chmod(0o6755)
    world.freeze()
    command = ["/usr/bin/python3", "-c", CHOWN_NOTHING]
    expected = world.kernel().check(command, env=world.env)
    assert "program 0o100755 True False\n" in expected
    assert world.box().check(command, env=world.env) == expected
