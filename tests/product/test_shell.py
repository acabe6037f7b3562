"""shell: bash, zsh and fish on a terminal, with the sandbox in the prompt; their hooks, by which a line is a step.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.oracle import USER, as_user
from support.sandboxes import Tool
from support.tool import Terminal
from support.trees import tree

from ptoverlay.commands import shell

SHELLS = ("bash", "zsh", "fish")
#: Start-up files of the user's that set a prompt, and keep it so.
FILES = {
    "bash": {".bashrc": "PS1='mine\\$ '; mark=read\n"},
    "zsh": {".zshenv": "mark=read\n", ".zshrc": "PROMPT='mine%# '; precmd() { : }\n"},
    "fish": {".config/fish/config.fish": "set mark read\nfunction fish_prompt; echo -n 'mine> '; end\n"
             "function fish_greeting; end\n"},
}


@pytest.fixture
def tool(area: Path) -> Tool:
    made = Tool(area, USER)
    made.sh("echo one >a")
    made.box("one", "true")
    return made


def put_files(tool: Tool, name: str) -> None:
    """The user's own start-up files."""
    for path, text in FILES[name].items():
        tool.sh(f"mkdir -p {(tool.home / path).parent}; cat >{tool.home / path} <<'END'\n{text}END\n")
    tool.env.update(SHELL=f"/usr/bin/{name}", XDG_CONFIG_HOME=str(tool.home / ".config"),
                    XDG_DATA_HOME=str(tool.home / "data"))
    # Where fish has none of its completions it reads all manual pages, which takes 20 s.
    tool.sh(f"mkdir -p {tool.home}/data/fish/generated_completions")


@pytest.mark.debian("zsh", "fish")
@pytest.mark.parametrize("name", SHELLS)
def test_the_prompt_shows_the_sandbox(tool: Tool, name: str) -> None:
    """Before the user's own, whose files are read and stay as they are; the status of a command is not lost."""
    put_files(tool, name)
    ours = tree(Path(shell._FILES))
    terminal = Terminal(tool.words("shell", "one", "-C", tool.lower), tool.env, tool.home)
    terminal.expect("(one) mine")
    status = "$status" if name == "fish" else "$?"
    terminal.send(f"false; true; false\necho \"<$mark:{status}>\"; echo two >>a\n")
    terminal.expect("<read:1>")
    if name != "fish":
        terminal.send("PS1='other: '\n")
        terminal.expect("(one) other: ")
        terminal.send("echo \"[$ZDOTDIR]\"\n")
        terminal.expect("[]")
    terminal.send("exit 7\n")
    assert terminal.end() == 7
    assert (tool.lower / "a").read_text() == "one\n"
    assert {path: (tool.home / path).read_text() for path in FILES[name]} == FILES[name]
    assert tree(Path(shell._FILES)) == ours, "the shell has written beside our files"


@pytest.mark.debian("zsh", "fish")
def test_the_first_prompt_of_zsh(tool: Tool) -> None:
    """Also where a hook of the user's, added after ours, sets the prompt each time."""
    put_files(tool, "zsh")
    tool.sh(f"echo 'theirs() {{ PROMPT=\"<$((++count)):%?> \" }}; precmd_functions+=(theirs)' >>{tool.home}/.zshrc")
    terminal = Terminal(tool.words("shell", "one", "-C", tool.lower), tool.env, tool.home)
    terminal.expect("(one) <1:0> ")
    terminal.send("false\n")
    terminal.expect("(one) <2:1> ")
    terminal.send("exit 7\n")
    assert terminal.end() == 7


@pytest.mark.debian("zsh", "fish")
@pytest.mark.parametrize("name", SHELLS)
def test_the_hooks_of_steps(tool: Tool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line that is typed, as it was typed, once, and when it has ended; no other; what they say is shown."""
    put_files(tool, name)
    log = tool.home / "log"
    tool.sh(f"printf '#!/bin/sh\\nprintf \"%%s\\\\n\" \"$*\" >>{log}; cat a >>{log}\\ncase $2 in *none) "
            f"echo one: nothing has changed in it yet >&2; exit 125;; *bad) echo it went wrong >&2; exit 1;; esac\\n' "
            f">{tool.home}/hook; chmod +x {tool.home}/hook")
    monkeypatch.setenv("ZDOTDIR", "")
    rest = shell._SHELLS[name]
    env = {**tool.env, "PTOVERLAY_NAME": "/some/upper", "PTOVERLAY_STEPS": f"{tool.home}/hook"}
    if name == "zsh":
        env["ZDOTDIR"] = str(Path(shell._FILES, "zsh"))
    terminal = Terminal([*as_user(USER), name, *rest], env, tool.lower)
    terminal.expect("(upper) mine")
    for line in ("echo 'two  \"words\"' >a", "", "  echo three >a; : none", "false || : bad"):
        terminal.send(f"{line}\n")
        if line.endswith("bad"):
            terminal.expect("it went wrong")
        terminal.expect("(upper) mine")
    terminal.send("exit\n")
    assert terminal.end() == 0
    told = log.read_text().splitlines()
    assert told[:2] == ["--message echo 'two  \"words\"' >a", 'two  "words"']
    assert (told[2].split("echo")[1], told[3]) == (" three >a; : none", "three")
    assert told[4:6] == ["--message false || : bad", "three"]
    assert told[6:] in ([], ["--message exit", "three"])  # of fish
    assert "nothing has changed" not in terminal.text


def test_steps_that_cannot_be(tool: Tool) -> None:
    assert tool.fails("shell", "--steps", "one") == (
        "--steps: /bin/sh has no hooks that we know (it is for bash, zsh and fish)")
    tool.env["SHELL"] = "/bin/bash"
    assert tool.fails("shell", "--steps", "-u", tool.directory("upper")) == (
        "--steps: only a sandbox with a name has steps (ptoverlay run --name NAME makes one)")


def test_a_shell_that_reads_commands(tool: Tool) -> None:
    """Not from a terminal: nothing but what it is told."""
    tool.env["SHELL"] = "/bin/bash"
    process = tool.start("shell", "one")
    assert process.communicate("echo $PTOVERLAY_NAME:$PS1; exit 3\n") == ("one:\n", "")
    assert process.returncode == 3
