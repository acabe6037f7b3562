"""What subcommands print for people: names that can be told from each other, sizes and numbers that say something, and
lines that fit on narrow terminals.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from support.oracle import Who
from support.sandboxes import Tool

from ptoverlay.console.terminal import count, sizes
from ptoverlay.errors import named

#: Names that git quotes, or that could be taken for something else.
ODD = [b"new\nline", b"back\\slash", b'quo"te', b"tab\tbed", b"\xff\xfe", b"bell\x07", b"\x1b[31m", b"del\x7f",
       b"\xc2\x85"]
PLAIN = [b"plain", "grün".encode(), b"with space", b"it's", b"(1.0K)", b"-dash"]


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh("seq 1000 >numbers; echo a >a; mkdir d")
    return made


@pytest.mark.debian("git")
@pytest.mark.parametrize("name", ODD)
def test_quoted_as_git_does(tmp_path: Path, name: bytes) -> None:
    """The words of git itself, with core.quotePath off: what can be shown is."""
    git = ["git", "-C", str(tmp_path), "-c", "core.quotePath=false"]
    subprocess.run([*git, "init", "-q"], check=True)
    (Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))).touch()
    shown = subprocess.run([*git, "ls-files", "-o"], check=True, capture_output=True).stdout.rstrip(b"\n")
    if name.isascii():
        assert named(os.fsdecode(name)).encode() == shown
    else:  # git leaves bytes alone that are no character, or none that a terminal shows
        assert named(os.fsdecode(name)) == '"' + "".join(f"\\{byte:03o}" for byte in name) + '"'


@pytest.mark.quick
def test_not_quoted() -> None:
    for name in PLAIN:
        assert named(os.fsdecode(name)) == os.fsdecode(name)
    for text in ("a -> b", "a  (b", " a", "a ", "a => b", "a | 1 +", ""):
        assert named(text) == f'"{text}"'


@pytest.mark.quick
def test_numbers() -> None:
    assert [count(0, "entry"), count(1, "entry"), count(2, "entry")] == ["0 entries", "1 entry", "2 entries"]
    assert [count(1, "file"), count(12, "file")] == ["1 file", "12 files"]
    assert [sizes(3893, 3894), sizes(1, 2), sizes(1023, 1024), sizes(5 << 30, (5 << 30) + 1)] == [
        "3893 -> 3894 bytes", "1B -> 2B", "1023B -> 1.0K", "5368709120 -> 5368709121 bytes"]


def test_every_change_is_one_line_that_tells_its_name(tool: Tool) -> None:
    """No two names look the same, and none breaks a line: diff, its --stat, commit, discard, explain and messages."""
    names = sorted({*ODD, *PLAIN, b"n -> m", b"new\\nline"})
    script = b"; ".join(b"echo x >" + shlex.quote(os.fsdecode(b"./" + name)).encode("utf-8", "surrogateescape")
                        for name in names)
    tool.box("one", os.fsdecode(script))
    words = subprocess.run(tool.words("diff", "one"), cwd=tool.lower, env=tool.env, capture_output=True, check=False)
    lines = words.stdout.decode().splitlines()
    assert len(lines) == len(names)
    wanted = {named(os.fsdecode(os.path.join(os.fsencode(tool.lower), name))) for name in names}
    assert {line.split(None, 1)[1] for line in lines} == wanted
    stat = subprocess.run(tool.words("diff", "--stat", "one"), cwd=tool.lower, env=tool.env, capture_output=True,
                          check=False)
    assert {line[1:].split(" | ")[0].rstrip() for line in stat.stdout.decode().splitlines()[:-1]} == wanted
    assert stat.stdout.decode().splitlines()[-1] == f" {len(names)} files changed, {len(names)} insertions(+)"
    odd = tool.lower / "new\nline"
    assert tool.ok("explain", "one", odd).startswith(f'"{tool.lower}/new\\nline": new: ')
    tool.sh("echo theirs >'n -> m'")
    refused = tool("commit", "one", tool.lower / "n -> m")
    assert refused.err.startswith(f'ptoverlay: "{tool.lower}/n -> m": not committed: ')
    assert tool.ok("commit", "-v", "one", odd) == f'added     "{tool.lower}/new\\nline"\n'


def test_narrow_terminals(tool: Tool) -> None:
    """Nothing wraps at 40 columns, and nothing that matters is cut."""
    long = "a-name-that-is-longer-than-a-terminal-is-wide-" + "x" * 40
    tool.box("one", f"echo x >d/{long}; seq 999 >numbers; : {'word ' * 20}")
    tool.box("two", "true")

    def lines(*words: str) -> list[str]:
        status, shown = tool.on_terminal(*words, columns=40)
        assert status in (0, 1), shown
        return shown.splitlines()

    for words in (("list",), ("diff", "--stat", "--color", "never", "one"), ("stats", "one")):
        found = lines(*words)
        if words[0] == "diff":
            del found[-1]  # a sentence
        if words[0] == "stats":
            found = found[found.index("", 3):]  # the table of the last run, and what follows
        assert max(map(len, found)) <= 40, found
    assert [line.split()[0] for line in lines("list") if not line.startswith(" ")] == ["one", "two"]
    assert lines("diff", "--stat", "one")[0].split("|")[0].rstrip().endswith("xxxx")
    assert "sh -euc" in tool.ok("list")
    told = [line for line in lines("log", "--stat", "--color", "never", "one") if "$" not in line]
    assert [line for line in told if len(line) > 40 and not line.startswith("    in ")] == [told[-1]]  # a sentence
