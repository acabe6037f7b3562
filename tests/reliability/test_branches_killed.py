"""A merge, of a fork or of texts into the host, or a fork that leaves its parent, killed at any point: what is seen is
what was before or what is after.

PTOVERLAY_TEST_KILLS: how often each is killed at a random time (default: 24, a twelfth of it here).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.calls import of_view
from support.killing import killed_at
from support.oracle import Who
from support.sandboxes import Tool
from support.scenes import change
from support.trees import in_memory, tree

from ptoverlay.commit.carry import commit
from ptoverlay.commit.takeback import alone, last_done, turn
from ptoverlay.history import steps
from ptoverlay.history.merge import plan
from ptoverlay.layer.view import View
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

KILLS = int(os.environ.get("PTOVERLAY_TEST_KILLS", "24")) // 12
TEXT = "".join(f"{number}\n" for number in range(1, 13))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with in_memory() as path:
        monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
        yield path


def lay_out(memory: Path) -> None:
    """A sandbox with two forks, all of which have changed something."""
    for path in memory.iterdir():
        remove_tree(str(path))
    lower = memory / "lower"
    (lower / "d").mkdir(parents=True)
    (lower / "text").write_text("1\n2\n3\n4\n5\n")
    for name in ("a", "b", "d/x"):
        (lower / name).write_text(f"old {name}\n")
    old = Sandbox.create("old", [str(lower)], str(lower))
    change(old, lambda view, m: view.write(f"{m}/a", b"old's\n"))
    for name in ("new", "other"):
        Sandbox.create(name, [old.upper, *old.stack], old.mount, parent="old").release()
    change(Sandbox.open("other"), lambda view, m: view.write(f"{m}/text", b"1\n2\n3\n4\nfive\n"))
    with plan(Sandbox.open("other")) as merge:
        merge.carry_out([])
    merge.child.release()
    change(Sandbox.open("new"), _changes)


def _changes(view: View, m: str) -> None:
    view.write(f"{m}/text", b"one\n2\n3\n4\n5\n")
    view.unlink(f"{m}/b")
    view.mkdir(f"{m}/n")
    view.write(f"{m}/n/1", b"new\n")
    view.link(f"{m}/n/1", f"{m}/n/2")
    view.rename(f"{m}/d", f"{m}/e")
    view.chmod(f"{m}/a", 0o600)


def shown(name: str) -> dict[str, tuple[object, ...]]:
    box = Sandbox.open(name)
    with box.view() as view:
        return of_view(view, box.mount)


def merge_new() -> None:
    box = Sandbox.open("new")
    with plan(box) as merge:
        merge.carry_out([])
    box.release()


def test_a_merge_is_whole_or_was_not(memory: Path) -> None:
    """And merging again finishes it; the other fork never sees anything of it."""
    lay_out(memory)
    before, other = shown("old"), shown("other")
    merge_new()
    after = shown("old")
    assert after != before
    assert shown("new") == after
    points = []
    for n in itertools.count(1, 4):
        lay_out(memory)
        mine = shown("new")
        if not killed_at(n, merge_new):
            break
        box = Sandbox.open("old")
        with box.lock():
            steps.settle(box)
        found = shown("old")
        assert found in (before, after), f"at point {n}"
        assert shown("new") in (mine, after), f"at point {n}"
        points.append(found == after)
        merge_new()
        assert (shown("old"), shown("new"), shown("other")) == (after, after, other), f"at point {n}"
    assert {*points} == {False, True}


def test_a_fork_that_goes_to_the_host(memory: Path) -> None:
    """What it shows stays the same, its parent is as it was, and the next commit finishes."""
    lay_out(memory)
    view, parent = shown("new"), tree(Path(Sandbox.open("old").upper))
    box = Sandbox.open("new")
    assert not commit(box).refused
    box.release()
    after = tree(memory / "lower")
    for n in itertools.count(2, 11):
        lay_out(memory)
        if not killed_at(n, lambda: commit(Sandbox.open("new"))):
            break
        assert tree(Path(Sandbox.open("old").upper)) == parent, f"at point {n}"
        box = Sandbox.open("new")
        assert not commit(box).refused, f"at point {n}"
        box.release()
        assert tree(memory / "lower") == after, f"at point {n}"
        assert shown("new") == view, f"at point {n}"


def lay_out_texts(memory: Path) -> Path:
    """A sandbox and the host have changed other lines of the same texts; one file is the sandbox's alone."""
    for path in memory.iterdir():
        remove_tree(str(path))
    lower = memory / "lower"
    lower.mkdir()
    for name in ("one", "two", "three"):
        (lower / name).write_text(TEXT)
    change(Sandbox.create("texts", [str(lower)], str(lower)), _change_texts)
    for name in ("one", "two", "three"):
        (lower / name).write_text(TEXT.replace("11\n", "eleven\n"))
    return lower


