"""The documentation: it builds without a warning, its examples do what they say; the completions of the shells.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import doctest
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import command
from support.oracle import USER, as_user, run
from support.sandboxes import LIMIT, Tool

from ptoverlay import cli

TOP = Path(__file__).resolve().parent.parent
SHARE = TOP / "share"
sys.path.insert(0, str(TOP / "tools"))


@pytest.fixture
def tool(area: Path) -> Tool:
    """An ordinary user with the command `ptoverlay` in PATH."""
    made = Tool(area, USER)
    path = made.directory("bin") / "ptoverlay"
    path.write_text(f"#!/bin/sh\nexec {' '.join(command())} \"$@\"\n")
    path.chmod(0o755)
    made.env["PATH"] = f"{path.parent}:{made.env['PATH']}"
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
    result = doctest.testfile(str(TOP / "docs/python.rst"), module_relative=False)
    assert result.attempted > 5
    assert result.failed == 0


# ---- pages ----


@pytest.mark.debian("man-db")
def test_pages_and_man_page_are_built_without_a_warning(tmp_path: Path) -> None:
    for builder in ("html", "man"):
        done = run([sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, "-d", tmp_path / "cache",
                    TOP / "docs", tmp_path / builder])
        assert (done.status, done.err) == (0, "")
    manual = run(["man", "-l", str(tmp_path / "man/ptoverlay.1")],
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


# ---- completions ----


@pytest.mark.quick
def test_completions_are_those_of_the_tables() -> None:
    import completions

    for name, text in completions.files().items():
        assert (SHARE / name).read_text() == text, f"{name}: run tools/docs"


def bash(tool: Tool, line: str) -> set[str]:
    """What bash offers for the last word of the line."""
    words = line.split(" ")
    script = (f"source /usr/share/bash-completion/bash_completion; source {SHARE}/ptoverlay.bash\n"
              "compopt() { :; }  # it works on a terminal only\n"
              f"COMP_WORDS=({' '.join(f'{word!r}' for word in words)}); COMP_CWORD={len(words) - 1}\n"
              f"COMP_LINE={line!r}; COMP_POINT={len(line)}\n_ptoverlay\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = run([*as_user(tool.who), "bash", "-c", script], cwd=tool.home, env=tool.env)
    assert (done.status, done.err) == (0, "")
    return {word.rstrip() for word in done.out.splitlines()} - {""}


@pytest.mark.debian("bash-completion")
def test_completion_in_bash(tool: Tool) -> None:
    tool.box("mine", "touch x")
    (tool.home / "directory").mkdir()
    assert {"diff", "discard"} <= bash(tool, "ptoverlay di")
    assert bash(tool, "ptoverlay --che") == {"--check"}
    assert bash(tool, "ptoverlay --tra") == {"--trap", "--trace"}
    assert bash(tool, "ptoverlay --trap n") == {"notify"}
    assert bash(tool, "ptoverlay diff m") == {"mine"}
    assert bash(tool, "ptoverlay run --name m") == {"mine"}
    assert bash(tool, "ptoverlay export mine --for") == {"--format"}
    assert bash(tool, "ptoverlay export mine --format o") == {"oci", "overlayfs"}
    assert bash(tool, "ptoverlay --hide dir") == {"directory"}
    assert "setpriv" in bash(tool, "ptoverlay -q --trap auto setpri")
    assert "setpriv" in bash(tool, "ptoverlay run -q -- setpri")
    assert "directory" in {word.rstrip("/") for word in bash(tool, "ptoverlay -- ls dir")}


@pytest.mark.debian("fish")
def test_completion_in_fish(tool: Tool) -> None:
    tool.box("mine", "touch x")

    def fish(line: str) -> set[str]:
        done = run([*as_user(tool.who), "fish", "-c", f"source {SHARE}/ptoverlay.fish; complete -C '{line}'"],
                   cwd=tool.home, env=tool.env)
        assert (done.status, done.err) == (0, "")
        return {shown.split("\t")[0] for shown in done.out.splitlines()}

    assert {"diff", "discard"} <= fish("ptoverlay di")
    assert fish("ptoverlay --trap n") == {"notify"}
    assert "mine" in fish("ptoverlay diff m")
    assert fish("ptoverlay export mine --form") == {"--format"}


@pytest.mark.debian("zsh")
def test_completion_in_zsh(tool: Tool) -> None:
    script = (f"fpath=({SHARE} $fpath); autoload -Uz compinit && compinit -u -d {tool.home}/dump\n"
              "autoload +X _ptoverlay && [[ $_comps[ptoverlay] == _ptoverlay ]] && print loaded")
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=False, env=tool.env)
    assert (done.stdout, done.stderr) == ("loaded\n", "")
    assert run(["zsh", "-n", SHARE / "_ptoverlay"]).status == 0
