"""The documentation: it builds without a warning, its examples do what they say; the man page.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import doctest
import fnmatch
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY as TOP
from support.oracle import USER, as_user, run
from support.sandboxes import LIMIT, Tool

from ptoverlay import cli


@pytest.fixture
def tool(area: Path) -> Tool:
    """An ordinary user with the command `ptoverlay` in PATH."""
    made = Tool(area, USER)
    made.put_in_path()
    return made


# ---- examples ----


def examples(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of the lines that begin with a prompt in literal blocks."""
    for block in re.findall(r"(?<=::\n\n)((?:    .*\n|\n)+)", text):
        given, printed = "", ""
        for line in textwrap.dedent(block).splitlines():
            if line.startswith("$ "):
                if given:
                    yield given, printed
                given, printed = line[2:], ""
            elif line.startswith("> "):
                given += f"\n{line[2:]}"
            elif given:
                printed += f"{line}\n"
        if given:
            yield given, printed


def check(tool: Tool, text: str) -> None:
    """Runs the examples in one shell and compares; "…" stands for anything, columns are as wide as they like."""
    pairs = list(examples(text))
    assert pairs
    script = "".join(f"{given}\necho '----'\n" for given, _ in pairs)
    done = run([*as_user(tool.who), "bash", "-c", f"exec 2>&1\n{script}"], cwd=tool.home, env=tool.env,
               timeout=LIMIT * 3)
    shown = done.out.split("----\n")
    assert len(shown) == len(pairs) + 1, done.out
    for (given, wanted), printed in zip(pairs, shown, strict=False):
        if wanted or "…" in given:
            pattern = re.sub(r"([\[?*])", r"[\1]", flat(wanted.replace("/home/me", str(tool.home)))).replace("…", "*")
            assert fnmatch.fnmatchcase(flat(printed), pattern), f"$ {given}\n{printed}\ninstead of\n{wanted}"
        else:
            assert printed == "", f"$ {given}\n{printed}"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_examples_of_the_readme(tool: Tool) -> None:
    tool.sh("mkdir -p project/src && cd project && printf 'install:\\n\\t@touch installed\\n' >Makefile", tool.home)
    text = (TOP / "README.rst").read_text()
    assert text.index("$ ptoverlay -- ") < 900  # in the first screen
    text = text.replace("    $ ptoverlay -u ~/layer -- make", "    $ cd ~/project\n    $ ptoverlay -u ~/layer -- make")
    check(tool, text.replace("$ find ~/layer   ", "$ find ~/layer | grep -q installed   "))
    assert [path.name for path in (tool.home / "layer").rglob("installed")] == ["installed"]
    assert not (tool.home / "project/installed").exists()


def test_examples_of_the_tutorial(tool: Tool) -> None:
    check(tool, (TOP / "docs/tutorial.rst").read_text())


def test_examples_of_the_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    result = doctest.testfile(str(TOP / "docs/python.rst"), module_relative=False)
    assert result.attempted > 5
    assert result.failed == 0


# ---- pages ----


@pytest.mark.debian("man-db")
def test_pages_and_man_page_are_built_without_a_warning(tmp_path: Path) -> None:
    done = run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", tmp_path / "cache",
                TOP / "docs", tmp_path / "html"])
    assert (done.status, done.err) == (0, "")
    done = run([sys.executable, TOP / "tools/manual.py", tmp_path / "ptoverlay.1"])
    assert (done.status, done.err) == (0, "")
    manual = run(["man", "-l", str(tmp_path / "ptoverlay.1")],
                 env={**os.environ, "MANWIDTH": "120", "LC_ALL": "C.UTF-8"})
    shown = re.sub(r".\x08", "", manual.out)
    assert manual.status == 0
    for name in ("NAME", "SYNOPSIS", "OPTIONS", "SEE ALSO"):
        assert re.search(rf"^{name}$", shown, re.MULTILINE)
    for option in cli.OPTIONS:
        assert f"--{option.long}" in shown
    for name in cli.SUBCOMMANDS:
        assert re.search(rf"^ +(ptoverlay )?{name}$", shown, re.MULTILINE), name
    pages = {path.stem for path in (TOP / "docs").glob("*.rst")}
    assert pages <= {path.stem for path in (tmp_path / "html").glob("*.html")}


@pytest.mark.quick
def test_every_page_is_in_a_table_of_contents() -> None:
    index = (TOP / "docs/index.rst").read_text()
    for path in (TOP / "docs").glob("*.rst"):
        assert path.stem == "index" or re.search(rf"^   {path.stem}$", index, re.MULTILINE), path.name


def test_what_is_refused() -> None:
    """docs/semantics.rst names each call that the table refuses whatever its arguments, with the errno."""
    text = (TOP / "docs/semantics.rst").read_text().partition("What is refused\n")[2]
    told: dict[str, str] = {}
    for row in text.partition("Known differences\n")[0].split("   * - ")[1:]:
        calls, errno = row.split("\n     - ")[:2]
        told.update(dict.fromkeys(calls.split(", "), errno.split(",")[0]))
    source = (TOP / "csrc/calls/table.c").read_text()
    refused = dict(re.findall(r"^    (?:WITHOUT|REFUSED)\((\w+), (\w+)\)", source, re.MULTILINE))
    assert len(refused) > 15
    assert {call: told.get(call) for call in refused} == refused