def _change_texts(view: View, m: str) -> None:
    for name in ("one", "two", "three"):
        view.write(f"{m}/{name}", TEXT.replace("2\n", "two\n", 1).encode())
    view.write(f"{m}/new", b"new\n")


def commit_texts() -> None:
    box = Sandbox.open("texts")
    assert not commit(box, merge=True, keep=True).refused
    box.release()


def test_a_commit_that_merges_texts(memory: Path) -> None:
    """No text is half of anything; the next commit finishes, and it is taken back as one."""
    lower = lay_out_texts(memory)
    before = {path.name: path.read_text() for path in lower.iterdir()}
    commit_texts()
    after = {path.name: path.read_text() for path in lower.iterdir()}
    assert after == {"new": "new\n", **{name: text.replace("2\n", "two\n", 1) for name, text in before.items()}}
    outcomes = set()
    for n in itertools.count(1, 3):
        lower = lay_out_texts(memory)
        if not killed_at(n, commit_texts):
            break
        found = {path.name: path.read_text() for path in lower.iterdir() if not path.name.startswith(".ptoverlay")}
        assert all(text in (before.get(name), after[name]) for name, text in found.items()), f"at point {n}"
        outcomes.add(found == before)
        commit_texts()
        assert {path.name: path.read_text() for path in lower.iterdir()} == after, f"at point {n}"
        with alone():
            done = last_done("texts")
            assert done is not None
            assert turn(done) == {}, f"at point {n}"
        assert {path.name: path.read_text() for path in lower.iterdir()} == before, f"at point {n}"
    assert outcomes == {False, True}


@pytest.mark.parametrize("number", range(KILLS))
def test_merges_killed_at_random(number: int, area: Path, who: Who) -> None:
    """kill -9 of `merge CHILD` and of `commit --merge`: each is made by the next one, and can be taken back."""
    if number % 2 and who.is_root:
        pytest.skip("the other user's turn")
    tool = Tool(area, who)
    chance = random.Random(number)
    tool.sh(f"printf '{TEXT}' >text; echo b >b")
    tool.box("old", "sed -i s/^4$/four/ text")
    for name, script in (("new", "sed -i s/^2$/two/ text; mkdir n; mv b n/b"), ("other", "sed -i s/^11$/eleven/ text")):
        tool.ok("fork", "old", name)
        tool.ok("run", "--name", name, "-C", tool.lower, "--", "sh", "-c", script)
    tool.ok("merge", "other")
    tool.ok("remove", "other")
    whole = TEXT.replace("2\n", "two\n", 1)
    for kept, made in (("4\n", "four\n"), ("11\n", "eleven\n")):
        whole = whole.replace(kept, made)
    kill(tool, chance, "merge", "new")
    tool.ok("merge", "new")  # the log may tell of a step that was killed before it had changed anything
    tool.ok("remove", "new")
    assert tool.box("old", "cat text n/b; ls") == f"{whole}b\nn\ntext\n"
    tool.sh("sed -i s/^7$/seven/ text")
    mine, whole = tool.sh("cat text"), whole.replace("7\n", "seven\n")
    kill(tool, chance, "commit", "--merge", "old")
    assert tool.sh("cat text") in (mine, whole)
    tool("commit", "--merge", "old")
    assert tool.sh("cat text n/b; ls -A") == f"{whole}b\nn\ntext\n"
    tool.ok("undo", "--host", "old")
    assert tool.sh("cat text b; ls -A") == f"{mine}b\nb\ntext\n"


def kill(tool: Tool, chance: random.Random, *words: str) -> None:
    running = tool.start(*words)
    time.sleep(chance.random() * 0.3)
    running.kill()
    running.communicate()
