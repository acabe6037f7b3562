"""Descriptors that come from outside: what is opened again by their links is the file that they lead to.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.box import Box, traps
from support.oracle import ROOT, USER, as_user
from support.subjects import Subjects
from support.trees import Node
from support.world import World

#: With standard output opened on a lower file: each leaves the same there as it does without a view.
SCRIPTS = {
    "append": "echo a; echo b >>/dev/stdout",
    "truncate": "echo longer; echo b >/dev/stdout",
    "number": "echo a; echo b >>/dev/fd/1",
    "other number": "exec 7>&1; echo a; echo b >>/proc/self/fd/7",
    "by process": "echo a; echo b >>/proc/$$/fd/1; sh -c 'echo c >>/proc/'$$'/task/'$$'/fd/1'",
    "relative": "cd /proc/$$/fd; echo a; echo b >>1",
    "by symlink": 'ln -s /dev/stdout "$1/link"; echo a; echo b >>"$1/link"; rm "$1/link"',
    "read and write": "exec 7<>/dev/stdout; echo a; echo bcd >&7; read -r line </dev/stdout; echo $line",
    "tee": "echo a; echo b | tee -a /dev/stdout",
    "copied up": 'echo a; echo inside >>"$1/log"; echo b >>/dev/stdout; cat "$1/log" >&2',
    "removed": 'echo a; rm "$1/log"; echo inside >"$1/log"; echo b >>/dev/stdout; cat "$1/log" >&2',
    "truncate(2)": "echo longer; python3 -c 'import os; os.truncate(\"/dev/stdout\", 3)'; echo b >>/dev/stdout",
    "openat2": """python3 -c 'if True:
        import ctypes, os, struct
        def openat2(resolve):
            libc = ctypes.CDLL(None, use_errno=True)
            how = struct.pack("QQQ", os.O_WRONLY | os.O_APPEND, 0, resolve)
            fd = libc.syscall(437, -100, b"/proc/self/fd/1", how, len(how))
            return fd if fd >= 0 else -ctypes.get_errno()
        os.write(openat2(0), b"first")
        os.write(2, b"%d" % openat2(2))
    '""",
    "odd flags": """python3 -c 'if True:
        import os
        for flags in (os.O_DIRECTORY, os.O_TMPFILE, os.O_CREAT | os.O_EXCL, os.O_CREAT, os.O_NOFOLLOW, os.O_TRUNC):
            try:
                fd = os.open("/dev/fd/1", os.O_WRONLY | flags, 0o600)
                os.write(fd, b"%x " % flags)
                os.close(fd)
            except OSError as error:
                os.write(2, b"%x %d " % (flags, error.errno))
    '""",
}
#: Those that write to the view's file too, by its path: outside that is another file.
PARTED = {"copied up": "old\na\ninside\n", "removed": "inside\n"}


def _with_output(world: World, box: Box | None, directory: Path, script: str) -> tuple[str, str]:
    """What a script leaves in its standard output, a file of `directory`, and its messages."""
    log = directory / "log"
    line = ["/bin/sh", "-c", script, "sh", str(directory)]
    command: list[str] = [*as_user(world.who), *line] if box is None else box.wrap(line, Path("/"))
    with log.open("r+") as out:
        out.seek(0, os.SEEK_END)
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=world.env, text=True, timeout=60,
                              check=True)
    return log.read_text(), done.stderr


def _lay_out(world: World) -> None:
    files = [Node(name, "file", 0o644, b"old\n") for name in ("log", "file")]
    world.lay_out([Node(".", "dir", 0o755), *files])
    os.chown(world.lowers[0] / "log", *world.owner)


def _box(world: World) -> tuple[Box, Path]:
    """A view of / or of the lower, each with both traps and as both users, and where the lower is in it."""
    top = Path("/") if world.who.is_root == (world.trap == "notify") else world.lowers[0]
    return Box(world.subjects, world.who, top, [top], world.upper, world.work, trap=world.trap), world.lowers[0]


def _assert_only_log_changed(world: World) -> None:
    world.assert_lowers_untouched(ignore=["^log$"])
    world.freeze()


@pytest.mark.parametrize("what", SCRIPTS)
def test_standard_output_is_opened_again(world: World, what: str) -> None:
    """It leads to the file outside, as it does without a view; nothing else of the lower changes."""
    _lay_out(world)
    box, directory = _box(world)
    found, messages = _with_output(world, box, directory, SCRIPTS[what])
    _assert_only_log_changed(world)
    (directory / "log").write_text("old\n")
    expected, said = _with_output(world, None, directory, SCRIPTS[what])
    if what in PARTED:
        expected, said = "old\na\nb\n", PARTED[what]
    assert (found, messages) == (expected, said)
    world.freeze()


RECEIVE = """if True:
    import os, socket
    peer = socket.socket(fileno=0)
    data, fds, _, _ = socket.recv_fds(peer, 10, 2)
    writable, readable = fds
    for number, what in ((writable, b"to the writable one\\n"), (readable, b"to the readable one\\n")):
        fd = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_APPEND)
        os.write(fd, what)
"""


