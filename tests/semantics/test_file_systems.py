"""Layers on file systems that lack something: far positions in directories, flags of renameat2(2).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import host
from support.box import command, in_front
from support.compare import LISTED, assert_lines
from support.oracle import Done, Who, as_user, run
from support.subjects import Subjects
from support.trees import Node
from support.world import World

RENAMEAT2 = 316 if os.uname().machine == "x86_64" else 276
RENAME_EXCHANGE, RENAME_WHITEOUT = 2, 4
PIDFD_GETFD = 438

#: Names that are replaced, and directories that become whiteouts and are made again.
RENAMES = """
rm -r tree; ls -A
rm -r gone; mkdir gone; ls -A gone; rmdir gone; mkdir gone; touch gone/new; ls -A gone
mkdir other; touch other/in; mv -T other dir/sub; ls -A dir dir/sub
mv dir moved; find moved | sort; mkdir dir; ls -A dir; mv -T moved dir; find dir | sort
rm -r dir; mkdir dir; ls -A . dir
"""


def tree() -> list[Node]:
    directories = ["tree", "tree/sub", "gone", "dir", "dir/sub"]
    return [Node(".", "dir", 0o755), *(Node(name, "dir", 0o755) for name in directories),
            *(Node(name, content=b"text\n") for name in ("tree/a", "tree/sub/b", "gone/old", "dir/c"))]


def refusing(world: World, refused: str, words: list[str]) -> Done:
    """In the box, under a filter that refuses calls."""
    wrapped = world.box().wrap(words, world.mount)
    return run(in_front(world.who, wrapped, [world.subjects.path("forbid"), refused]), env=world.env)


@pytest.mark.parametrize("flags", [(RENAME_EXCHANGE,), (RENAME_EXCHANGE, RENAME_WHITEOUT)], ids=["exchange", "both"])
def test_without_flags_of_rename(world: World, flags: tuple[int, ...]) -> None:
    """NFS, and FUSE file systems as bindfs and ntfs-3g."""
    world.lay_out(tree())
    plain = world.plain().check(["/bin/sh", "-ec", RENAMES], env=world.env)
    refused = ",".join(f"{RENAMEAT2}.4:{flag}={errno.EINVAL}" for flag in flags)
    done = refusing(world, refused, ["/bin/sh", "-ec", RENAMES])
    assert (done.status, done.out) == (0, plain), done.err
    assert os.listdir(world.work / "work") in ([], ["whiteout"])
    world.assert_same_tree()


@pytest.fixture
def fuse(area: Path) -> Iterator[Path]:
    """fuse-overlayfs, as below rootless containers: it makes no devices 0/0, and hides attributes that are marks."""
    for name in ("lower", "upper", "work", "fuse"):
        (area / name).mkdir()
    layers = ",".join(f"{name}dir={area / name}" for name in ("lower", "upper", "work"))
    subprocess.run(["fuse-overlayfs", "-o", f"{layers},allow_other", area / "fuse"], check=True, capture_output=True)
    (area / "fuse").chmod(0o1777)
    yield area / "fuse"
    host.unmount(area / "fuse")


@pytest.mark.root_only
@pytest.mark.debian("fuse-overlayfs")
@pytest.mark.parametrize("who", ["root", "user"], indirect=True)
def test_on_fuse_overlayfs(world: World, fuse: Path) -> None:
    """A layer that is thrown away is right there; one to be kept is refused; --check says so and leaves nothing."""
    world.lay_out(tree())
    plain = world.plain().check(["/bin/sh", "-ec", RENAMES], env=world.env)
    environment = {**world.env, "TMPDIR": str(fuse)}
    box = [*as_user(world.who), *command(), "--trap", world.trap, "-l", str(world.lowers[0]), "-m", str(world.mount)]
    done = run([*box, "-C", str(world.mount), "--", "/bin/sh", "-ec", RENAMES], env=environment)
    assert (done.status, done.out) == (0, plain), done.err
    done = run([*box, "-u", str(fuse / "kept"), "--", "true"], env=environment)
    assert done.status == 125
    assert done.err.endswith(": Operation not supported (it can hold no marks: give an --upper on ext4, XFS, btrfs or "
                             "tmpfs, or none)\n")
    told = run([*as_user(world.who), *command(), "--check"], env=environment).out
    assert "\nno  extended attributes user.overlay.*: can be set, but are not shown; lost: sandboxes" in told
    assert told.endswith(" trap\n")
    assert os.listdir(fuse) == []


@pytest.fixture
def linear(area: Path, subjects: Subjects, who: Who, trap: str) -> Iterator[World]:
    """A world on an ext4 without indexes of directories: they are positioned by bytes."""
    image, mount = area / "image", area / "linear"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    for words in (["mke2fs", "-q", "-t", "ext4", "-O", "^dir_index", image], ["mount", "-o", "loop", image, mount]):
        subprocess.run([*map(str, words)], check=True)
    (mount / "world").mkdir()
    try:
        world = World(mount / "world", subjects, who, trap)
        yield world
        world.assert_lowers_untouched()
    finally:
        host.unmount(mount)


@pytest.mark.root_only
@pytest.mark.debian("e2fsprogs", "mount")
@pytest.mark.parametrize("refused", ["", f"{PIDFD_GETFD}={errno.EPERM}"], ids=["", "container"])
def test_positions_in_a_linear_directory(linear: World, refused: str) -> None:
    """Lists, small buffers, telldir and seekdir, two that share a position: as on a plain copy."""
    linear.lay_out_standard("readdir", split=True)
    words = [str(linear.subjects.path("readdir")), str(linear.mount)]
    plain = linear.plain().check(words, env=linear.env)
    found = refusing(linear, refused, words).out if refused else linear.box().check(words, env=linear.env)
    assert_lines("readdir in ptoverlay", plain, found, LISTED["box"], "readdir", linear.who.name)


@pytest.mark.root_only
@pytest.mark.debian("e2fsprogs", "mount")
def test_many_names_in_a_linear_directory(linear: World) -> None:
    """All are listed, once, and all are removed."""
    names = [f"name-{i:05}" for i in range(3000)]
    linear.lay_out([Node(".", "dir", 0o755), Node("dir", "dir", 0o755),
                    *(Node(f"dir/{name}") for name in names[:2000])])
    made = " ".join(names[2000:])
    script = f"cd dir; touch {made}; ls -A | wc -l; ls -A | uniq | wc -l; cd ..; rm -r dir; ls -A"
    assert linear.box().check(["/bin/sh", "-ec", script], env=linear.env) == "3000\n3000\n"
