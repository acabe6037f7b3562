"""A root file system of its own at /: the default upper, and a working directory that it lacks.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.box import command
from support.oracle import Done, run
from support.tool import tool_for
from support.trees import Node
from support.world import World

from ptoverlay import Overlay

pytestmark = pytest.mark.debian("busybox-static")

NODES = [Node("bin", "dir", 0o755), Node("proc", "dir", 0o555), Node("dev", "dir", 0o755), Node("tmp", "dir", 0o1777),
         Node("there", "dir", 0o755), Node("there/file", content=b"below\n")]


@pytest.fixture
def root(world: World) -> Path:
    """With a static shell, and no directory of the test's."""
    world.lay_out(NODES)
    shutil.copy("/bin/busybox", world.lowers[0] / "bin/busybox")
    for name in ("sh", "ls", "cat", "pwd", "rm"):
        (world.lowers[0] / "bin" / name).symlink_to("busybox")
    world.freeze()
    return world.lowers[0]


def in_root(world: World, *words: str | Path, nested: bool = False, cwd: Path | None = None) -> Done:
    """ptoverlay -l ROOT -m / WORDS, inside another run if `nested`."""
    own = ["-l", str(world.lowers[0]), "-m", "/", *map(str, words)]
    outer = ["-u", str(world.home / "outer"), "--", *command()] if nested else []
    return run(tool_for(world.who, "--trap", world.trap, *outer, *own), cwd=cwd or world.home, env=world.env)


@pytest.mark.parametrize("nested", [False, True])
def test_default_upper_and_working_directory(world: World, root: Path, nested: bool) -> None:
    """The temporary upper has no place in the view, and CMD starts in / with a line that says so."""
    script = "pwd; cat there/file; echo made >/there/new; ls /there /tmp; ls -d /proc/self/cwd/there"
    done = in_root(world, "--", "sh", "-c", script, nested=nested)
    assert (done.status, done.out) == (
        0, "/\nbelow\n/there:\nfile\nnew\n\n/tmp:\n/proc/self/cwd/there\n"), done.err
    assert done.err == (f"ptoverlay: {world.home}: not there in the view: sh starts in / "
                        "(--chdir names another directory)\n")
    assert [name for name in os.listdir(world.home) if name not in ("outer", ".outer.work")] == []


def test_a_working_directory_that_is_there(world: World, root: Path) -> None:
    """By the view's words, whatever the host has there, and one that is named has to be there."""
    quiet = in_root(world, "-q", "--", "pwd")
    assert (quiet.status, quiet.out, quiet.err) == (0, "/\n", "")
    done = in_root(world, "--", "pwd", cwd=Path("/tmp"))
    assert (done.status, done.out, done.err) == (0, "/tmp\n", "")
    done = in_root(world, "-C", "/there", "--", "ls")
    assert (done.status, done.out, done.err) == (0, "file\n", "")
    done = in_root(world, "-C", world.home, "--", "ls")
    assert (done.status, done.err) == (125, f"ptoverlay: --chdir {world.home}: No such file or directory\n")
    upper = world.home / "upper"
    done = in_root(world, "-u", upper, "--", "rm", "-r", "/there")
    assert done.status == 0, done.err
    done = in_root(world, "-u", upper, "-l", root, "-m", "/", "--", "pwd", cwd=world.home)
    assert done.out == "/\n"


def test_a_directory_that_the_layer_has_removed(world: World, root: Path) -> None:
    """A partial view, whose upper hides the directory where we are."""
    upper = world.home / "upper"
    words = tool_for(world.who, "--trap", world.trap, "-l", str(root), "-u", str(upper), "--")
    assert run([*words, "/bin/rm", "-r", str(root / "there")], cwd=world.home, env=world.env).status == 0
    done = run([*words, "/bin/pwd"], cwd=root / "there", env=world.env)
    assert (done.status, done.out) == (0, "/\n")
    assert "not there in the view" in done.err


def test_hidden_places_that_are_not_there(world: World, root: Path) -> None:
    """Nothing to hide is no trouble; a slip is told."""
    missing = world.area / "missing"
    done = in_root(world, "--hide", root / "there", "--hide", missing / "below", "-C", "/", "--", "ls", "there")
    assert (done.status, done.out) == (0, "file\n")
    assert done.err == f"ptoverlay: --hide {missing}/below: it is not there\n"
    done = in_root(world, "--hide", "/there/later", "-C", "/there", "--", "sh", "-c", "ls; cat later")
    assert (done.status, done.out) == (1, "file\n")


def test_from_python(world: World, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary layer is not in the view, and nothing is said about that."""
    monkeypatch.setenv("TMPDIR", str(world.home))
    with Overlay(root, mount="/") as box:
        done = box.run(["sh", "-c", "pwd; ls there"], cwd="/", capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("/\nfile\n", "")
