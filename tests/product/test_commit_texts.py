"""commit --merge: texts that the host and the sandbox have changed become what both have made of them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.oracle import ROOT, USER
from support.sandboxes import Tool

LINES = "".join(f"{number}\\n" for number in range(1, 21))


@pytest.fixture(params=[ROOT, USER], ids=str)
def tool(area: Path, request: pytest.FixtureRequest) -> Tool:
    made = Tool(area, request.param)
    names = "appended written replaced same removed both"
    made.sh(f"for name in {names}; do printf '{LINES}' >$name; done; printf 'a\\0b' >data")
    return made


def test_other_lines_are_merged(tool: Tool) -> None:
    """However the sandbox has written the file, over steps; and undo --host brings back what the host had."""
    tool.box("one", "sed s/^2$/two/ appended >t; cat t >written; sed s/^2$/two/ appended >t; mv t replaced")
    tool.box("one", "echo end >>appended")
    tool.sh("for name in appended written replaced; do sed -i s/^19$/nineteen/ $name; done")
    before = {path.name: path.read_bytes() for path in tool.lower.iterdir()}
    done = tool("commit", "one")
    assert (done.status, done.err.count("on the host since\n")) == (1, 3)
    assert "commit --merge makes one text of both" in done.err
    names = ("appended", "replaced", "written")
    told = "".join(f"would be merged: {tool.lower}/{name}\n" for name in names)
    assert tool.ok("commit", "-n", "--merge", "one").endswith(told)
    assert {path.name: path.read_bytes() for path in tool.lower.iterdir()} == before
    tool.ok("commit", "--merge", "one")
    texts = {name: (tool.lower / name).read_text().splitlines() for name in names}
    assert {name: (text[1], text[18], text[-1]) for name, text in texts.items()} == {
        "appended": ("2", "nineteen", "end"), "written": ("two", "nineteen", "20"),
        "replaced": ("two", "nineteen", "20")}
    tool.ok("undo", "--host", "one")
    for name in names:
        assert (tool.lower / name).read_bytes() == before[name]


def test_what_cannot_be_merged_stays_a_conflict(tool: Tool) -> None:
    """With its reason, and everything as it was."""
    tool.box("one", "sed -i s/^2$/two/ same; rm removed; printf 'a\\0c' >data; echo >>both; chmod 600 both; rm written;"
                    "sed s/^2$/two/ same >written")
    tool.sh("sed -i s/^2$/zwei/ same; echo more >>removed; printf 'a\\0d' >data; chmod 640 both; echo >>both;"
            "echo end >>written")
    before = {path.name: path.read_bytes() for path in tool.lower.iterdir()}
    done = tool("commit", "--merge", "one")
    told = {os.path.basename(line.split(": not committed: ")[0]): line.rpartition("; ")[2].rpartition(": ")[2]
            for line in done.err.splitlines() if ": not committed: " in line}
    lost = "what it was before is not kept, so it cannot be merged"
    assert (done.status, told) == (1, {
        "same": "both have changed the same lines", "removed": "changed on the host since", "data": lost,
        "both": "both have changed its attributes", "written": lost})
    assert {path.name: path.read_bytes() for path in tool.lower.iterdir()} == before


def test_only_sandboxes_with_a_name_keep_texts(tool: Tool) -> None:
    upper, work = tool.directory("upper"), tool.directory("work")
    tool.ok("-u", upper, "-w", work, "-l", tool.lower, "--", "sh", "-c", f"echo >>{tool.lower}/same")
    assert not list(work.glob("bases*"))
    tool.box("one", "echo >>same; echo >>data")
    assert len(list((tool.state / "ptoverlay/sandboxes/one/work/bases").iterdir())) == 1


def test_a_text_is_kept_as_long_as_it_is_changed(tool: Tool) -> None:
    """What comes after a commit lies on what the host has then."""
    tool.box("one", "sed -i s/^2$/two/ same; sed -i s/^2$/two/ both")
    tool.ok("commit", "one", f"{tool.lower}/same")
    bases = tool.state / "ptoverlay/sandboxes/one/steps"
    assert len(list(bases.glob("*/work/bases/*"))) + len(list(bases.parent.glob("work/bases/*"))) == 1
    tool.box("one", "sed -i s/^5$/five/ same")
    tool.sh("sed -i s/^19$/nineteen/ same")
    tool.ok("commit", "--merge", "one")
    assert (tool.lower / "same").read_text().splitlines()[1::17] == ["two", "nineteen"]
