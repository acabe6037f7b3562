"""Forks: where a commit of one goes, and merging one into the sandbox that it was forked from.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.oracle import Who
from support.sandboxes import Tool
from support.trees import tree

LINES = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    """A lower, a sandbox `old` that has changed it, and a fork `new` of that."""
    tool = Tool(area, who)
    tool.sh(f"mkdir d; printf '{LINES}' >text; echo a >a; echo x >d/x; echo gone >gone")
    tool.box("old", "echo old >>a; rm gone; mkdir n; echo 1 >n/1; sed -i s/two/2/ text")
    tool.ok("fork", "old", "new")
    return tool


def within(tool: Tool, name: str, script: str) -> str:
    """A shell script in a sandbox, which has its lowers already."""
    return tool.ok("run", "--name", name, "-C", tool.lower, "--", "sh", "-euc", script)


LOOK = "find . | sort; find . -type f | sort | xargs head -v"


def shown(tool: Tool, name: str) -> str:
    """All that the view has; seen in a fork, since what has forks does not run."""
    tool.ok("fork", name, "look")
    text = within(tool, "look", LOOK)
    tool.ok("remove", "look")
    return text


# ---- where a commit goes ----


def test_a_fork_goes_to_the_host_with_what_is_below_it(tool: Tool) -> None:
    """The sandboxes below it stay as they are; it lies on the host then, and shows what it showed."""
    within(tool, "new", "echo new >>a; rm n/1; echo 2 >n/2; mv d e")
    view, parent = shown(tool, "new"), tree(tool.state / "ptoverlay/sandboxes/old/upper")
    before = tree(tool.lower)
    listed = tool.ok("commit", "--dry-run", "new").splitlines()
    assert f"renamed   {tool.lower}/d -> {tool.lower}/e/" in listed
    assert listed[-1] == f"6 changes would go to the host ({tool.lower})"
    assert tree(tool.lower) == before
    assert tool.ok("commit", "new") == f"6 changes went to the host ({tool.lower})\n"
    assert tool.sh(LOOK) == view == within(tool, "new", LOOK)
    assert tree(tool.state / "ptoverlay/sandboxes/old/upper") == parent
    assert tool.ok("diff", "new") == ""
    (row,) = (row for row in tool.json("list") if row["name"] == "new")
    assert (row["parent"], row["lower"]) == (None, [str(tool.lower)])
    tool.ok("remove", "old")
    assert shown(tool, "new") == view


def test_part_of_a_fork_goes_to_the_host(tool: Tool) -> None:
    """The rest is the fork's own: what it writes there is nothing to its parent."""
    within(tool, "new", "echo new >>a")
    view, parent = shown(tool, "new"), shown(tool, "new")
    assert tool.json("commit", "new", str(tool.lower / "n"))["to"] == "host"
    assert (tool.lower / "n/1").read_text() == "1\n"
    assert (tool.lower / "a").read_text() == "a\n"
    assert shown(tool, "new") == view
    within(tool, "new", "echo written >>text")
    tool.ok("commit", "old", "--dry-run")
    assert "written" not in shown(tool, "old")
    assert parent == view


def test_what_the_host_changed_below_a_fork(tool: Tool) -> None:
    """Since the fork's parent took it over: a file that both have written, one that was replaced, a directory that was
    made anew, a symlink; a dry run says the same."""
    tool.sh("echo b >b; mkdir e; echo x >e/x; ln -s one l; echo both >both")
    tool.ok("remove", "new")
    tool.ok("fork", "old", "of-old")
    within(tool, "of-old", "echo 1 >>both; rm b l; echo 1 >b; ln -s 1 l; rm -r e; mkdir e")
    tool.ok("fork", "of-old", "last")
    names = ("b", "both", "e/x", "l")
    tool.sh("for name in b both e/x; do echo host >$name; done; ln -sfn host l")
    within(tool, "last", "echo 2 >>both; echo 2 >two")
    before = tool.sh(LOOK)
    for more in (("--dry-run",), ()):
        done = tool("commit", "--json", *more, "last")
        assert {row["path"] for row in json.loads(done.out)["refused"]} == {f"{tool.lower}/{name}" for name in names}
        if more:
            assert tool.sh(LOOK) == before
    assert tool.sh("cat b both e/x; readlink l; cat two") == "host\n" * 4 + "2\n"


def test_a_dry_run_of_one_fork_is_nothing_to_another(tool: Tool) -> None:
    tool.ok("fork", "old", "two")
    for name in ("new", "two"):
        within(tool, name, f"echo {name} >>a; rm n/1")
    tool.ok("commit", "--dry-run", "two")
    tool.ok("remove", "two")
    assert tool.ok("commit", "--to", "old", "new") == "2 changes went to sandbox old\n"
    assert within(tool, "new", "cat a; ls n") == "a\nold\nnew\n"


