"""Completions of the shells: typed at a real bash, zsh and fish, with the files where the shells look for them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import USER, as_user, run
from support.sandboxes import Tool

from ptoverlay.console import completions

SHARE = ROOT_DIRECTORY / "share"
HARD = "it's new: a=b.txt"


@pytest.fixture
def tool(area: Path) -> Tool:
    """An ordinary user with the command `ptoverlay` in PATH."""
    made = Tool(area, USER)
    shutil.copytree(SHARE, made.home / ".local/share")
    made.put_in_path()
    return made


@pytest.fixture
def layer(tool: Tool) -> Path:
    """What the sandbox `mine` lies on: some of it is changed there, one directory and some names only there."""
    tool.sh("mkdir kept; touch kept/changed kept/same gone", tool.lower)
    tool.ok("run", "--name", "mine", "-l", tool.lower, "--", "sh", "-c",
            f'cd {tool.lower}; echo >>kept/changed; rm gone; mkdir made; touch made/inside c:d=e "made/{HARD}"')
    return tool.lower


@pytest.mark.quick
def test_completions_are_those_of_the_tables() -> None:
    for shell, name in completions.FILES.items():
        assert (SHARE / name).read_text() == completions.text(shell), f"{name}: run tools/docs"


# ---- what ptoverlay answers ----


def answers(tool: Tool, *words: str | Path) -> list[str]:
    done = run(tool.words("completion", "--words", *words), cwd=tool.home, env=tool.env)
    assert done.err == ""
    return [name for name in done.out.split("\0") if name]


def test_paths_of_changes_and_of_the_view(tool: Tool, layer: Path) -> None:
    for name in ("diff", "commit", "discard"):
        assert answers(tool, name, "mine", f"{layer}/") == [f"{layer}/{x}" for x in ("c:d=e", "gone", "kept/", "made/")]
        assert answers(tool, name, "mine", f"{layer}/kept/") == [f"{layer}/kept/changed"]
    assert answers(tool, "explain", "mine", f"{layer}/kept/") == [f"{layer}/kept/changed", f"{layer}/kept/same"]
    assert answers(tool, "diff", "mine", "made/") == ["made/inside", f"made/{HARD}"]  # from the mount point
    assert answers(tool, "diff", "-p", "--name", "mine", "made/ins") == ["made/inside"]
    assert answers(tool, "shell", "mine", "-C", "") == ["kept/", "made/"]


def test_paths_above_the_mount_point_are_the_way_to_it(tool: Tool, layer: Path) -> None:
    parts = layer.parts
    assert answers(tool, "diff", "mine", "/") == [f"/{parts[1]}/"]
    assert answers(tool, "diff", "mine", f"{layer.parent}/") == [f"{layer}/"]
    assert answers(tool, "explain", "mine", "/usr/") == []


def test_what_cannot_be_answered_is_nothing(tool: Tool, layer: Path) -> None:
    assert answers(tool, "diff", "m") == ["mine"]
    assert answers(tool, "diff", "--name=mine", "g") == ["gone"]
    for words in (["diff", "nosuch", "x"], ["diff", "mine", "no/such/x"], ["diff", "--nosuch", "mine", ""],
                  ["nosuch", ""], ["diff", "-h", ""], ["explain", "mine", "gone/"], ["diff", "../mine", ""]):
        assert answers(tool, *words) == [], words


def test_layers_by_their_directories(tool: Tool, layer: Path) -> None:
    upper = tool.state / "ptoverlay/sandboxes/mine/upper"
    assert answers(tool, "diff", "-u", upper, "-l", layer, "ma") == ["made/"]


@pytest.mark.parametrize("shell", [*completions.FILES])
def test_completion_prints_what_is_installed(tool: Tool, shell: str) -> None:
    assert tool.ok("completion", shell) == (SHARE / completions.FILES[shell]).read_text()


def test_completion_of_an_unknown_shell(tool: Tool) -> None:
    assert "bash|zsh|fish" in tool.fails("completion", "tcsh")


# ---- bash and zsh: what is on the line after TAB ----

BASH = "HISTFILE= ; source /usr/share/bash-completion/bash_completion\n"
BASH_EVAL = "HISTFILE= ; eval \"$(ptoverlay completion bash)\"\n"
ZSH = "fpath=(~/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit -u -d ~/dump\n"
ZSH_EVAL = "autoload -Uz compinit; compinit -u -d ~/dump; eval \"$(ptoverlay completion zsh)\"\n"
SHELLS = [pytest.param(["bash", "--norc", "-i"], BASH, marks=pytest.mark.debian("bash-completion"), id="bash"),
          pytest.param(["bash", "--norc", "-i"], BASH_EVAL, id="bash-eval"),
          pytest.param(["zsh", "-f", "-i"], ZSH, marks=pytest.mark.debian("zsh"), id="zsh"),
          pytest.param(["zsh", "-f", "-i"], ZSH_EVAL, marks=pytest.mark.debian("zsh"), id="zsh-eval")]


def tabbed(tool: Tool, shell: list[str], start: str, lines: list[str]) -> list[list[str]]:
    """The words of each line after a TAB at its end: they are given to printf, not to ptoverlay."""
    if start.startswith("HISTFILE= ; eval"):
        shutil.rmtree(tool.home / ".local")
    typed = start + "".join(f"{line}\t\x01printf '%s\\0' \x05 >line{i}\n" for i, line in enumerate(lines))
    _, shown = tool.shell_on_terminal([*as_user(tool.who), *shell], f"{typed}exit\n", columns=200)
    found = [tool.home / f"line{i}" for i in range(len(lines))]
    assert all(path.exists() for path in found), shown
    return [path.read_text().split("\0")[1:-1] for path in found]


@pytest.mark.parametrize(("shell", "start"), SHELLS)
def test_typed_in_a_shell(tool: Tool, layer: Path, shell: list[str], start: str) -> None:
    assert tabbed(tool, shell, start, [
        "ptoverlay disc", "ptoverlay --kill", "ptoverlay export mine --form", "ptoverlay diff m",
        f"ptoverlay diff mine {layer}/mad", "ptoverlay diff mine made/ins", "ptoverlay discard mine go",
        "ptoverlay explain mine kept/sa", "ptoverlay diff mine kept/sa", "ptoverlay diff -p --name mine made/ins",
        "ptoverlay shell mine -C ma", "ptoverlay completion ba", "ptoverlay diff mine made/it",
        r"ptoverlay diff mine made/it\'s\ n", 'ptoverlay diff mine "made/it',
        "ptoverlay diff mine c", "ptoverlay diff mine c:", "ptoverlay diff mine c:d=", "ptoverlay diff --name=mine c:d",
    ]) == [
        ["discard"], ["--kill-on-exit"], ["export", "mine", "--format"], ["diff", "mine"],
        ["diff", "mine", f"{layer}/made/"], ["diff", "mine", "made/inside"], ["discard", "mine", "gone"],
        ["explain", "mine", "kept/same"], ["diff", "mine", "kept/sa"], ["diff", "-p", "--name", "mine", "made/inside"],
        ["shell", "mine", "-C", "made/"], ["completion", "bash"], ["diff", "mine", f"made/{HARD}"],
        ["diff", "mine", f"made/{HARD}"], ["diff", "mine", f"made/{HARD}"],
        ["diff", "mine", "c:d=e"], ["diff", "mine", "c:d=e"],
        ["diff", "mine", "c:d=e"], ["diff", "--name=mine", "c:d=e"],
    ]


# ---- what is offered ----


def offered_in_bash(tool: Tool, line: str) -> set[str]:
    """What bash offers for the last word of the line."""
    words = line.split(" ")
    script = (f"source /usr/share/bash-completion/bash_completion; source {SHARE / completions.FILES['bash']}\n"
              "compopt() { :; }  # it works on a terminal only\n"
              f"COMP_WORDS=({' '.join(f'{word!r}' for word in words)}); COMP_CWORD={len(words) - 1}\n"
              f"COMP_LINE={line!r}; COMP_POINT={len(line)}\n_ptoverlay\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    done = run([*as_user(tool.who), "bash", "-c", script], cwd=tool.home, env=tool.env)
    assert (done.status, done.err) == (0, "")
    return {word.rstrip() for word in done.out.splitlines()} - {""}


@pytest.mark.debian("bash-completion")
def test_offered_in_bash(tool: Tool, layer: Path) -> None:
    (tool.home / "directory").mkdir()
    assert {"diff", "discard"} <= offered_in_bash(tool, "ptoverlay di")
    assert offered_in_bash(tool, "ptoverlay --che") == {"--check"}
    assert offered_in_bash(tool, "ptoverlay --tra") == {"--trap", "--trace"}
    assert offered_in_bash(tool, "ptoverlay --trap n") == {"notify"}
    assert offered_in_bash(tool, "ptoverlay diff m") == {"mine"}
    assert offered_in_bash(tool, "ptoverlay run --name m") == {"mine"}
    assert offered_in_bash(tool, "ptoverlay export mine --for") == {"--format"}
    assert offered_in_bash(tool, "ptoverlay export mine --format o") == {"oci", "overlayfs"}
    assert offered_in_bash(tool, "ptoverlay --hide dir") == {"directory"}
    assert "setpriv" in offered_in_bash(tool, "ptoverlay -q --trap auto setpri")
    assert "setpriv" in offered_in_bash(tool, "ptoverlay run -q -- setpri")
    assert "directory" in {word.rstrip("/") for word in offered_in_bash(tool, "ptoverlay -- ls dir")}
    assert offered_in_bash(tool, f"ptoverlay commit mine {layer}/") == {f"{layer}/{x}" for x in
                                                                        ("c:d=e", "gone", "kept/", "made/")}


@pytest.mark.debian("fish")
def test_offered_in_fish(tool: Tool, layer: Path) -> None:
    def fish(line: str) -> set[str]:
        done = run([*as_user(tool.who), "fish", "-c", 'complete -C "$LINE"'], cwd=tool.home,
                   env={**tool.env, "LINE": line})
        assert (done.status, done.err) == (0, "")
        return {shown.split("\t")[0] for shown in done.out.splitlines()}

    assert {"diff", "discard"} <= fish("ptoverlay di")
    assert fish("ptoverlay --trap n") == {"notify"}
    assert "mine" in fish("ptoverlay diff m")
    assert fish("ptoverlay export mine --form") == {"--format"}
    assert fish("ptoverlay completion z") == {"zsh"}
    assert fish(f"ptoverlay discard mine {layer}/") == {f"{layer}/{x}" for x in ("c:d=e", "gone", "kept/", "made/")}
    assert fish("ptoverlay diff mine kept/") == {"kept/changed"}
    assert fish("ptoverlay explain mine kept/") == {"kept/changed", "kept/same"}
    assert fish("ptoverlay diff mine made/") == {"made/inside", f"made/{HARD}"}
    assert fish("ptoverlay shell mine -C ") == {"kept/", "made/"}
