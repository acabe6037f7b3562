"""Settings of users and projects: profiles of runs, what review and commit leave out; and the options they stand for.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from support.oracle import USER, Who, as_user, run
from support.sandboxes import Tool

SOCKETS = ("import socket\n"
           "for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):\n"
           "    try: print(bool(socket.socket(family)))\n"
           "    except OSError as error: print(error.errno)\n"
           "print(len(socket.socketpair()))")
NO_NETWORK = "True\n13\n13\n13\n2\n"


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    tool = Tool(area, who)
    tool.env["XDG_CONFIG_HOME"] = str(tool.directory("config"))
    tool.sh("mkdir d; echo a >a; echo x >d/x")
    return tool


def project(tool: Tool, text: str) -> None:
    """Settings in the lower, which the commands start in."""
    path = tool.lower / ".ptoverlay.toml"
    path.write_text(text)
    if os.geteuid() == 0:
        os.chown(path, tool.who.uid, tool.who.gid)


def own(tool: Tool, text: str) -> None:
    directory = Path(tool.env["XDG_CONFIG_HOME"], "ptoverlay")
    directory.mkdir(exist_ok=True)
    (directory / "config.toml").write_text(text)
    (directory / "config.toml").chmod(0o644)


def fails(tool: Tool, *words: str) -> str:
    done = tool(*words, cwd=tool.lower)
    assert (done.status, done.err.count("\n")) == (125, 1), done.err
    return done.err


# ---- options ----


@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_a_run_without_a_network(tool: Tool, trap: str) -> None:
    """Sockets of AF_UNIX alone, at any depth; also in a run inside a run."""
    assert tool.ok("--trap", trap, "--no-network", "--", "sh", "-c", 'exec "$@"', "sh", "python3", "-c", SOCKETS
                   ) == NO_NETWORK
    if trap == "notify":
        tool.put_in_path()
        assert tool.ok("--trap", trap, "--", "ptoverlay", "--no-network", "--", "python3", "-c", SOCKETS) == NO_NETWORK


def test_environment(tool: Tool) -> None:
    tool.env |= {"SECRET": "1", "LC_TIME": "C", "OTHER": "2"}
    shown = tool.ok("--env", "A=1", "--env", "OTHER=3", "--", "sh", "-c", "echo $A $OTHER $SECRET")
    assert shown == "1 3 1\n"
    lines = tool.ok("--clear-env", "--env", "A=x=y", "--env", "OTHER", "--env", "MISSING", "--", "env").splitlines()
    assert {line.partition("=")[0] for line in lines} <= {
        "A", "OTHER", "PATH", "HOME", "TERM", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_TIME", "TZ"}
    assert {"A=x=y", "OTHER=2", f"HOME={tool.home}"} <= {*lines}


def test_memory_and_time(tool: Tool) -> None:
    done = tool("--limit-memory", "64M", "--", "python3", "-c", "bytearray(1 << 20); bytearray(200 << 20)")
    assert (done.status, done.err.splitlines()[-1]) == (1, "MemoryError")
    done = tool("--timeout", "0.3", "--", "sh", "-c", "sleep 60; true")
    assert (done.status, done.err) == (124, "ptoverlay: sh: ended after 0.3 s (--timeout)\n")
    assert tool.ok("--timeout", "1h", "--", "sh", "-c", "echo done") == "done\n"


@pytest.mark.parametrize(("words", "told"), [
    (["--env", "=x"], "no name of a variable"), (["--limit-memory", "x"], "a number of bytes is meant"),
    (["--limit-memory", "0"], "a number of bytes is meant"), (["--timeout", "-1"], "a number of seconds is meant"),
    (["--timeout", "m"], "a number of seconds is meant"), (["--profile", "x"], "there is none of this name")])
def test_what_is_no_value(tool: Tool, words: list[str], told: str) -> None:
    assert told in fails(tool, *words, "--", "true")


# ---- profiles ----


def test_a_profile_takes_from_a_run(tool: Tool) -> None:
    """Without trust; the command line has the last word."""
    project(tool, '[profile.safe]\nhide = ["d"]\nread-only = ["."]\nclear-environment = true\nnetwork = false\n'
                  'limit-memory = "1G"\ntimeout = "1h"\n')
    tool.env["SECRET"] = "1"
    script = "ls d; echo new >new; echo ${SECRET-none}; exec python3 -c \"$1\""
    done = tool("--profile", "safe", "--env", "A=1", "--", "sh", "-c", script, "sh", SOCKETS, cwd=tool.lower)
    assert done.out == "none\n" + NO_NETWORK
    assert "cannot access 'd'" in done.err
    assert "Read-only file system" in done.err


@pytest.mark.parametrize(("inject", "answered"), [("true", True), ("false", False)])
def test_a_profile_lets_no_program_answer_itself(tool: Tool, inject: str, answered: bool) -> None:
    project(tool, f"[profile.safe]\ninject = {inject}\n")
    asks = "for i in $(seq 40); do test -e d; done"
    done = tool("--profile", "safe", "-v", "--", "sh", "-c", asks, cwd=tool.lower)
    assert done.status == 0, done.err
    stub = os.uname().machine == "x86_64"
    assert bool(re.search(r"answered inside of programs: \d", done.err)) == (answered and stub), done.err


def test_a_profile_adds_to_a_run_once_it_is_trusted(tool: Tool) -> None:
    """For the file as it is: a change of it has to be looked at again."""
    text = '# 1\n[profile.build]\ndirect = ["out"]\nenvironment = { CI = "1" }\n'
    project(tool, text)
    tool.sh("mkdir out")
    words = ("--profile", "build", "--", "sh", "-c", "echo $CI; echo $CI >out/written")
    path = tool.lower / ".ptoverlay.toml"
    refused = f"ptoverlay: {path}:3: direct: adds to what a run may do (look at the file; ptoverlay trust lets it)\n"
    assert fails(tool, *words) == refused
    assert tool.ok("trust", "--dry-run", cwd=tool.lower) == (
        f"{path}:3: direct of profile build\n{path}:4: environment of profile build\n")
    adds = ["3: direct of profile build", "4: environment of profile build"]
    for more, trusted in ((["-n"], False), (["--revoke"], False), ([], True), (["--revoke"], False)):
        told = json.loads(tool.ok("trust", "--json", *more, cwd=tool.lower))
        assert told == {"path": str(path), "adds": adds, "trusted": trusted}
    assert fails(tool, *words) == refused
    tool.ok("trust", cwd=tool.lower / "d")
    assert tool.ok(*words, cwd=tool.lower) == "1\n"
    assert (tool.lower / "out/written").read_text() == "1\n"
    project(tool, text.replace("out", "d"))
    assert fails(tool, *words) == refused
    project(tool, text)
    tool.ok("trust", "--revoke", cwd=tool.lower)
    assert fails(tool, *words) == refused
    status, shown = tool.shell_on_terminal(
        ["sh", "-c", f'cd {tool.lower}; exec "$@"', "sh", *tool.words("trust")], "n\n")
    assert (status, "let it? [y,n] " in shown) == (0, True)
    assert fails(tool, *words) == refused


def test_the_users_profile_and_the_projects(tool: Tool) -> None:
    """The user's may add; the project's of the same name only takes."""
    own(tool, '[profile.build]\nenvironment = { CI = "1" }\nnetwork = false\nlimit-memory = "1G"\n')
    project(tool, "[profile.build]\nhide = ['d']\n")
    assert tool.ok("--profile", "build", "--", "sh", "-c", "echo $CI; ls", cwd=tool.lower) == "1\na\n"
    project(tool, "[profile.build]\nread-only = ['d/sub']\n")
    assert ":2: read-only: adds to what a run may do" in fails(tool, "--profile", "build", "--hide", "d", "--", "true")
    project(tool, "[profile.build]\nnetwork = true\n")
    assert ":2: network: adds to what a run may do" in fails(tool, "--profile", "build", "--", "true")


@pytest.mark.parametrize(("text", "told"), [
    ("[profile.x]\n\nhide = 3\n", ":3: hide: a list of strings is meant (hide = [\"…\"])"),
    ("[profile.x]\nhied = []\n", ":2: hied: no such setting (did you mean hide? "),
    ("a = 1\n[profile.x]\n", ":1: a: no such setting"),
    ("[profile.x]\nhide = [\n", ": no TOML: "), ("x = 'a\n", ":1: no TOML: "), ("# \udcff\n", ":1: not UTF-8"),
    ("[profile.x]\ntimeout = 'soon'\n", ":2: timeout: a number of seconds is meant"),
    ("[profile.x]\nnetwork = 'no'\n", ":2: network: true or false is meant (network = true)"),
    ("[profile.y]\n[profile.xx]\n", "--profile x: there is none of this name"),
    ("profile = 1\n", ":1: profile: a table")])
def test_mistakes_are_told_with_their_line(tool: Tool, text: str, told: str) -> None:
    path = tool.lower / ".ptoverlay.toml"
    path.write_bytes(os.fsencode(text))
    if os.geteuid() == 0:
        os.chown(path, tool.who.uid, tool.who.gid)
    assert told in fails(tool, "--profile", "x", "--", "true")


@pytest.mark.root_only
def test_a_file_of_somebody_else_counts_as_not_there(area: Path) -> None:
    tool = Tool(area, USER)
    tool.env["XDG_CONFIG_HOME"] = str(tool.directory("config"))
    path = tool.lower / ".ptoverlay.toml"
    path.write_text("ignore = ['*']\n[profile.x]\n")
    os.chown(path, 1234, 1234)
    tool.box("one", "echo new >new")
    done = tool("diff", "one", cwd=tool.lower)
    assert done.out == f"added     {tool.lower}/new\n"
    assert done.err == f"ptoverlay: {path}: left out: it belongs to user 1234 (ptoverlay trust reads it all the same)\n"
    tool.ok("trust", cwd=tool.lower)
    assert tool("diff", "one", cwd=tool.lower).out == ""


# ---- what is left out ----


def test_noise_is_left_out_of_review_and_commit(tool: Tool) -> None:
    """The default, the user's and the project's list; what is named, and --no-ignore, is not."""
    own(tool, "ignore = ['*.log']\n")
    project(tool, "ignore = ['/build/', '!kept.log']\n")
    tool.box("one", "echo h >.bash_history; mkdir -p .cache/x build d/build; echo 1 >.cache/x/1; echo 2 >build/2;"
                    "echo 3 >d/build/3; echo l >d/l.log; echo k >kept.log; echo more >>a")
    wanted = ["a", "d/build", "d/build/3", "kept.log"]
    done = tool("diff", "one", "--json", cwd=tool.lower)
    assert [os.path.relpath(change["path"], tool.lower) for change in json.loads(done.out)] == wanted
    assert done.err == "ptoverlay: 7 changes left out, which the ignore list names (--no-ignore)\n"
    assert len(tool.json("diff", "one", "--no-ignore", status=1)) == 11
    assert [line.split()[1] for line in tool.ok("diff", "one", "build", cwd=tool.lower, status=1).splitlines()] == [
        f"{tool.lower}/build/", f"{tool.lower}/build/2"]
    done = tool("commit", "one", cwd=tool.lower)
    assert (done.status, done.err) == (0, "ptoverlay: 7 changes left out, which the ignore list names (--no-ignore)\n")
    names = run([*as_user(tool.who), "find", ".", "-type", "f"], cwd=tool.lower, env=tool.env).out.split()
    assert sorted(names) == ["./.ptoverlay.toml", "./a", "./d/build/3", "./d/x", "./kept.log"]
    assert tool("diff", "one", cwd=tool.lower).out == ""
    tool.ok("commit", "one", "--no-ignore", cwd=tool.lower)
    assert (tool.lower / "build/2").exists()
    assert (tool.lower / ".bash_history").exists()


def test_try_leaves_noise_out(tool: Tool) -> None:
    done = tool("try", "--then", "commit", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c",
                "echo h >.bash_history; echo n >n", cwd=tool.lower)
    left_out = "ptoverlay: 1 change left out, which the ignore list names (--no-ignore)\n"
    assert (done.status, done.err) == (0, left_out)
    assert (sorted(os.listdir(tool.lower)), tool.json("list")) == (["a", "d", "n"], [])
    tool.ok("try", "--no-ignore", "--then", "commit", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c",
            "echo h >.bash_history", cwd=tool.lower)
    assert (tool.lower / ".bash_history").read_text() == "h\n"


def test_log_leaves_noise_out(tool: Tool) -> None:
    for number in (1, 2):
        tool.box("one", f"echo {number} >n{number}; echo h{number} >.bash_history")
    left_out = "ptoverlay: 2 changes left out, which the ignore list names (--no-ignore)\n"
    for option in ("-p", "--stat"):
        done = tool("log", option, "one")
        assert (done.status, done.err) == (0, left_out)
        assert [name in done.out for name in ("/n1", "/n2", "/.bash_history")] == [True, True, False]
        assert "/.bash_history" in tool.ok("log", option, "--no-ignore", "one", "1")