def test_received_descriptors_are_opened_again(world: World) -> None:
    """One that may write leads to the file outside, one that may not to the view's."""
    _lay_out(world)
    box, directory = _box(world)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs, (directory / "log").open("r+") as log, (directory / "file").open() as file:
        socket.send_fds(ours, [b"x"], [log.fileno(), file.fileno()])
        command = box.wrap(["/usr/bin/python3", "-c", RECEIVE], Path("/"))
        subprocess.run(command, stdin=theirs.fileno(), env=world.env, timeout=60, check=True)
    assert (directory / "log").read_text() == "old\nto the writable one\n"
    _assert_only_log_changed(world)
    assert box.check(["/bin/cat", directory / "file"], cwd=Path("/")) == "old\nto the readable one\n"


OTHERS = """if True:
    import os, sys
    log = f"/proc/{sys.argv[1]}/fd/{sys.argv[2]}"
    with open(log, "ab", buffering=0) as file:
        file.write(b"appended\\n")
    print(open(sys.argv[3]).read())
    os.truncate(log, 3)
    os.close(os.open(f"/proc/{sys.argv[1]}/task/{sys.argv[1]}/fd/{sys.argv[2]}", os.O_WRONLY | os.O_APPEND))
    print(open(sys.argv[3]).read())
"""


def test_descriptors_of_a_process_outside(world: World) -> None:
    """What somebody outside of the run has open for writing is not the run's: their links lead to the view's file."""
    _lay_out(world)
    box, directory = _box(world)
    world.freeze()
    with (directory / "log").open("r+") as log:
        outside = subprocess.Popen([*as_user(world.who), "sleep", "60"], pass_fds=[log.fileno()])
        try:
            line = ["/usr/bin/python3", "-c", OTHERS, str(outside.pid), str(log.fileno()), str(directory / "log")]
            assert box.check(line, cwd=Path("/")) == "old\nappended\n\nold\n"
        finally:
            outside.kill()
            outside.wait()
    world.assert_lowers_untouched()


MEMORY = """if True:
    import errno, os, signal, sys
    child = os.fork()
    if child == 0:
        signal.pause()
    for pid in (int(sys.argv[1]), os.getppid(), child, os.getpid()):
        for path in (f"/proc/{pid}/mem", f"/proc/{pid}/task/{pid}/mem"):
            try:
                os.close(os.open(path, os.O_RDWR))
                print("opens", end=" ")
            except OSError as error:
                print(errno.errorcode[error.errno], end=" ")
    os.kill(child, 9)
"""


def test_memory_of_a_process_outside(world: World) -> None:
    """It is not written: neither by who may trace the process natively nor that of the supervisor."""
    _lay_out(world)
    world.freeze()
    box, _ = _box(world)
    outside = subprocess.Popen([*as_user(world.who), "sleep", "60"])
    try:
        found = box.check(["/usr/bin/python3", "-c", MEMORY, str(outside.pid)], cwd=Path("/")).split()
    finally:
        outside.kill()
        outside.wait()
    assert found == ["EACCES"] * 4 + (["opens"] if world.trap == "notify" else ["EACCES"]) * 4


#: A thread makes the number lead now to the one, now to the other, while it is opened for writing.
FLIP = """if True:
    import os, sys, threading, time
    os.chdir(sys.argv[1])
    outside, inside, number = os.dup(1), os.open("file", os.O_RDONLY), 50
    os.dup2(outside, number)
    over = False
    def flip():
        while not over:
            os.dup2(inside, number)
            os.dup2(outside, number)
    thread = threading.Thread(target=flip)
    thread.start()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        try:
            fd = os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_APPEND)
        except OSError:
            continue
        os.write(fd, b"x")
        os.close(fd)
    over = True
    thread.join()
"""


@pytest.mark.parametrize("trap", [trap for trap in traps() if trap == "notify"], indirect=True)
def test_a_number_that_changes_meanwhile(world: World) -> None:
    """No lower file is written that was not open for writing outside.  (By ptrace the tracee opens it itself.)"""
    _lay_out(world)
    box, directory = _box(world)
    with (directory / "log").open("a") as log:
        command = box.wrap(["/usr/bin/python3", "-c", FLIP, directory], Path("/"))
        subprocess.run(command, stdout=log, env=world.env, timeout=60, check=True)
    _assert_only_log_changed(world)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes users")
def test_permission_is_the_callers(subjects: Subjects, area: Path, trap: str) -> None:
    """Who has given up root opens no file again that is root's alone."""
    path, box = _roots_file(subjects, area, trap)
    drop: Sequence[str] = as_user(USER)
    with path.open("w") as out:
        done = subprocess.run(
            box.wrap([*drop, "/bin/sh", "-c", "echo a; echo b >>/dev/stdout"], Path("/")),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (path.read_text(), "Permission denied" in done.stderr) == ("a\n", True)


def _roots_file(subjects: Subjects, area: Path, trap: str) -> tuple[Path, Box]:
    for name in ("lower", "upper", "work"):
        (area / name).mkdir()
    path = area / "lower/log"
    path.touch(mode=0o600)
    return path, Box(subjects, ROOT, area / "lower", [area / "lower"], area / "upper", area / "work", trap=trap)
