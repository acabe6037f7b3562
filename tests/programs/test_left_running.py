"""What CMD leaves running: the run waits for it, a terminal is told what it is, and a key or a signal ends it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import command
from support.oracle import USER, Who, as_user
from support.tool import Terminal, tool_for
from support.world import World

MakeWorld = Callable[[Who, str], World]
LIMIT = 60  # seconds


@pytest.fixture
def started(world: World) -> World:
    """With a view of a small tree."""
    world.lay_out_standard()
    return world


def words(world: World, *options: str) -> list[str]:
    """ptoverlay over the world's layers, without CMD."""
    lowers = ":".join(map(str, world.lowers))
    return [*as_user(world.who), *command(), "run", "--trap", world.trap, "-l", lowers, "-u", str(world.upper),
            "-w", str(world.work), "-m", str(world.mount), "-C", str(world.mount), *options, "--"]


def ids(path: Path) -> list[int]:
    return [int(word) for word in path.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


#: What is left, each of which writes its process id: scripts, and whether each dies of what the terminal sends.
LEFT = {
    "a daemon": "setsid sh -c 'echo $$ >>pids; exec sleep 1000' &",
    "in the background": "sh -c 'echo $$ >>pids; exec sleep 1000' &",
    "one that makes no call": "(exec sh -c 'echo $$ >>pids; while :; do :; done') &",
    "a fork that never called": "(while :; do :; done) & echo $! >>pids;",
    "one that starts others": "(while :; do sleep 0.01; done) & echo $! >>pids;",
    "one that ignores all": "(trap '' INT TERM QUIT; echo $(exec sh -c 'echo $PPID') >>pids; while :; do :; done) &",
}


@pytest.mark.parametrize("key", ["\x03", "\x1c"])
def test_a_key_ends_what_is_left(started: World, key: str) -> None:
    """All kinds at once; the status is CMD's."""
    script = f"{' '.join(LEFT.values())} while [ $(wc -l <pids) -lt {len(LEFT)} ]; do :; done; exit 3"
    terminal = Terminal([*words(started), "sh", "-c", script], started.env, started.mount)
    terminal.expect("ptoverlay: sh: ended; ", LIMIT)
    told = terminal.expect("Ctrl-C ends them", LIMIT)
    pids = ids(started.upper / "pids")
    assert len(pids) == len(LEFT)
    assert all(map(is_alive, pids))
    named = re.search(r"(.*) \((\d+)\), (.*) \((\d+)\), (.*) \((\d+)\) and (\d+) more are still running", told)
    assert named is not None, told
    assert {int(named[2]), int(named[4]), int(named[6])} < set(pids) | {int(named[2])}
    assert int(named[7]) >= len(LEFT) - 3
    terminal.send(key)
    assert terminal.end(LIMIT) == 3
    assert not any(map(is_alive, pids))


def test_it_is_told_at_once_and_by_name(started: World) -> None:
    """Within a second of CMD's end, though it would be waited for much longer."""
    terminal = Terminal([*words(started), "sh", "-c", "setsid sleep 1000 & echo $! >pid; echo done"], started.env,
                        started.mount)
    terminal.expect("done", LIMIT)
    before = time.monotonic()
    told = terminal.expect("--kill-on-exit does so at once)", LIMIT)
    assert time.monotonic() - before < 10  # on a loaded machine; 0.4 s on an idle one
    (pid,) = ids(started.upper / "pid")
    assert told.strip() == (f"ptoverlay: sh: ended; sleep 1000 ({pid}) is still running (Ctrl-C ends it, "
                            "--kill-on-exit does so at once)")
    terminal.send("\x03")
    assert terminal.end(LIMIT) == 0
    assert not is_alive(pid)


def test_the_key_that_ends_cmd_leaves_the_rest(started: World) -> None:
    """The first Ctrl-C is CMD's, the next one is for what it left."""
    script = "setsid sh -c 'echo $$ >pid; echo up; exec sleep 1000' & exec sleep 1000"
    terminal = Terminal([*words(started), "sh", "-c", script], started.env, started.mount)
    terminal.expect("up", LIMIT)   # of who is in a session of his own by then
    terminal.send("\x03")
    terminal.expect("is still running", LIMIT)
    (pid,) = ids(started.upper / "pid")
    assert is_alive(pid)
    terminal.send("\x03")
    assert terminal.end(LIMIT) == 128 + signal.SIGINT
    assert not is_alive(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_what_is_left(started: World, number: int) -> None:
    """Without any terminal, as timeout(1) and services do it."""
    script = "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! $$ >pids"
    process = subprocess.Popen([*words(started), "sh", "-c", script], env=started.env, cwd=started.mount,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    pids = started.upper / "pids"
    while not pids.exists() or len(ids(pids)) < 2 or is_alive(ids(pids)[1]):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert process.communicate(timeout=LIMIT) == (b"", b"")
    assert process.returncode == 0
    assert not is_alive(ids(pids)[0])


def test_try_asks_after_the_key(make_world: MakeWorld) -> None:
    """What goes on in the background keeps nobody from the questions."""
    world = make_world(USER, "ptrace")
    world.lay_out_standard()
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}
    lower = world.lowers[0]
    script = "echo new >new; setsid sleep 1000 & :"
    terminal = Terminal(tool_for(USER, "try", "-l", str(lower), "-C", str(lower), "--", "sh", "-c", script), env, lower)
    terminal.expect("sleep 1000 (", LIMIT)
    terminal.expect("Ctrl-C ends it", LIMIT)
    terminal.send("\x03")
    assert "added" in terminal.expect("[c,p,d,k,s,v,?] ", LIMIT)
    terminal.send("d\n")
    assert terminal.end(LIMIT) == 0
