"""undo --host: a commit is taken back, and done again; what the host has changed since is told and kept.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from support.oracle import Who
from support.sandboxes import Tool
from support.trees import tree

from ptoverlay.remove import remove_tree


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    tool = Tool(area, who)
    tool.sh("mkdir -p d/sub; for f in a b c hard d/x d/sub/y; do echo $f >$f; done; ln hard hard2; chmod 600 b;"
            "find . -exec touch -h -d @1000 {} +")
    return tool


SCRIPT = ("echo more >>a; rm b; mv d e; echo new >e/new; chmod 700 e/sub; mkdir n; echo n >n/1; echo h >>hard;"
          "chmod 640 c; ln -s a l")


def times(top: Path) -> dict[str, int]:
    return {str(path.relative_to(top)): path.lstat().st_mtime_ns for path in sorted(top.rglob("*"))}


def test_a_commit_is_taken_back_and_done_again(tool: Tool) -> None:
    """Contents, names, modes and times of all that it has changed."""
    tool.box("one", SCRIPT)
    before = tree(tool.lower), times(tool.lower)
    inodes = {name: (tool.lower / name).stat().st_ino for name in ("a", "b", "d/sub/y")}
    tool.ok("commit", "one")
    after = tree(tool.lower), times(tool.lower)
    assert before[0] != after[0]
    text = tool.ok("log", "--host")
    assert text.startswith("commit ")
    assert " of one, 20" in text.splitlines()[0]
    assert f"    replaced  {tool.lower}/a" in text.splitlines()
    assert f"    removed   {tool.lower}/b" in text.splitlines()
    assert tool.ok("undo", "--host").startswith("undone commit ")
    assert (tree(tool.lower), times(tool.lower)) == before
    assert {name: (tool.lower / name).stat().st_ino for name in inodes} == inodes
    assert "(undone)" in tool.ok("log", "--host", "one").splitlines()[0]
    assert "there is none to undo" in tool.fails("undo", "--host")
    tool.ok("redo", "--host", "one", "1")
    assert (tree(tool.lower), times(tool.lower)) == after
    assert tool.json("undo", "--host", "one")["refused"] == []
    assert (tree(tool.lower), times(tool.lower)) == before
    assert "there is none to undo" in tool.fails("undo", "--host", "two")


@pytest.mark.parametrize(("change", "told"), [
    ("echo host >>a", "/a: changed since"), ("rm a; echo a >a", "/a: "), ("echo 2 >n/2", "/n: "),
    ("echo b >b", "/b: there is something again"), ("mkdir d", "/e: d is there again"), ("chmod 600 c", "/c: "),
    ("rm -r e", "/e: removed since")])
def test_what_the_host_has_changed_since(tool: Tool, change: str, told: str) -> None:
    """Is told, and nothing is done; forced, what is there is kept."""
    tool.box("one", SCRIPT)
    before = tree(tool.lower)
    tool.ok("commit", "one")
    tool.sh(change)
    changed = tree(tool.lower)
    done = tool("undo", "--host")
    assert (done.status, done.out, tree(tool.lower)) == (1, "", changed)
    first, *_, last = done.err.splitlines()
    assert first.startswith(f"ptoverlay: {tool.lower}{told}")
    assert last.startswith("ptoverlay: nothing was taken back (--force")
    if change == "echo host >>a":
        tool.ok("undo", "--host", "--force")
        assert tree(tool.lower) == before
        tool.ok("redo", "--host")
        assert tree(tool.lower) == changed


def test_two_commits_go_back_one_after_the_other(tool: Tool) -> None:
    trees = [tree(tool.lower)]
    for script in ("echo 1 >>a; rm b", "echo 2 >>a; echo b >b"):
        tool.box("one", script)
        tool.ok("commit", "one")
        trees.append(tree(tool.lower))
    tool.ok("undo", "--host")
    assert tree(tool.lower) == trees[1]
    tool.ok("redo", "--host")
    tool.ok("undo", "--host", "2")
    assert tree(tool.lower) == trees[0]
    tool.ok("redo", "--host", "2")
    assert tree(tool.lower) == trees[2]


def test_what_cannot_be_moved_is_kept_beside_its_place(tool: Tool) -> None:
    """On another file system, where nobody else gets at it, until it is forgotten."""
    state = tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm")
    try:
        if os.geteuid() == 0:
            os.chown(state, tool.who.uid, tool.who.gid)
        tool.env["XDG_STATE_HOME"] = state
        tool.box("one", SCRIPT)
        before = tree(tool.lower)
        tool.ok("commit", "one")
        (aside,) = tool.lower.glob(".ptoverlay-*")
        assert aside.stat().st_mode & 0o777 == 0o700
        assert sorted(path.read_text() for path in aside.iterdir()) == ["a\n", "b\n", "hard\n", "hard\n"]
        tool.ok("undo", "--host")
        after = {name: entry for name, entry in tree(tool.lower).items() if ".ptoverlay-" not in name}
        assert after == before
        tool.ok("redo", "--host")
        tool.ok("log", "--host", "--forget", "0")
        assert [path.name for path in tool.lower.iterdir() if path.name.startswith(".")] == []
        assert tool.ok("log", "--host") == ""
    finally:
        remove_tree(state)


def test_a_commit_that_keeps_nothing(tool: Tool) -> None:
    tool.box("one", "echo more >>a")
    tool.ok("commit", "--no-keep", "one")
    assert "there is none to undo (ptoverlay log --host shows them)" in tool.fails("undo", "--host")
    assert "a NAME and a number of commits are meant" in tool.fails("undo", "--host", "one", "x")
    assert not list((tool.state / "ptoverlay").glob("commits/*"))


def test_a_record_that_cannot_be_read(tool: Tool) -> None:
    """Is told in a line, and can be thrown away."""
    tool.box("one", "echo more >>a")
    tool.ok("commit", "one")
    (record,) = tool.state.glob("ptoverlay/commits/*/record.json")
    record.write_text("{}")
    told = f"ptoverlay: {record}: not the record of a commit (ptoverlay log --host --forget 0 throws all away)\n"
    assert tool("log", "--host").err == told
    assert "a number of commits is meant (--forget 0 forgets all)" in tool.fails("log", "--host", "--forget", "-1")
    tool.ok("log", "--host", "--forget", "0")
    assert not record.parent.exists()
