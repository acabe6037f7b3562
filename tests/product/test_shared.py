"""One sandbox, many commands: they join each other, and a checkpoint while they run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import ROOT, USER, Who, run
from support.sandboxes import LIMIT, Tool, wait_for

from ptoverlay.errors import Failure
from ptoverlay.options import Request
from ptoverlay.shared import guest

TRAPS = ("notify", "ptrace")
#: A program that has a file open for writing, and one mapped; it says what it wrote, step by step.
HOLDER = """
import mmap, os, sys
held = open("held", "w"); held.write("one\\n"); held.flush()
linked = os.open("linked", os.O_RDWR); os.write(linked, b"ONE")
with open("mapped", "w+b") as file:
    file.write(b"one\\n"); file.flush()
    mapped = mmap.mmap(file.fileno(), 4)
before = [os.stat(name).st_ino for name in ("held", "mapped", "linked", "also")]
print("ready", flush=True)
sys.stdin.readline()
held.write("two\\n"); held.flush(); mapped[0:3] = b"two"; os.write(linked, b"TWO")
assert before == [os.stat(name).st_ino for name in ("held", "mapped", "linked", "also")]
assert os.fstat(held.fileno()).st_ino == before[0]
print(open("held").read().split(), open("mapped").read().split(), open("also").read().split(), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(params=[ROOT, USER], ids=lambda who: who.name)
def tool(request: pytest.FixtureRequest, area: Path) -> Tool:
    who: Who = request.param
    if os.geteuid() != 0 and who.is_root:
        pytest.skip("needs root")
    tool = Tool(area, who)
    tool.sh("echo one >a")
    return tool


class Shell:
    """A shell in a sandbox, on a terminal of its own."""

    def __init__(self, tool: Tool, *words: str | Path) -> None:
        line = tool.words("run", "--name", "one", *words, "-C", tool.lower, "--", "sh", "-i")
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(tool.home)
            os.execvpe(line[0], line, {**tool.env, "PS1": "", "PS2": "", "ENV": ""})
        os.set_inheritable(self._fd, False)
        self._shown = b""
        self.says("echo $((40+2))", "42")

    def says(self, typed: str, awaited: str) -> None:
        """Types a line, and waits until the terminal shows another one."""
        self.type(typed + "\n")
        end = time.monotonic() + LIMIT
        while f"\n{awaited}\r\n".encode() not in self._shown.replace(b"\r\r", b"\r"):
            assert select.select([self._fd], [], [], max(end - time.monotonic(), 0))[0], self._shown
            self._shown += os.read(self._fd, 4096)
        self._shown = b""

    def type(self, typed: str) -> None:
        os.write(self._fd, typed.encode())

    def hang_up(self) -> None:
        os.close(self._fd)

    def end(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start(tool: Tool, script: str, *words: str | Path) -> subprocess.Popen[str]:
    """A command in the sandbox that has said "in"."""
    running = tool.start("run", "--name", "one", "-C", tool.lower, *words, "--", "sh", "-c", f"echo in; {script}")
    assert running.stdout is not None
    assert running.stdout.readline() == "in\n", running.stderr and running.stderr.read()
    return running


@pytest.mark.parametrize("trap", TRAPS)
def test_two_shells_and_an_undo(tool: Tool, trap: str) -> None:
    one = Shell(tool, "-l", tool.lower, "--trap", trap)
    two = Shell(tool, "--trap", trap)
    one.says("echo first >made; exec 9>lock; flock 9; echo $?", "0")
    two.says("cat made", "first")
    two.says("flock -n lock true || echo held", "held")
    two.says("rm a; echo $?", "0")
    one.says("ls a 2>/dev/null || echo gone", "gone")
    (row,) = tool.json("list")
    assert [command["argv"] for command in row["commands"]] == [["sh", "-i"]] * 2
    assert len(row["processes"]) == 2
    _, line, *who = tool.ok("list").splitlines()
    assert "running (2 commands, 2 processes, " in line
    assert [(int(pid), rest.split(",")[0]) for pid, rest in (text.split(None, 1) for text in who)] == [
        (command["pid"], "sh -i") for command in row["commands"]]
    shown = tool.on_terminal("list", columns=40)[1].splitlines()
    assert max(map(len, shown)) <= 40
    assert [text.split()[0] for text in shown[-2:]] == [text.split()[0] for text in who]
    # what is typed in one of them is for that one
    one.type("sleep 1000\n")
    two.type("sleep 1000\n")
    wait_for(lambda: len(tool.json("list")[0]["processes"]) == 4)
    two.type("\x03")
    two.says("echo $?", "130")
    assert len(tool.json("list")[0]["processes"]) == 3
    two.type("exit 7\n")
    assert two.end() == 7
    one.type("\x03")
    one.says("flock -n lock true || echo $?", "1")
    one.says("echo last >last; echo $?", "0")
    one.type("exit 5\n")
    assert one.end() == 5
    assert [step["status"] for step in tool.json("log", "one")] == [5, 7]
    assert not tool.json("list")[0]["running"]
    tool.ok("undo", "one")
    assert tool.box("one", "ls") == "lock\nmade\n"
    assert tool.sh("ls") == "a\n"


@pytest.mark.parametrize(("trap", "other"), [("notify", "ptrace"), ("ptrace", "notify")])
def test_sockets(tool: Tool, trap: str, other: str) -> None:
    """One command binds a name in the view, another one connects to it, and is told that name, also when the first one
    is over; the host has none."""
    server = "import socket; s = socket.socket(socket.AF_UNIX); s.bind('d/s'); s.listen();" \
             "print('bound', flush=True); c = s.accept()[0]; print(c.recv(9).decode()); c.send(b'heard')"
    client = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('d/s'); s.send(b'hello');" \
             "print(s.recv(9).decode(), flush=True); input(); print(s.getpeername())"
    one = start(tool, f'mkdir d; exec python3 -c "{server}"', "-l", tool.lower, "--trap", trap)
    assert one.stdout is not None
    assert one.stdout.readline() == "bound\n"
    two = start(tool, f'exec python3 -c "{client}"', "--trap", other)
    assert two.stdout is not None
    assert two.stdout.readline() == "heard\n"
    assert one.communicate(timeout=LIMIT) == ("hello\n", "")
    assert two.communicate("\n", timeout=LIMIT) == ("d/s\n", "")
    assert tool.sh("ls") == "a\n"


@pytest.mark.parametrize(("trap", "other"), [("notify", "notify"), ("ptrace", "notify"), ("notify", "ptrace"),
                                             ("ptrace", "ptrace")])
def test_descriptors_follow_a_copy_up_by_another_command(tool: Tool, trap: str, other: str) -> None:
    """What one command has open for reading it reads as another one writes it, and its lock holds."""
    one = start(tool, "exec 3<a 4<a; flock 4; echo locked; read x; cat <&3", "-l", tool.lower, "--trap", trap)
    assert one.stdout is not None
    assert one.stdout.readline() == "locked\n"
    two = start(tool, "echo two >>a; flock -n a true || echo held", "--trap", other, "--strict")
    assert two.communicate(timeout=LIMIT) == ("held\n", "")
    assert one.communicate("\n", timeout=LIMIT) == ("one\ntwo\n", "")
    assert tool.sh("cat a") == "one\n"


@pytest.mark.parametrize("trap", TRAPS)
def test_the_first_ends_before_the_others(tool: Tool, trap: str) -> None:
    """Its status is told at once; who goes on has what it left, and is ended by nobody's end but its own."""
    first = start(tool, "read x; echo 1 >first; exit 3", "-l", tool.lower, "--trap", trap)
    second = start(tool, "read x; cat first; echo 2 >second; exit 4", "--trap", trap)
    lost = start(tool, "sleep 1000 & echo 3 >lost; read x", "--trap", trap)
    assert first.communicate("\n", timeout=LIMIT) == ("", "")
    assert first.returncode == 3
    lost.kill()
    wait_for(lambda: len(tool.json("list")[0]["commands"]) == 1)
    (row,) = tool.json("list")
    assert [process["argv"][0] for process in row["processes"]] == ["sh"]
    assert second.communicate("\n", timeout=LIMIT) == ("1\n", "")
    assert second.returncode == 4
    lost.wait()
    assert [step["status"] for step in tool.json("log", "one")] in ([4, None, 3], [4, 3])
    assert tool.sh("ls") == "a\n"


@pytest.mark.parametrize("trap", TRAPS)
def test_the_supervisor_is_killed(tool: Tool, trap: str) -> None:
    """All that is in ends with it, and nothing goes on against the host."""
    running = [start(tool, "echo $$ >p$$; read x; echo x >a", "-l", tool.lower, "--trap", trap) for _ in range(2)]
    os.kill(tool.json("list")[0]["pid"], signal.SIGKILL)
    for each in running:
        out, err = each.communicate(timeout=LIMIT)
        assert (out, each.returncode) == ("", 125)
        assert "supervisor" in err
        assert err.count("\n") == 1
    assert tool.box("one", "cat a") == "one\n"
    assert tool.sh("cat a") == "one\n"


def test_a_supervisor_that_never_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who starts it gives up at last."""
    launched: list[Request] = []
    request = Request()
    request.argv, request.name = ["true"], "one"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(guest, "launch", launched.append)
    with pytest.raises(Failure, match="its supervisor ends before it can be entered"):
        guest.run_as_guest(request)
    assert launched == [request] * 8


def test_who_starts_it_is_killed_before_coming_in(tool: Tool) -> None:
    """Another one comes in instead, and its step is its own."""
    script = ("from ptoverlay import cli; from ptoverlay.shared.launch import launch; "
              f"launch(cli.parse(['--name', 'one', '-l', {str(tool.lower)!r}, '--', 'killed']))")
    assert run([*tool.words()[:-2], "-c", script], cwd=ROOT_DIRECTORY, env=tool.env).status == 0
    tool.box("one", "echo x >x")
    assert [step["argv"][-1] for step in tool.json("log", "one")] == ["echo x >x"]


def test_who_comes_in_after_a_kill(tool: Tool) -> None:
    """The step of who was killed comes first, though the supervisor hears of both at once."""
    killed = start(tool, "echo 1 >one; read x", "-l", tool.lower)
    host = tool.json("list")[0]["pid"]
    os.kill(host, signal.SIGSTOP)
    try:
        killed.kill()
        killed.wait(timeout=LIMIT)
        later = tool.start("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "echo 2 >two; cat one")
        wait_for(lambda: waits_for_a_socket(later.pid))
    finally:
        os.kill(host, signal.SIGCONT)
    assert later.communicate(timeout=LIMIT) == ("1\n", "")
    killed.communicate(timeout=LIMIT)
    assert [(step["argv"][-1], step["status"]) for step in tool.json("log", "one")] == [
        ("echo 2 >two; cat one", 0), ("echo in; echo 1 >one; read x", None)]


def waits_for_a_socket(pid: int) -> bool:
    try:
        fds = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # one was closed meanwhile
        return False
    return state == "S" and any(fd.startswith("socket:") for fd in fds)


def test_a_terminal_hangs_up(tool: Tool) -> None:
    one, two = Shell(tool, "-l", tool.lower), Shell(tool)
    one.hang_up()
    assert one.end() != 0  # as the shell makes of it
    wait_for(lambda: len(tool.json("list")[0]["commands"]) == 1)
    two.says("echo on >on; cat on", "on")
    two.type("exit\n")
    assert two.end() == 0


def test_what_contradicts_is_refused(tool: Tool) -> None:
    running = start(tool, "read x", "-l", tool.lower, "--hide", tool.lower / "hidden")
    assert "it lies on" in tool.fails("run", "--name", "one", "-l", tool.home, "--", "true")
    assert "it is running, with other --direct" in tool.fails("run", "--name", "one", "--direct", tool.home, "--",
                                                              "true")
    assert "it is running, with other --overlay" in tool.fails(
        "run", "--name", "one", "--overlay", f"lowerdir={tool.home},mount={tool.home}", "--", "true")
    assert tool.ok("run", "--name", "one", "--hide", tool.lower / "hidden", "--", "echo", "in") == "in\n"
    done = tool("run", "--name", "one", "--", "/nonexistent")
    assert (done.status, done.err) == (127, "ptoverlay: /nonexistent: No such file or directory\n")
    running.communicate("\n", timeout=LIMIT)
    assert tool.json("log", "one") == []


@pytest.mark.parametrize("words", [("-C", "/nonexistent", "--", "true"), ("-m", "/nonexistent", "--", "true"),
                                   ("--", "/nonexistent")], ids=["cwd", "mount", "command"])
def test_a_refused_start_leaves_nothing(tool: Tool, words: tuple[str, ...]) -> None:
    """No upper and no work directory that it made, no sandbox; and an upper that was there stays."""
    for layers in (("-u", "new"), ("run", "--name", "new")):
        done = tool(*layers, "-l", tool.lower, *words)
        assert (done.status in (125, 127), done.err.count("\n"), os.listdir(tool.home)) == (True, 1, [])
    assert tool.json("list") == []
    tool.sh("mkdir ../home/new")
    assert tool("-u", "new", "-l", tool.lower, *words).status in (125, 127)
    assert "new" in os.listdir(tool.home)


@pytest.mark.parametrize("trap", TRAPS)
def test_a_checkpoint_while_it_runs(tool: Tool, trap: str) -> None:
    """What was written until then stays a step, though programs go on writing the same files."""
    tool.sh("echo one >linked; ln linked also")
    tool.box("one", "echo x >linked; ls -l also >/dev/null; mkdir d; echo 1 >d/f")
    words = ("run", "--name", "one", "--trap", trap, "-C", tool.lower, "--")
    running = tool.start(*words, "python3", "-c", HOLDER)
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    tool.ok(*words, "sh", "-c", "echo 2 >d/f; rm a")
    assert "step" in tool.ok("checkpoint", "one")
    shown = tool.ok("log", "one")
    assert "and it goes on" in shown
    assert "killed" not in shown
    running.stdin.write("\n")
    running.stdin.flush()
    assert running.stdout.readline() == "['one', 'two'] ['two'] ['ONETWO']\n"
    assert tool.ok(*words, "cat", "held", "mapped", "d/f") == "one\ntwo\ntwo\n2\n"
    running.communicate("\n", timeout=LIMIT)
    assert running.returncode == 0
    tool.ok("undo", "one")
    assert tool.box("one", "cat held mapped linked also; ls") == "one\none\nONEONEalso\nd\nheld\nlinked\nmapped\n"
    assert tool.sh("cat a linked") == "one\none\n"


def test_a_checkpoint_from_inside(tool: Tool) -> None:
    tool.put_in_path()
    assert "step 1: here" in tool.box("one", "echo x >x; ptoverlay checkpoint -m here; echo y >y")
    assert [(step["number"], step["message"], step["status"]) for step in tool.json("log", "one")] == [
        (2, "", 0), (1, "here", None)]
    assert "inside" in tool("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c",
                            "ptoverlay run --name one -- true 2>&1; true").out


def said(tool: Tool, name: str, script: str) -> str:
    return tool.ok("run", "--name", name, "-C", tool.lower, "--", "sh", "-euc", script)


def test_a_fork_of_one_that_runs(tool: Tool) -> None:
    """It has the state of this moment; parent and child go on apart."""
    running = start(tool, "exec 5>held; echo 1 >&5; echo in; read x; echo 2 >&5; echo 3 >later; read x",
                    "-l", tool.lower)
    assert running.stdout is not None
    assert running.stdin is not None
    assert running.stdout.readline() == "in\n"
    tool.ok("fork", "one", "two")
    running.stdin.write("\n")
    running.stdin.flush()
    wait_for(lambda: "3" in tool.ok("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c", "cat later; true"))
    assert said(tool, "two", "cat held; ls; echo x >own; rm a") == "1\na\nheld\n"
    running.communicate("\n", timeout=LIMIT)
    assert said(tool, "one", "cat held; ls; echo y >own") == "1\n2\na\nheld\nlater\n"
    assert said(tool, "two", "cat held own; ls") == "1\nx\nheld\nown\n"
    assert tool.sh("ls") == "a\n"
