"""serve: the protocol on a socket and on standard input and output, its clients, and what spoils them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.box import command
from support.oracle import USER, as_user
from support.sandboxes import LIMIT, Tool, wait_for
from support.trees import remove, tree

from ptoverlay import AsyncClient, Client, Failure, Refused
from ptoverlay.serve import protocol
from ptoverlay.serve.protocol import Pieces


@pytest.fixture
def tool(area: Path) -> Tool:
    made = Tool(area, USER)
    made.sh("echo one >a; echo two >b")
    return made


class Talk:
    """A client that says what it likes, to a server over the lower on its standard input and output."""

    def __init__(self, tool: Tool, *options: str) -> None:
        self.process = subprocess.Popen(
            tool.words("serve", "--stdio", "-l", tool.lower, *options, "one"), cwd=tool.lower, env=tool.env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.hello = self.get()["hello"]

    def put(self, line: bytes | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        self.process.stdin.flush()

    def get(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), (line, self.process.stderr and self.process.stderr.read())
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def answer(self, line: bytes | dict[str, Any]) -> dict[str, Any]:
        """The answer to one line; with all output, if it is a command."""
        self.put(line)
        output = b""
        while "event" in (message := self.get()):
            if message["event"] == "output":
                output += protocol.data_of(message)
        return {**message, "output": output} if output else message

    def end(self) -> str:
        """What it says to standard error at its end."""
        _, err = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, err
        return err.decode()


@pytest.fixture
def talk(tool: Tool) -> Iterator[Talk]:
    made = Talk(tool)
    yield made
    if made.process.poll() is None:
        assert made.end() == ""


def kinds(told: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], os.path.basename(each["path"])) for each in told["changes"]]


def test_every_verb(tool: Tool, talk: Talk) -> None:
    """Over a lower that is as it was until the commit."""
    before = tree(tool.lower)
    assert (talk.hello["protocol"], talk.hello["sandbox"], talk.hello["mount"]) == (1, "one", str(tool.lower))
    assert talk.answer({"id": 0, "verb": "hello", "protocol": 1})["ok"] == talk.hello
    script = "echo more >>a; rm b; echo $PTOVERLAY_NAME $V; cat; exit 3"
    done = talk.answer({"id": "x", "verb": "run", "command": script, "env": {"V": "v"}, "input": "in", "patch": True})
    assert (done["id"], done["output"]) == ("x", b"one v\nin")
    told = done["ok"]
    assert (told["status"], told["step"], told["total"], kinds(told)) == (
        3, 1, 2, [("modified", "a"), ("removed", "b")])
    assert told["patch"].splitlines()[:6] == [
        "diff --git a/a b/a", "--- a/a", "+++ b/a", "@@ -1 +1,2 @@", " one", "+more"]
    assert talk.answer({"verb": "changes", "paths": ["none"]})["ok"]["total"] == 0
    done = talk.answer({"verb": "run", "argv": ["cat", "a"], "cwd": str(tool.lower)})
    assert (done["id"], done["output"], done["ok"]) == (
        None, b"one\nmore\n", {"status": 0, "step": None, "total": 0, "changes": []})
    assert talk.answer({"verb": "checkpoint", "message": "half"})["ok"]["step"]["message"] == "half"
    assert talk.answer({"verb": "run", "argv": ["touch", "c"]})["ok"]["step"] > 1
    assert kinds(talk.answer({"verb": "changes"})["ok"]) == [("modified", "a"), ("removed", "b"), ("added", "c")]
    assert kinds(talk.answer({"verb": "changes", "offset": 1, "limit": 1})["ok"]) == [("removed", "b")]
    assert kinds(talk.answer({"verb": "changes", "step": 1, "paths": ["b"]})["ok"]) == [("removed", "b")]
    assert [step["undone"] for step in talk.answer({"verb": "undo", "count": 2})["ok"]["steps"]] == [True, True]
    assert [step["number"] for step in talk.answer({"verb": "redo"})["ok"]["steps"]] == [1]
    assert [step["undone"] for step in talk.answer({"verb": "log"})["ok"]["steps"]] == [True, False]
    assert tree(tool.lower) == before
    assert [each["path"] for each in talk.answer({"verb": "commit", "dry_run": True})["ok"]["committed"]] == [
        f"{tool.lower}/a", f"{tool.lower}/b"]
    talk.answer({"verb": "run", "argv": ["touch", ".bash_history"]})
    told = talk.answer({"verb": "commit"})["ok"]
    assert (told["total"], told["refused"], told["ignored"]) == (2, [], 1)
    assert {path.name: path.read_text() for path in tool.lower.iterdir()} == {"a": "one\nmore\n"}


@pytest.mark.parametrize(("line", "code", "says"), [
    (b"hello", "bad-request", "not JSON: "), (b"[1]", "bad-request", "not an object"),
    (b"[" * 100000, "bad-request", "not JSON"), (b"\xff\xfe", "bad-request", "not JSON"),
    (b'{"verb": "unod"}', "unknown-verb", 'verb "unod": did you mean undo?'), (b"{}", "unknown-verb", "verb null"),
    (b'{"verb": "run"}', "bad-request", "run: either argv or command is meant"),
    (b'{"verb": "run", "argv": "ls"}', "bad-request", "run: argv: "),
    (b'{"verb": "run", "argv": ["a\\u0000"]}', "bad-request", "run: argv: a NUL"),
    (b'{"verb": "run", "argv": ["true"], "input_base64": "?"}', "bad-request", "run: input_base64: "),
    (b'{"verb": "run", "argv": ["true"], "cdw": "/"}', "bad-request", 'run: it takes no "cdw"'),
    (b'{"verb": "run", "argv": ["no-such-command"]}', "not-found", "no-such-command: No such file or directory"),
    (b'{"verb": "run", "argv": ["/"]}', "not-executable", "/: Permission denied"),
    (b'{"verb": "run", "argv": ["true"], "cwd": "/nowhere"}', "not-found", "/nowhere: No such file or directory"),
    (b'{"verb": "undo", "count": 0}', "bad-request", "undo: count: a number from 1 on is meant"),
    (b'{"verb": "undo", "count": true}', "bad-request", "undo: count: "),
    (b'{"verb": "undo"}', "failed", "sandbox one: there is no step to undo"),
    (b'{"verb": "changes", "step": 7}', "failed", "step 7: there is none of this number"),
    (b'{"verb": "cancel"}', "bad-request", "cancel: run is missing"),
    (b'{"verb": "hello", "protocol": 99}', "protocol", "protocol 99: this is protocol 1"),
    (b'{"id": [], "verb": "undo"}', "bad-request", "id: a text or a number is meant"),
    (b" " * (protocol.LONGEST + 70000) + b"{}", "too-long", "a line has at most 16777216 bytes"),
])
def test_bad_input_is_an_error_of_one_line(shared: Talk, line: bytes, code: str, says: str) -> None:
    """And the next request is answered."""
    error = shared.answer(line)["error"]
    assert (error["code"], error["message"][:len(says)], "\n" in error["message"]) == (code, says, False)
    assert shared.answer({"id": 5, "verb": "log"}) == {"id": 5, "ok": {"steps": []}}


@pytest.fixture(scope="module")
def shared(base: Path) -> Iterator[Talk]:
    """One server for what changes nothing."""
    area = base / "serve"
    area.mkdir()
    area.chmod(0o755)
    made = Talk(Tool(area, USER))
    yield made
    assert made.end() == ""
    remove(area)


def test_output_of_any_size_and_kind(shared: Talk) -> None:
    """Nothing of it is lost; text stays text wherever it is cut."""
    script = "i=0; while [ $i -lt 2000 ]; do printf 'äöü€😀%04d' $i; i=$((i+1)); done; head -c 3000000 /dev/zero"
    shared.put({"id": 1, "verb": "run", "argv": ["sh", "-c", script]})
    output, texts = b"", 0
    while "ok" not in (message := shared.get()):
        if message["event"] == "output":
            output += protocol.data_of(message)
            texts += "text" in message
    assert output == "".join(f"äöü€😀{i:04d}" for i in range(2000)).encode() + bytes(3000000)
    done = shared.answer({"verb": "run", "argv": ["printf", r"\377\000\303"]})
    assert (done["output"], done["ok"]["status"]) == (b"\xff\x00\xc3", 0)


@pytest.mark.quick
def test_pieces_cut_no_character() -> None:
    text = "aä€😀z".encode()
    for at in range(len(text)):
        pieces = Pieces()
        first, second = pieces.cut(text[:at]), pieces.cut(text[at:])
        assert first.decode() + second.decode() == "aä€😀z"
    pieces = Pieces()
    assert pieces.cut(b"\xf0\x9f") + pieces.cut(b"", end=True) == b"\xf0\x9f"
    assert Pieces().cut(b"a\x80\x80\x80\x80") == b"a\x80\x80\x80\x80"


def test_cancel(talk: Talk) -> None:
    """What runs is ended and is a step nevertheless; what waits is never begun."""
    talk.put({"id": 1, "verb": "run", "command": "echo more >>a; echo; exec sleep 60"})
    assert [talk.get()["event"], talk.get()["text"]] == ["started", "\n"]
    talk.put({"id": 2, "verb": "run", "argv": ["touch", "never"]})
    talk.put({"id": 1, "verb": "run", "argv": ["touch", "never"]})
    assert talk.get()["error"]["message"] == "id 1: a request with it is not answered yet"
    talk.put({"id": 3, "verb": "cancel", "run": 2})
    assert talk.get() == {"id": 3, "ok": {"cancelled": True}}
    talk.put({"id": 4, "verb": "cancel", "run": 1})
    assert talk.get() == {"id": 4, "ok": {"cancelled": True}}
    ended = talk.get()
    assert (ended["id"], ended["ok"]["status"], ended["ok"]["cancelled"], kinds(ended["ok"])) == (
        1, -15, True, [("modified", "a")])
    assert talk.get() == {"id": 2, "error": {"code": "cancelled", "message": "cancelled before it began"}}
    assert talk.answer({"verb": "cancel", "run": 9})["ok"] == {"cancelled": False}
    assert len(talk.answer({"verb": "log"})["ok"]["steps"]) == 1


def test_what_does_not_end_is_killed(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = talk.answer({"verb": "run", "command": "trap '' TERM; echo more >>a; while :; do sleep 0.1; done",
                         "timeout": 0.3})["ok"]
    assert (ended["status"], ended["timed_out"], ended["step"], kinds(ended)) == (-9, True, 1, [("modified", "a")])
    assert talk.answer({"verb": "undo"})["ok"]["steps"][0]["number"] == 1


def test_requests_before_the_end_of_the_input_are_answered(tool: Tool) -> None:
    """As of a script that is piped into it."""
    talk = Talk(tool)
    for line in ({"verb": "run", "command": "echo more >>a"}, {"verb": "undo"}, {"verb": "log"}):
        talk.put({"id": 1, **line} if line["verb"] == "run" else line)
    out, err = talk.process.communicate(timeout=LIMIT)
    answers = [json.loads(line) for line in out.splitlines()]
    assert ([*answers[-1]["ok"]["steps"][0].items()][-2][1], err, talk.process.returncode) == (True, b"", 0)


def test_a_client_that_goes_leaves_a_step(tool: Tool) -> None:
    """In the middle of a silent command, and of one that writes without an end."""
    for number, script in enumerate(("exec sleep 60", "exec yes"), 1):
        talk = Talk(tool)
        talk.put({"id": 1, "verb": "run", "command": f"echo {number} >>a; echo; {script}"})
        assert [talk.get()["event"], talk.get()["text"]] == ["started", "\n"]
        for stream in (talk.process.stdin, talk.process.stdout):
            assert stream is not None
            stream.close()
        assert talk.process.stderr is not None
        assert (talk.process.stderr.read(), talk.process.wait(LIMIT)) == (b"", 0)
        talk.process.stderr.close()
        step = tool.json("log", "one")[0]
        assert (step["number"], step["status"] < 0) == (number, True)
    assert tool.box("one", "cat a") == "one\n1\n2\n"


# ---- the socket ----


@pytest.fixture
def server(tool: Tool) -> Iterator[subprocess.Popen[str]]:
    process = tool.start("serve", "one", "-l", tool.lower)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{tool.state}/ptoverlay/sandboxes/one/serve/socket\n"
    yield process
    process.terminate()
    _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")
    assert os.listdir(tool.state / "ptoverlay/sandboxes/one/serve") == ["lock"]


@pytest.fixture
def state(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of this process look where the user's sandboxes are."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tool.state))


@pytest.mark.usefixtures("server", "state")
def test_many_clients(tool: Tool) -> None:
    """Each has its answers; two undos at once undo two steps or tell why not; other shells have the sandbox, too."""
    serve = tool.state / "ptoverlay/sandboxes/one/serve"
    assert stat.S_IMODE(serve.stat().st_mode) == 0o700
    assert tool.fails("serve", "one") == "serve one: somebody serves it already (connect to that one)"
    with Client.connect("one") as one, Client.connect("one") as two:
        assert one.run(["sh", "-c", "echo x >>a"], cwd=str(tool.lower)).step == 1
        assert tool.box("one", "echo y >>a; cat a") == "one\nx\ny\n"
        assert two.run("cat a", cwd=str(tool.lower)).stdout == b"one\nx\ny\n"
        assert [step.number for step in two.log()] == [step["number"] for step in tool.json("log", "one")]
        undone = asyncio.run(undo_at_once(4))
        assert sum(undone) == sum(step.undone for step in one.log())
        assert 1 <= sum(undone) <= 2
        found = tool.ok("run", "--name", "one", "--", "sh", "-c", f"ls -d {serve} {serve}/socket 2>&1 || :")
        assert found.count("No such file or directory") == 2, "a program in the sandbox can connect to its server"
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(serve / "socket"))
    other.close()
    with Client.connect("one") as one, pytest.raises(Refused, match=r"no step|only one step"):
        one.undo(3)


async def undo_at_once(clients: int) -> list[bool]:
    async def undo() -> object:
        async with AsyncClient.connect("one") as client:
            return await client.undo()

    told = await asyncio.gather(*(undo() for _ in range(clients)), return_exceptions=True)
    refused = [each for each in told if isinstance(each, Refused)]
    assert {each.code for each in refused} <= {"in-use", "failed"}
    return [each not in refused for each in told]


@pytest.mark.usefixtures("state")
def test_a_server_that_was_killed(tool: Tool, server: subprocess.Popen[str]) -> None:
    """Clients are told, and the next one takes its place."""
    with Client.connect("one") as client:
        def kill(stream: str, data: bytes) -> None:
            if server.poll() is None:
                subprocess.run([*as_user(USER), "kill", "-9", str(server.pid)], check=True)
                server.wait()

        with pytest.raises(Refused, match="server: it has ended"):
            client.run("echo more >>a; echo; exec sleep 1", cwd=str(tool.lower), on_output=kill)
        with pytest.raises(Refused, match="server: it has ended"):
            client.log()
    with pytest.raises(Failure, match="nobody serves it"):
        Client.connect("one")
    wait_for(lambda: tool("undo", "one").status == 0)
    again = tool.start("serve", "one")
    assert again.stdout is not None
    again.stdout.readline()
    with Client.connect("one") as client:
        assert [step.undone for step in client.log()] == [True]
    again.terminate()
    again.communicate(timeout=LIMIT)
    server.terminate = lambda: None  # type: ignore[method-assign]
    server.returncode = 0


# ---- the clients ----


def test_client(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a server of its own, which ends with it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tool.state))
    monkeypatch.chdir(tool.lower)
    with Client.start("mine", "-l", str(tool.lower)) as client:
        ran = client.run("cat; echo more >>a; echo err >&2", input=b"\x00\xff", patch=True)
        assert (ran.status, ran.stdout, ran.stderr, ran.step, ran.total) == (0, b"\x00\xff", b"err\n", 1, 1)
        assert ran.patch is not None
        assert ran.patch.endswith(b" one\n+more\n")
        assert [(change.kind, change.size, change.old_size) for change in ran.changes] == [("modified", 9, 4)]
        pieces: list[tuple[str, bytes]] = []

        def take(stream: str, data: bytes) -> None:
            pieces.append((stream, data))
            client.cancel()

        ran = client.run("echo; exec sleep 60", on_output=take)
        assert (pieces, ran.status, ran.cancelled, ran.stdout) == ([("stdout", b"\n")], -15, True, b"")
        assert client.run(["sleep", "60"], timeout=0.2).timed_out
        with pytest.raises(Refused) as refused:
            client.run(["no-such-command"])
        assert refused.value.code == "not-found"
        assert client.checkpoint("called").message == "called"
        assert [step.undone for step in client.undo()] == [True]
        assert (client.changes().changes, [step.undone for step in client.redo()]) == ([], [False])
        assert client.changes(1, ["a"], patch=True).patch is not None
        assert [change.path for change in client.commit(["a"]).changes] == [f"{tool.lower}/a"]
        client.run("echo mine >of")
    subprocess.run([*command(), "fork", "mine", "fork"], env=tool.env, check=True)
    with Client.start("fork") as client:
        client.run("echo fork >>of")
        with pytest.raises(Refused, match="does not lie on it"):
            client.commit(to="none")
        assert [change.path for change in client.commit(to="mine").changes] == [f"{tool.lower}/of"]
        assert (client.changes().total, client.run("cat of").stdout) == (0, b"mine\nfork\n")
    assert not (tool.lower / "of").exists()
    with pytest.raises(Failure, match="it lies on"):
        Client.start("mine", "-l", "/usr")


def test_async_client(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled ends its command; the connection goes on."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tool.state))
    monkeypatch.chdir(tool.lower)

    async def main() -> None:
        async with AsyncClient.start("mine", "-l", str(tool.lower)) as client:
            assert (await client.run("echo more >>a; cat a")).stdout == b"one\nmore\n"
            begun = asyncio.Event()
            task = asyncio.create_task(client.run("echo; exec sleep 60", on_output=lambda *_: begun.set()))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert [step.number for step in await client.undo()] == [1]
            assert (await client.changes()).total == 0
            assert [step.undone for step in await client.redo()] == [False]
            assert (await client.checkpoint("x")).message == (await client.log())[0].message == "x"
            with pytest.raises(Refused, match="does not lie on it"):
                await client.commit(to="none")
            assert (await client.commit(to="host")).total == 1
        with pytest.raises(Failure, match="it lies on"):
            async with AsyncClient.start("mine", "-l", "/usr"):
                pass

    asyncio.run(main())
