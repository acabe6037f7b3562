"""Whoever makes, undoes or folds steps may be killed anywhere: the view is as before or as after, and all can go on.

PTOVERLAY_TEST_ROUNDS: how many runs are killed at a random time (default: 4); from 100 on, and at every call.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.calls import Merged, do, of_view
from support.killing import killed_at
from support.oracle import Who
from support.sandboxes import Tool

from ptoverlay.history import steps
from ptoverlay.history.fold import flatten, fold_oldest, forget
from ptoverlay.history.record import HistoryStep
from ptoverlay.history.restore import differences, restore
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

ROUNDS = int(os.environ.get("PTOVERLAY_TEST_ROUNDS", "4"))
Shown = dict[str, tuple[object, ...]]


def a_step(box: Sandbox) -> None:
    steps.begin(box, HistoryStep(0))
    change(box, [("append", "d/a"), ("rename", "d", "f"), ("unlink", "b")])
    steps.finish(box, 0)


def a_restore(box: Sandbox) -> None:
    restore(box, 1, differences(box, 1, [f"{box.mount}/d"]), ["restore"])


def change(box: Sandbox, operations: list[tuple[str, ...]]) -> None:
    with box.view(writable=True) as view:
        for number, operation in enumerate(operations):
            assert not do(Merged(view, Path(box.mount)), operation, number), operation


ACTIONS: dict[str, Callable[[Sandbox], object]] = {
    "step": a_step, "undo": lambda box: steps.undo(box, 2), "redo": lambda box: steps.redo(box, 1),
    "restore": a_restore, "fold": lambda box: fold_oldest(box, 1), "flatten": flatten, "forget": forget,
    "checkpoint": lambda box: steps.checkpoint(box, "a name"),
}


MADE: list[list[tuple[str, ...]]] = [
    [("append", "d/a"), ("mkdir", "n")], [("rename", "d", "n/d"), ("mkdir", "d")],
    [("write", "d/a"), ("unlink", "n/d/c"), ("rename", "n/d", "n/e")], [("write", "x")],
]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A state directory with a sandbox of four steps, the last one undone."""
    lower = tmp_path / "lower"
    (lower / "d").mkdir(parents=True)
    for name in ("d/a", "d/c", "b"):
        (lower / name).write_text(f"{name}\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    box = Sandbox.create("one", [str(lower)], str(lower))
    box.release()
    os.mkdir(box.upper)
    with box.change():
        for operations in MADE:
            steps.begin(box, HistoryStep(0))
            change(box, operations)
            steps.finish(box, 0)
        steps.undo(box, 1)
    return tmp_path


def look() -> tuple[Shown, Sandbox]:
    box = Sandbox.open("one")
    with box.view() as view:
        return of_view(view, box.mount), box


@pytest.mark.parametrize("name", ACTIONS)
def test_killed_at_calls(name: str, made: Path) -> None:
    before, box = look()
    with box.change():
        able = len(steps.settle(box).steps)
    subprocess.run(["cp", "-a", made / "state", made / "kept"], check=True)

    def act() -> None:
        box = Sandbox.open("one")
        with box.change():
            ACTIONS[name](box)

    act()
    after, _ = look()
    n = 1
    while True:
        remove_tree(str(made / "state"))
        subprocess.run(["cp", "-a", made / "kept", made / "state"], check=True)
        killed = killed_at(n, act)
        box = Sandbox.open("one")
        with box.change():
            history = steps.settle(box)
        shown, box = look()
        if name != "step":  # a command that was killed has done what it has done
            assert shown in (before, after), n
        assert len(history.steps) in (able - 2, able - 1, able, able + 1, 0, 1), n
        with box.change():
            count = sum(not step.folded for step in history.done)
            if count:
                steps.undo(box, count)
                steps.redo(box, count)
        assert look()[0] == shown, n
        home = made / "state/ptoverlay/sandboxes/one"
        named = {step.layer for step in history.steps} | {history.top}
        assert {path.name for path in (home / "steps").iterdir()} <= named, n
        if not killed:
            break
        n += 1 if ROUNDS >= 100 else 5
    assert n > 1


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_at_random(number: int, area: Path, who: Who) -> None:
    """kill -9 while a run begins, goes on or ends: the host is untouched, the steps are whole and can be undone."""
    if number % 2 and who.is_root:
        pytest.skip("the other user's turn")
    tool = Tool(area, who)
    tool.sh("mkdir d; echo one >d/a; echo two >d/b")
    chance = random.Random(number)
    for _ in range(3):
        running = tool.start("run", "--name", "one", "-l", tool.lower, "--keep-steps", "2", "-C", tool.lower, "--",
                             "sh", "-c", "echo more >>d/a; mkdir new$$ && mv d/b new$$/b; mv new$$/b d/b; echo x >x$$")
        time.sleep(chance.random() * 0.6)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    done = tool("run", "--name", "one", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c", "echo last >last")
    assert (done.status, done.err) == (0, "")
    log = tool.json("log", "one")
    assert log[0]["argv"][-1] == "echo last >last"
    assert all(step["changes"] for step in log)
    able = sum(not step["folded"] for step in log)
    view = tool("diff", "one", "--json").out
    tool.ok("undo", "one", str(able))
    tool.ok("redo", "one", str(able))
    assert tool("diff", "one", "--json").out == view
    assert any(change["path"].endswith("/last") for change in json.loads(view))
    assert tool.sh("cat d/a d/b; ls") == "one\ntwo\nd\n"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_killed_with_others_in(number: int, area: Path, who: Who) -> None:
    """kill -9 of a checkpoint, a join, a fork, an undo, at last of the supervisor or the command that began."""
    if number % 2 and who.is_root:
        pytest.skip("the other user's turn")
    tool = Tool(area, who)
    tool.sh("mkdir d; echo one >d/a; echo two >d/b")
    chance = random.Random(number)
    joins = ("run", "--name", "one", "--keep-steps", "2", "-C", tool.lower, "--", "sh", "-c", "echo x >>d/a; echo >n$$")
    running = tool.start("run", "--name", "one", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c",
                         "echo in; i=0; while :; do i=$((i+1)); echo $i >f$i; echo $i >>d/b; sleep 0.02; done")
    assert running.stdout is not None
    assert running.stdout.readline() == "in\n"
    for turn in range(4):
        words = chance.choice((("checkpoint", "one"), joins, ("undo", "one"), ("fork", "one", f"fork{turn}")))
        killed = tool.start(*words)
        time.sleep(chance.random() * 0.5)
        killed.kill()
        killed.communicate()
    holder = int((tool.state / "ptoverlay/sandboxes/one/lock").read_text().split()[0])
    os.kill(chance.choice((holder, running.pid)), signal.SIGKILL)
    running.communicate()
    for name in [row["name"] for row in tool.json("list") if row["name"] != "one"]:
        assert tool.ok("run", "--name", name, "-C", tool.lower, "--", "cat", "f1") == "1\n"
        tool.ok("remove", name)
    tool.box("one", "echo last >last")
    log = tool.json("log", "one")
    assert (log[0]["argv"][-1], all(step["changes"] for step in log)) == ("echo last >last", True)
    view = tool("diff", "one", "--json").out
    able = str(sum(not step["folded"] and not step["undone"] for step in log))
    tool.ok("undo", "one", able)
    tool.ok("redo", "one", able)
    assert tool("diff", "one", "--json").out == view
    assert tool.sh("cat d/a d/b; ls") == "one\ntwo\nd\n"
