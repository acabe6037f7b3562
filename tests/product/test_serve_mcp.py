"""serve --mcp, with the client of the official package; the agent's shell of docs/examples.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters, stdio_client
from support.box import ROOT_DIRECTORY
from support.oracle import USER, as_user
from support.sandboxes import Tool
from support.tool import Terminal

EXAMPLE = ROOT_DIRECTORY / "docs/examples/agent_shell.py"


@pytest.fixture
def tool(area: Path) -> Tool:
    made = Tool(area, USER)
    made.sh("echo 'the colour of it' >notes; echo two >b")
    return made


def test_every_tool(tool: Tool) -> None:
    """An ordinary user's server, over a lower that is as it was until the commit."""
    command, *words = tool.words("serve", "--mcp", "-l", tool.lower, "one")
    server = StdioServerParameters(command=command, args=words, env=tool.env, cwd=tool.lower)

    async def main() -> None:
        async with Client(stdio_client(server)) as client:
            async def call(name: str, **arguments: Any) -> Any:
                result = await client.call_tool(name, arguments)
                text = result.content[0].text
                assert not result.is_error, text
                return json.loads(text)

            names = {each.name: each.description for each in (await client.list_tools()).tools}
            assert sorted(names) == ["cancel", "changes", "checkpoint", "commit", "log", "redo", "run", "undo"]
            assert all(names.values())
            ran = await call("run", command="sed -i s/colour/color/ notes; rm b; echo out; echo err >&2; exit 3")
            assert (ran["status"], ran["stdout"], ran["stderr"]) == (3, "out\n", "err\n")
            assert (ran["step"], ran["total"]) == (1, 2)
            assert "-the colour of it\n+the color of it\n" in ran["patch"]
            ran = await call("run", command="seq 100000")
            assert (ran["stdout"][:6], ran["stdout"][-7:], ran["step"]) == ("1\n2\n3\n", "100000\n", None)
            assert f"[… {588895 - 100000} bytes left out …]" in ran["stdout"]
            assert (await call("checkpoint", message="half"))["step"]["message"] == "half"
            assert [step["number"] for step in (await call("undo"))["steps"]] == [1]
            assert (await call("changes"))["total"] == 0
            assert [step["undone"] for step in (await call("redo"))["steps"]] == [False]
            assert len((await call("log"))["steps"]) == 1
            failed = await client.call_tool("undo", {"count": 2})
            assert failed.is_error
            assert "there is only one step to undo" in failed.content[0].text
            task = asyncio.create_task(call("run", command="echo; exec sleep 60"))
            while not (await call("cancel"))["cancelled"]:
                await asyncio.sleep(0.05)
            assert (await task)["cancelled"]
            assert (tool.lower / "notes").read_text() == "the colour of it\n"
            assert (await call("commit", paths=["notes"]))["total"] == 1
            assert (tool.lower / "notes").read_text() == "the color of it\n"
            assert (tool.lower / "b").exists()

    asyncio.run(asyncio.wait_for(main(), 120))


def test_the_agents_shell(tool: Tool) -> None:
    """On a terminal: one step is undone, one is let be, and both that remain are committed."""
    script = ("sed -i s/colour/color/ notes", "echo more >>b", "echo three >c; cat b", "cat c")
    commands = tool.home / "commands"
    commands.write_text("".join(f"{line}\n" for line in script))
    line = [*as_user(USER), "sh", "-c", f"exec {sys.executable} {EXAMPLE} work {tool.lower} <{commands}"]
    terminal = Terminal(line, {**tool.env, "PYTHONPATH": str(ROOT_DIRECTORY)}, tool.lower)
    for patch, answer in (("+the color of it", "u"), ("+more", "g"), ("+three", "c")):
        shown = terminal.expect("go on? [c,u,g] ")
        assert patch in shown.splitlines(), shown
        terminal.send(f"{answer}\n")
    assert terminal.end() == 0, terminal.text
    told = terminal.text.replace("\r", "")
    assert "exit status 0\nThe person has undone this step.\n" in told
    assert "exit status 0\ntwo\nmore\nThe person has committed 2 changes.\nexit status 0\nthree\n" in told
    assert {path.name: path.read_text() for path in tool.lower.iterdir()} == {
        "notes": "the colour of it\n", "b": "two\nmore\n", "c": "three\n"}


def test_the_package_is_not_there(tool: Tool) -> None:
    (tool.home / "mcp").mkdir()
    (tool.home / "mcp/__init__.py").write_text("")
    tool.env["PYTHONPATH"] = str(tool.home)
    assert tool.fails("serve", "--mcp", "one") == (
        "serve --mcp: mcp is not installed (pip install 'ptoverlay[mcp]')")
    assert tool.json("list") == []
