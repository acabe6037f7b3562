"""A sandbox as a person lives with it, on terminals: shells whose lines are steps, a fork, undo, merge, commit.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.oracle import USER
from support.sandboxes import Tool
from support.tool import Terminal
from support.trees import tree


@pytest.fixture
def tool(area: Path) -> Tool:
    made = Tool(area, USER)
    made.env["SHELL"] = "/bin/bash"
    made.put_in_path()
    made.sh("printf 'one\\ntwo\\nthree\\n' >a; echo b >b")
    made.box("one", "true")
    return made


def shell(tool: Tool, name: str, *words: str) -> Terminal:
    terminal = Terminal(tool.words("shell", *words, "-C", tool.lower, name), tool.env, tool.home)
    terminal.expect(f"({name})")
    return terminal


def types(terminal: Terminal, line: str, name: str = "one") -> str:
    """Types a line: what the terminal shows until the next prompt."""
    terminal.send(f"{line}\n")
    return terminal.expect(f"({name})")


def test_each_line_that_is_typed_is_a_step(tool: Tool) -> None:
    """By the hooks of the shell and the command itself; one that changes nothing is none."""
    before = tree(tool.lower)
    terminal = shell(tool, "one", "--steps")
    types(terminal, "echo four >>a")
    assert "four" in types(terminal, "cat a")
    types(terminal, "rm b; echo c >c")
    terminal.send("exit\n")
    assert terminal.end() == 0
    assert [(step["message"], [os.path.basename(change["path"]) for change in step["changes"]])
            for step in tool.json("log", "one")] == [("rm b; echo c >c", ["b", "c"]), ("echo four >>a", ["a"])]
    assert tool.ok("undo", "one").startswith("undone step ")
    assert [change["path"] for change in tool.json("diff", "one", status=1)] == [f"{tool.lower}/a"]
    assert tree(tool.lower) == before


def test_two_shells_a_fork_an_undo_and_a_merge(tool: Tool) -> None:
    first, second = shell(tool, "one"), shell(tool, "one")
    types(first, "sed -i s/^one$/ONE/ a")
    assert "ONE" in types(second, "cat a")
    tool.ok("fork", "one", "other")
    third = shell(tool, "other")
    types(third, "sed -i s/^three$/THREE/ a", "other")
    types(second, "echo more >>b")
    for terminal in (third, second, first):
        terminal.send("exit\n")
        assert terminal.end() == 0
    merging = Terminal(tool.words("merge", "other"), tool.env, tool.home)
    merging.expect("?")
    merging.send("y\n")
    assert merging.end() == 0
    tool.ok("remove", "other")
    assert tool.box("one", "cat a b") == "ONE\ntwo\nTHREE\nb\nmore\n"
    undoing = Terminal(tool.words("undo", "one"), tool.env, tool.home)
    undoing.expect("undone step 3: ptoverlay merge other")
    assert undoing.end() == 0
    assert tool.box("one", "cat a b") == "ONE\ntwo\nthree\nb\nmore\n"
    assert tool.sh("cat a b") == "one\ntwo\nthree\nb\n"
    tool.sh("sed -i s/^three$/3/ a")
    committing = Terminal(tool.words("commit", "--merge", "one"), tool.env, tool.home)
    committing.expect("merged: ")
    assert committing.end() == 0
    assert tool.sh("cat a b") == "ONE\ntwo\n3\nb\nmore\n"
