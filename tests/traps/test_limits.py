"""Resource limits: no core reaches a layer, and each limit is what the program set.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import command
from support.oracle import USER
from support.trees import Node
from support.world import World

#: The limit of cores as children, programs and other processes of the run see it, and set it.
LIMITS = """
import os, resource as r, subprocess, sys
core = r.RLIMIT_CORE
def show(what, function, *arguments):
    try:
        print(what, function(*arguments), flush=True)
    except (OSError, ValueError) as error:
        print(what, type(error).__name__, error, flush=True)
hard = r.getrlimit(core)[1]
show("first", r.getrlimit, core)
for limits in ((0, hard), (hard, hard), (1, hard), (4096, hard), (12345678, 99999999), (5, 4), (99999999, 99999999),
               (7, 99999998), (3, 99999999), (2, 2), (0, 1), (1, 1), (0, 0), (1, 1)):
    show(f"set {limits}", r.setrlimit, core, limits)
    show(f"after {limits}", r.getrlimit, core)
    if limits[1] == 99999998:
        program = "import resource as r; print(r.getrlimit(4))"
        show("of a program", subprocess.check_output, [sys.executable, "-c", program])
        child = os.fork()
        if child == 0:
            show("of a child", r.getrlimit, core)
            os._exit(0)
        os.waitpid(child, 0)
        shell = subprocess.Popen(["sh", "-c", "read x; ulimit -Sc; ulimit -Hc"], stdin=subprocess.PIPE)
        open(f"/proc/{shell.pid}/comm").close()
        while os.readlink(f"/proc/{shell.pid}/exe") == os.readlink("/proc/self/exe"):
            pass
        show("another's", r.prlimit, shell.pid, core)
        show("another's, set", r.prlimit, shell.pid, core, (1024, 8192))
        show("another's, shown", r.prlimit, shell.pid, core)
        shell.communicate(b"x\\n")
show("nobody's", r.prlimit, 999999999, core)
show("other limits", lambda: [r.getrlimit(i) for i in (r.RLIMIT_FSIZE, r.RLIMIT_DATA, r.RLIMIT_NPROC)])
"""

#: Ways to die with a core: by a signal of its own and of others, in a child, a thread and a program.
CRASHES = """
import os, resource as r, signal, subprocess, sys, threading
unlimited = r.getrlimit(r.RLIMIT_CORE)[1]
r.setrlimit(r.RLIMIT_CORE, (unlimited, unlimited))
def die_in_a_thread():
    threading.Thread(target=os.abort).start()
    signal.pause()
def fault():
    import ctypes
    ctypes.string_at(0)
for way in (os.abort, die_in_a_thread, fault, lambda: os.kill(os.getpid(), signal.SIGQUIT),
            lambda: os.execvp("sh", ["sh", "-c", "kill -SEGV $$"])):
    child = os.fork()
    if child == 0:
        way()
    status = os.waitpid(child, 0)[1]
    print(os.WTERMSIG(status), os.WCOREDUMP(status), *sorted(n for n in os.listdir() if n != "d"), flush=True)
print(r.getrlimit(r.RLIMIT_CORE)[0] == unlimited)
"""


def _writes_files() -> bool:
    return not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "@"))


@pytest.fixture
def tree(world: World) -> World:
    """A directory with a file of the name that the kernel gives to cores."""
    world.lay_out([Node(".", "dir", 0o755), Node("core", content=b"kept"), Node("d", "dir", 0o777)])
    return world


def test_limit_of_cores(tree: World) -> None:
    """It is what the program set, in all that it starts and asks about."""
    tree.same_run([sys.executable, "-c", LIMITS])


def test_no_core(tree: World) -> None:
    """Whoever crashes however: nothing is written, over no file."""
    done = tree.box().run([sys.executable, "-c", CRASHES], env=tree.env)
    assert done.err == ""
    ends = [line.split(" ", 2) for line in done.out.splitlines()]
    assert ends[-1] == ["True"]
    assert [int(end[0]) for end in ends[:-1]] == [6, 6, 11, 3, 11]
    assert {tuple(end[1:]) for end in ends[:-1]} == {("False", "core")}
    assert (tree.mount / "core").exists() is False
    assert (tree.lowers[0] / "core").read_bytes() == b"kept"
    tree.assert_same_tree()


@pytest.mark.root_only
@pytest.mark.parametrize("trap", ["none"], indirect=True)
def test_no_core_oracle(tree: World) -> None:
    """The machine does write cores here, into the lower's place and over what is there."""
    if not _writes_files():
        pytest.skip("kernel.core_pattern names a program")
    done = tree.plain().run([sys.executable, "-c", CRASHES], env=tree.env)
    assert "6 True" in done.out


def test_no_core_inside_a_run(tree: World) -> None:
    """A run inside the run neither lifts the limit nor loses what the program set."""
    script = ("ulimit -c 8; ulimit -Sc; "
              + shlex.join([*command(), "run", "-l", str(tree.mount), "--", "sh", "-c",
                            "ulimit -Sc; ulimit -Hc; ulimit -c 4; ulimit -Sc; kill -ABRT $$"])
              + "; echo $?; ulimit -Sc; cat core")
    done = tree.box().run(["sh", "-c", script], env=tree.env)
    assert done.out.split() == ["8", "8", "8", "4", "134", "8", "kept"], done


@pytest.mark.root_only
def test_limits_of_others(tree: World) -> None:
    """The limit of a process of another user is EPERM for who may not; that of one outside of the run is not set."""
    outside = subprocess.Popen(["sleep", "60"])
    script = f"""
import os, resource as r
def show(what, *arguments):
    try:
        print(what, r.prlimit(*arguments) is not None, flush=True)
    except (OSError, ValueError) as error:
        print(what, type(error).__name__, error, flush=True)
parent = os.getpid()
if os.fork() == 0:
    os.setgroups([]); os.setgid({USER.gid}); os.setuid({USER.uid})
    show("read", parent, r.RLIMIT_CORE)
    show("set", parent, r.RLIMIT_CORE, (1, 1))
    show("raise", 0, r.RLIMIT_CORE, (1, 1))
    show("raise again", 0, r.RLIMIT_CORE, (2, 2))
    os._exit(0)
os.wait()
show("outside", {outside.pid}, r.RLIMIT_CORE)
show("outside, set", {outside.pid}, r.RLIMIT_CORE, (4096, 8192))
"""
    try:
        done = tree.box().run([sys.executable, "-c", script], env=tree.env)
        limits = Path(f"/proc/{outside.pid}/limits").read_text()
        plain = tree.plain().check([sys.executable, "-c", script], env=tree.env).splitlines()
    finally:
        outside.kill()
        outside.wait()
    found = done.out.splitlines()
    assert found[:-1] == plain[:-1]
    assert [line.split()[-2:] for line in found[:2]] == [["not", "permitted"]] * 2
    assert found[-1] == "outside, set PermissionError [Errno 1] Operation not permitted", done
    assert " 8192 " not in next(line for line in limits.splitlines() if "core" in line)
