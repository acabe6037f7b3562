"""Bad input to commit, export, import, fsck and try: one clear line, a status that is not 0, and nothing lost.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest
from support.oracle import USER, Done, Who, run
from support.tool import Tool, tool_for
from support.trees import Node
from support.world import World

MakeWorld = Callable[[Who, str], World]
NODES = [Node("a", content=b"a\n"), Node("d", "dir", 0o755), Node("d/x", content=b"x\n")]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """A small lower, for an ordinary user."""
    made = make_world(USER, "ptrace")
    made.lay_out(NODES)
    return made


def one_line(done: Done) -> str:
    """The message of something that failed."""
    assert done.status == 125, done
    assert done.out == ""
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("ptoverlay: ")
    return lines[0]


@pytest.mark.parametrize("words", [
    ["commit", "nosuch"], ["export", "nosuch", "-o", "x.tar"], ["fsck", "nosuch"], ["commit", "../x"], ["commit"],
    ["export", "nosuch"], ["import", "new", "/no/such/file"], ["import", "../x", "/dev/null"], ["import"],
    ["export", "nosuch", "-o", "x", "--format", "zip"], ["commit", "nosuch", "--no-such-option"],
])
def test_no_such_sandbox_or_option(world: World, words: list[str]) -> None:
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}
    one_line(run(tool_for(USER, *words), env=env, cwd=world.home))
    assert sorted(os.listdir(world.home)) in ([], ["state"])


@pytest.mark.parametrize("words", [["commit"], ["export", "-o", "x.tar"], ["commit", "-n"]])
@pytest.mark.parametrize("mark", [("redirect", b"a/b"), ("redirect", b"/../d")])
def test_a_corrupt_layer(world: World, words: list[str], mark: tuple[str, bytes]) -> None:
    """Told in one line; what is there stays, and fsck --repair makes it one that can be used."""
    Tool(world).script("echo more >>a")
    (world.upper / "bad").mkdir()
    os.chown(world.upper / "bad", *world.owner)
    os.setxattr(world.upper / "bad", f"user.overlay.{mark[0]}", mark[1])
    before = world.raw_snapshot(world.upper)
    name, *rest = words
    done = Tool(world).run(name, *rest, cwd=world.home)
    one_line(done)
    after = world.raw_snapshot(world.upper)
    assert {path: entry.content for path, entry in after.items()} == {p: entry.content for p, entry in before.items()}
    Tool(world).check("fsck", "--repair", status=1)
    assert Tool(world).run(name, *rest, cwd=world.home).status == 0
    world.freeze()


@pytest.mark.parametrize("name", ["commit", "discard"])
def test_a_layer_that_a_run_uses(world: World, name: str) -> None:
    """Refused as long as it runs."""
    tool = Tool(world)
    tool.script("echo more >>a")
    command = world.box().wrap(["sh", "-c", "echo up; read x"], world.mount)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=world.env, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    assert "in use" in one_line(tool.run(name))
    process.communicate("\n", timeout=30)
    tool.check(name)
    world.freeze()
