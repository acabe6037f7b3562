"""Starts at the same moment on the same layers: one of them runs, all others are refused, and nothing of the one that
runs is touched.

PTOVERLAY_TEST_ROUNDS: how often (default: 8).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import Who, as_user, run
from support.sandboxes import Tool

STARTS = 14
ROUNDS = int(os.environ.get("PTOVERLAY_TEST_ROUNDS", "8"))

#: What the one that runs does once all others were refused: everything needs its work directory.
SCRIPT = "read x || :; mkdir -p d/new; mv old d/new/; rm gone; echo more >>kept; echo done >d/new/file; ln kept linked"
MADE = {"d", "d/new", "d/new/file", "d/new/old", "old", "gone", "kept", "linked"}


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh("mkdir d; for name in old gone kept; do echo $name >$name; done; chmod 751 .; touch -d @12345 .")
    return made


def play(tool: Tool, rounds: list[list[list[str]]]) -> list[list[tuple[int, str]]]:
    """support/at_once.py as the tool's user."""
    program = f"import sys; sys.path[:0] = [{str(ROOT_DIRECTORY)!r}, {str(ROOT_DIRECTORY / 'tests/support')!r}]; " \
              "import at_once; at_once.main()"
    done = run([*as_user(tool.who), sys.executable, "-c", program], cwd=tool.lower, env=tool.env,
               stdin=json.dumps(rounds), timeout=60 + 12 * ROUNDS)
    assert done.status == 0, done.err
    return [[(status, text) for status, text in results] for results in json.loads(done.out)]


def names_below(top: Path) -> set[str]:
    return {str(Path(directory, name).relative_to(top)) for directory, dirs, files in os.walk(top)
            for name in (*dirs, *files)}


def the_winner(results: list[tuple[int, str]], refused: str) -> None:
    """One has ended well, all others were refused with one line that says why."""
    assert [text for status, text in results if status == 0] == [""], results
    for status, text in results:
        assert status in (0, 125), results
        assert status == 0 or (refused in text and text.count("\n") == 1), results


@pytest.mark.parametrize("missing", ["upper and work", "work", "nothing"])
def test_on_one_upper(tool: Tool, missing: str) -> None:
    def lines(number: int) -> list[list[str]]:
        upper = tool.home / f"u{number}"
        for directory in {"upper and work": [], "work": [upper]}.get(missing, [upper, tool.home / f".u{number}.work"]):
            tool.sh(f"mkdir {directory}")
        return [["-l", str(tool.lower), "-u", str(upper), "-C", str(tool.lower), "--", "sh", "-euc", SCRIPT]] * STARTS

    rounds = ROUNDS if missing == "upper and work" else ROUNDS // 4
    for number, results in enumerate(play(tool, [lines(number) for number in range(rounds)])):
        the_winner(results, "in use by another run")
        upper = tool.home / f"u{number}"
        assert names_below(upper) == MADE
        assert (upper / "kept").read_text() == "kept\nmore\n"
        assert sorted(os.listdir(tool.home / f".u{number}.work")) == ["work"]
        if missing == "upper and work":
            assert upper.stat().st_mode & 0o7777 == 0o751
    assert {name.lstrip(".")[0] for name in os.listdir(tool.home)} == {"u"}, "something is left"


def test_on_one_name(tool: Tool) -> None:
    """All are in: one makes the sandbox, or its supervisor, and the others join it."""
    words = ["-l", str(tool.lower), "-C", str(tool.lower), "--", "sh", "-euc", "echo more >>kept; mkdir new$$"]
    rounds = [[["run", "--name", f"n{number}", *words]] * STARTS for number in range(ROUNDS // 4)]
    for results in play(tool, rounds):
        assert results == [(0, "")] * STARTS
    for number in range(ROUNDS // 4):
        shown = tool.box(f"n{number}", "grep -c more kept; ls -d new* | wc -l")
        assert shown.split() == [str(STARTS)] * 2
    assert len(os.listdir(tool.state / "ptoverlay/sandboxes")) == ROUNDS // 4


def test_those_that_cannot_run_take_nothing_away(tool: Tool) -> None:
    """Half of them cannot run for another reason, and would take away what they have made."""
    upper, work = tool.home / "upper", tool.home / "work"
    layers = ["-l", str(tool.lower), "-u", str(upper), "-w", str(work), "-C", str(tool.lower)]
    bad = [["--", "/nonexistent"], ["-C", "/nonexistent", "--", "true"], ["-m", "/nonexistent", "--", "true"],
           ["--overlay", f"lowerdir={tool.lower},mount=/nonexistent", "--", "true"]]
    lines = [[*layers, *words] for words in bad * 2]
    lines += [[*layers, "--", "sh", "-euc", SCRIPT]] * 4
    ran = 0
    for results in play(tool, [lines] * ROUNDS):
        assert {status for status, _ in results[:len(bad) * 2]} <= {125, 127}, results
        good = results[len(bad) * 2:]
        if 0 in [status for status, _ in good]:
            ran += 1
            break
        assert all("in use by another run" in text for _, text in good), good
    assert ran == 1
    assert names_below(upper) == MADE
    assert (upper / "kept").read_text() == "kept\nmore\n"


def test_looking_refuses_nobody(tool: Tool) -> None:
    """`list` asks whether a sandbox is in use, by its lock."""
    tool.box("one", "true")
    rounds = [[["list"]] * 6 + [["run", "--name", "one", "-C", str(tool.lower), "--", "true"]] for _ in range(ROUNDS)]
    for results in play(tool, rounds):
        assert results == [(0, "")] * 7