def test_a_fork_asks_on_a_terminal(tool: Tool) -> None:
    within(tool, "new", "echo new >>a")
    before = tree(tool.lower)
    status, text = tool.on_terminal("commit", "new", typed="?\nq\n")
    assert (status, tree(tool.lower)) == (0, before)
    assert f"sandbox new is a fork: commit it to the host ({tool.lower}) or to sandbox old? [h,p,q,?] " in text
    status, text = tool.on_terminal("commit", "new", typed="p\n")
    assert (status, text.endswith("1 change went to sandbox old\n")) == (0, True)
    assert tree(tool.lower) == before
    assert tool.ok("diff", "new") == ""
    within(tool, "new", "echo newer >>a")
    status, text = tool.on_terminal("commit", "new", typed="h\n")
    assert (status, text.endswith(f"5 changes went to the host ({tool.lower})\n")) == (0, True)
    assert (tool.lower / "a").read_text() == "a\nold\nnew\nnewer\n"


def test_where_a_commit_cannot_go(tool: Tool) -> None:
    assert "sandbox new does not lie on it (it lies on old)" in tool.fails("commit", "--to", "other", "new")
    assert "sandbox old does not lie on it (it lies on the host)" in tool.fails("commit", "--to", "new", "old")
    assert "a lower of new" in tool.fails("commit", "old")


# ---- merge ----


def test_merge_takes_what_one_side_alone_has_changed(tool: Tool) -> None:
    """Two forks go on apart and come together, text by its lines; each merge is one step."""
    tool.ok("fork", "old", "other")
    within(tool, "new", "sed -i s/seven/7/ text; mv d e; echo n >n/new; chmod 600 a; ln n/1 n/link; ln -s a l")
    within(tool, "other", "sed -i s/one/1/ text; echo o >n/other; echo more >>a; rm n/1")
    before = tree(tool.lower)
    assert "  (with the parent's changes)" not in tool.ok("merge", "new")
    assert shown(tool, "old") == within(tool, "new", LOOK)
    assert tool.ok("diff", "new") == ""
    listed = tool.ok("merge", "other")
    assert f"modified  {tool.lower}/text  (19B" not in listed
    assert [line.split("  ")[1] for line in listed.splitlines() if line.endswith("(with the parent's changes)")] == [
        f"{tool.lower}/a", f"{tool.lower}/text"]
    assert within(tool, "other", "cat text a; stat -c %a a; ls n; cat e/x") == (
        "1\n2\nthree\nfour\nfive\nsix\n7\na\nold\nmore\n600\nlink\nnew\nother\nx\n")
    assert [step["kind"] for step in tool.json("log", "old")] == ["merge", "merge", "run"]
    assert tree(tool.lower) == before


def test_a_conflict_leaves_everything_as_it_was(tool: Tool) -> None:
    tool.ok("fork", "old", "other")
    within(tool, "new", "sed -i s/three/3/ text; rm -r d; echo b >b; chmod 600 a")
    within(tool, "other", "sed -i s/three/III/ text; echo y >d/y; echo c >b; chmod 640 a; echo fine >fine; rm n/1")
    tool.ok("merge", "new")
    views = shown(tool, "old"), shown(tool, "other")
    done = tool("merge", "other")
    assert done.status == 1
    conflicts = [line for line in done.out.splitlines() if line.startswith("conflict")]
    assert conflicts == [f"conflict  {tool.lower}/a  (other attributes on both sides)",
                         f"conflict  {tool.lower}/b  (added on both sides)",
                         f"conflict  {tool.lower}/d/y  ({tool.lower}/d was removed in sandbox old)",
                         f"conflict  {tool.lower}/text  (changed on both sides)"]
    assert "nothing was merged: 4 conflicts" in done.err
    assert (shown(tool, "old"), shown(tool, "other")) == views


def test_a_removed_directory_in_which_the_other_side_has_made_something(tool: Tool) -> None:
    tool.ok("fork", "old", "other")
    within(tool, "new", "echo y >d/y")
    within(tool, "other", "rm -r d")
    tool.ok("merge", "new")
    done = tool("merge", "other")
    assert (done.status, f"removed here, but {tool.lower}/d/y was added in sandbox old" in done.out) == (1, True)


def test_merge_asks_on_a_terminal(tool: Tool) -> None:
    within(tool, "new", "echo new >>a")
    view = shown(tool, "old")
    status, text = tool.on_terminal("merge", "new", typed="n\n")
    assert (status, shown(tool, "old")) == (1, view)
    assert text.index(f"{tool.lower}/a") < text.index("merge into sandbox old? [y,n] ")
    status, text = tool.on_terminal("merge", "new", typed="y\n")
    assert (status, "old\nnew\n" in shown(tool, "old")) == (0, True)


def test_what_cannot_be_merged(tool: Tool) -> None:
    assert "it is no fork (ptoverlay commit applies it to the host)" in tool.fails("merge", "old")
    within(tool, "new", "echo new >>a")
    tool.ok("fork", "new", "newest")
    assert "a lower of newest" in tool.fails("merge", "new")
