"""Descriptors of a lower file lead to the upper's copy once there is one: rows 40 and 43 of the seed's table.

Every script runs on the kernel's overlayfs too and has to print the same there.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable

import pytest
from support.box import in_front
from support.oracle import Done, Who, run
from support.world import World

PYTHON = os.path.realpath(sys.executable)
LARGE = 8 << 20
PIDFD_GETFD = 438
KCMP = 312 if platform.machine() == "x86_64" else 272

#: What all scripts begin with.
PRELUDE = """
import ctypes, fcntl, mmap, os, resource, select, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def write(name="file", text=b"new"):
    fd = os.open(name, os.O_WRONLY | os.O_APPEND)
    os.write(fd, text)
    os.close(fd)

def locked(take, *arguments):
    try:
        take(*arguments)
    except OSError as error:
        return type(error).__name__
    return "locked"

def range_lock(fd, kind, command, start=0, length=0):
    fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))

class Child:
    '''A process that does each thing when it is told to, and sends the result.'''
    def __init__(self, act, stages=1):
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            for stage in range(stages):
                if not theirs.recv(1):
                    break
                theirs.send(repr(act(stage)).encode())
            os._exit(0)
    def tell(self):
        self.ours.send(b"x")
    def told(self):
        return self.ours.recv(1000).decode()
    def ask(self):
        self.tell()
        return self.told()
"""

#: Nobody waits for who sleeps uninterruptibly, as in vfork(2): its locks are held for it.
WAITS = """
flock, ofd = os.open("file", os.O_RDONLY), os.open("linked", os.O_RDONLY)
fcntl.flock(flock, fcntl.LOCK_EX)
range_lock(ofd, fcntl.F_RDLCK, fcntl.F_OFD_SETLK, 1, 2)
os.lseek(flock, 2, os.SEEK_SET)
CLONE, CLONE_VFORK = (56 if os.uname().machine == "x86_64" else 220), 0x4000
def child(act):
    pid = libc.syscall(CLONE, CLONE_VFORK | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        act()
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)
def tries():
    os.close(flock)
    os.close(ofd)
    for name in ("file", "linked"):
        write(name)
        fd = os.open(name, os.O_RDWR)
        print(name, locked(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
              locked(range_lock, fd, fcntl.F_WRLCK, fcntl.F_OFD_SETLK))
child(tries)
print(os.read(flock, 100))
fcntl.flock(flock, fcntl.LOCK_UN)
fd = os.open("file", os.O_RDONLY)
print(locked(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB))
"""

SCRIPTS = {
    "the same process": """
fd = os.open("file", os.O_RDONLY)
write()
print(os.read(fd, 100), os.fstat(fd).st_size == os.stat("file").st_size)
""",
    "position and flags": """
fd = os.open("file", os.O_RDONLY | os.O_NONBLOCK)
os.set_inheritable(fd, True)
other = os.open("file", os.O_RDONLY)
os.read(fd, 2)
write()
print(fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_ACCMODE))
print(os.get_inheritable(fd), os.get_inheritable(other))
print(os.lseek(fd, 0, os.SEEK_CUR), os.read(fd, 100), os.read(other, 100))
""",
    "duplicates share a position": """
fd = os.open("file", os.O_RDONLY)
twin, other = os.dup(fd), os.open("file", os.O_RDONLY)
os.read(fd, 1)
write()
print(os.read(fd, 2), os.read(twin, 100), os.lseek(fd, 0, os.SEEK_CUR), os.lseek(other, 0, os.SEEK_CUR))
""",
    "parent and child share a position": """
fd = os.open("file", os.O_RDONLY)
os.read(fd, 1)
child = Child(lambda stage: os.read(fd, 2))
write()
print(child.ask(), os.read(fd, 100))
""",
    "the child writes": """
fd = os.open("file", os.O_RDONLY)
os.read(fd, 1)
child = Child(lambda stage: write())
print(child.ask(), os.read(fd, 100))
""",
    "another process follows the file": """
def follow(stage):
    global fd
    if stage == 0:
        fd = os.open("file", os.O_RDONLY)
    return os.read(fd, 100)
readers = [Child(follow, 3) for i in range(3)]
print([reader.ask() for reader in readers])
write()
print([reader.ask() for reader in readers])
write(text=b"newer")
print([reader.ask() for reader in readers])
""",
    "over an execve": """
fd = os.open("file", os.O_RDONLY)
os.set_inheritable(fd, True)
os.read(fd, 2)
sys.stdout.flush()
os.execv("/bin/sh", ["sh", "-c", f"echo new >>file; cat <&{fd}"])
""",
    "a shell reads what it appends to": """
sys.stdout.flush()
os.execv("/bin/sh", ["sh", "-c", '''
n=0
while read line; do
    n=$((n + 1)); echo "$line"
    test $n -ge 5 || echo "line $n" >>file
done <file
cat file
'''])
""",
    "truncated": """
fd = os.open("file", os.O_RDONLY)
os.close(os.open("file", os.O_WRONLY | os.O_TRUNC))
print(os.pread(fd, 100, 0), os.fstat(fd).st_size)
write()
print(os.pread(fd, 100, 0))
""",
    "the mode is changed first": """
fds = [os.open("file", os.O_RDONLY)]
os.chmod("file", 0)
os.chmod("file", 0o644)
fds.append(os.open("file", os.O_RDONLY))
write()
print([os.pread(fd, 100, 0) for fd in fds])
""",
    "another name of the file": """
fd = os.open("linked", os.O_RDONLY)
write("link")
print(os.read(fd, 100), os.fstat(fd).st_ino == os.stat("link").st_ino)
""",
    "a name that is removed": """
fd = os.open("file", os.O_RDONLY)
write()
os.unlink("file")
print(os.read(fd, 100))
""",
    "renamed": """
fd = os.open("file", os.O_RDONLY)
os.rename("file", "dir/moved")
write("dir/moved")
print(os.read(fd, 100))
""",
    "below a directory that was renamed": """
fd = os.open("dir/inner", os.O_RDONLY)
os.rename("dir", "moved")
write("moved/inner")
print(os.read(fd, 100))
""",
    "opened by another name of /proc": """
first = os.open("file", os.O_PATH)
fd = os.open(f"/proc/self/fd/{first}", os.O_RDONLY)
write()
print(os.read(fd, 100))
""",
    "a mapping stays what it was": """
fd = os.open("file", os.O_RDONLY)
old = mmap.mmap(fd, 4, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
with open("file", "r+b") as file:
    file.write(b"NEW")
print(old[:], os.read(fd, 100))
""",
    "more than are replaced at a time": """
fds = [os.open("file", os.O_RDONLY) for i in range(100)]
write()
print({os.read(fd, 100) for fd in fds})
""",
    "threads": """
fd, (waits, go) = os.open("file", os.O_RDONLY), os.pipe()
results = []
def read_later():
    os.read(waits, 1)
    results.append(os.pread(fd, 100, 0))
readers = [threading.Thread(target=read_later) for i in range(4)]
writer = threading.Thread(target=write)
for thread in [*readers, writer]:
    thread.start()
writer.join()
os.write(go, b"xxxx")
for thread in readers:
    thread.join()
print(results)
""",
    "a thread that computes": """
fd, done = os.open("file", os.O_RDONLY), False
def spin():
    n = 0
    while not done:
        n += 1
thread = threading.Thread(target=spin)
thread.start()
child = Child(lambda stage: write())
child.ask()
print(os.read(fd, 100))
done = True
thread.join()
""",
    "a large file": f"""
fds = [os.open("large", os.O_RDONLY) for i in range(2)]
child = Child(lambda stage: os.pread(fds[1], 10, {LARGE}))
write("large")
print(os.pread(fds[0], 10, {LARGE}), child.ask())
""",
    "opened while it is copied up": f"""
def opens(stage):
    global fds
    if stage == 0:
        fds = []
        while len(fds) < 50:
            fds.append(os.open("large", os.O_RDONLY))
    return {{os.pread(fd, 10, {LARGE} + 3) for fd in fds}} if stage else None
readers = [Child(opens, 2) for i in range(4)]
for reader in readers:
    reader.tell()
write("large", b"one")
for reader in readers:
    reader.told()
write("large", b"two")
print([reader.ask() for reader in readers])
""",
    "flock": """
fd = os.open("file", os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_SH)
other = os.open("file", os.O_RDWR)
print([locked(fcntl.flock, other, kind | fcntl.LOCK_NB) for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH)])
fcntl.flock(fd, fcntl.LOCK_UN)
print(locked(fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB))
""",
    "flock of another process": """
def hold(stage):
    global fd
    if stage == 0:
        fd = os.open("file", os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
    else:
        os.close(fd)
holder = Child(hold, 2)
holder.ask()
fd = os.open("file", os.O_RDWR)
print(locked(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB))
holder.ask()
print(locked(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB))
""",
    "flock that is waited for": """
fd = os.open("file", os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
def wait(stage):
    other = os.open("file", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    return os.read(other, 100)
waiter = Child(wait)
waiter.tell()
print(select.select([waiter.ours], [], [], 0.3)[0])
fcntl.flock(fd, fcntl.LOCK_UN)
print(waiter.told())
""",
    "locks of the description": """
fd = os.open("file", os.O_RDONLY)
range_lock(fd, fcntl.F_RDLCK, 37, 1, 2)
other = os.open("file", os.O_RDWR)
print([locked(range_lock, other, fcntl.F_WRLCK, 37, start, 1) for start in range(5)])
os.close(fd)
print(locked(range_lock, other, fcntl.F_WRLCK, 37, 0, 0))
""",
    "locks of the process": """
def hold(stage):
    global fd
    if stage == 0:
        fd = os.open("file", os.O_RDONLY)
        range_lock(fd, fcntl.F_RDLCK, fcntl.F_SETLK, 1, 2)
    else:
        os.close(fd)
holder = Child(hold, 2)
holder.ask()
fd = os.open("file", os.O_RDWR)
print([locked(range_lock, fd, fcntl.F_WRLCK, fcntl.F_SETLK, start, 1) for start in range(5)])
holder.ask()
print(locked(range_lock, fd, fcntl.F_WRLCK, fcntl.F_SETLK))
""",
    "locks of the process that writes": """
fd = os.open("file", os.O_RDONLY)
range_lock(fd, fcntl.F_RDLCK, fcntl.F_SETLK, 1, 2)
keep = os.open("file", os.O_RDWR)
def other(stage):
    mine = os.open("file", os.O_RDWR)
    return [locked(range_lock, mine, fcntl.F_WRLCK, fcntl.F_SETLK, start, 1) for start in range(5)]
print(Child(other).ask())
""",
    "calls that wait go on": """
fd = os.open("file", os.O_RDONLY)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
signal.siginterrupt(signal.SIGUSR1, True)
pipe, _ = os.pipe()
def raw(call, *arguments):
    return call(*arguments), ctypes.get_errno()
waits = [
    lambda: raw(libc.usleep, 600000),
    lambda: raw(libc.poll, None, 0, 600),
    lambda: raw(libc.select, 0, None, None, None, (ctypes.c_long * 2)(0, 600000)),
    lambda: raw(libc.epoll_wait, libc.epoll_create1(0), ctypes.create_string_buffer(12), 1, 600),
    lambda: raw(libc.sigtimedwait, ctypes.create_string_buffer(128), None, (ctypes.c_long * 2)(0, 600000000)),
]
def wait(i):
    start = time.monotonic()
    result = waits[i]()
    return result, 0.6 <= time.monotonic() - start < 5, os.pread(fd, 100, 0)
children = [Child(lambda stage, i=i: wait(i)) for i in range(len(waits))]
for child in children:
    child.tell()
print(select.select([child.ours for child in children], [], [], 0.3)[0])
write()
for child in children:
    print(child.told())
""",
    "sigsuspend goes on": """
fd = os.open("file", os.O_RDONLY)
signal.signal(signal.SIGUSR1, lambda number, frame: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
none = ctypes.create_string_buffer(128)
child = Child(lambda stage: (libc.sigsuspend(none), ctypes.get_errno(), os.pread(fd, 100, 0)))
child.tell()
print(select.select([child.ours], [], [], 0.3)[0])
write()
print(select.select([child.ours], [], [], 0.3)[0])
os.kill(child.pid, signal.SIGUSR1)
print(child.told())
""",
    "reads that wait go on": """
fd = os.open("file", os.O_RDONLY)
pipe, end = os.pipe()
child = Child(lambda stage: (os.read(pipe, 10), os.pread(fd, 100, 0)))
child.tell()
print(select.select([child.ours], [], [], 0.3)[0])
write()
os.write(end, b"data")
print(child.told())
""",
    "a signal still interrupts": """
fd = os.open("file", os.O_RDONLY)
def wait(stage):
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.6)
    result = libc.usleep(5000000), ctypes.get_errno()
    return result, os.read(fd, 100)
child = Child(wait)
child.tell()
print(select.select([child.ours], [], [], 0.3)[0])
write()
print(child.told())
""",
    "a stopped process": """
fd = os.open("file", os.O_RDONLY)
child = Child(lambda stage: os.read(fd, 100))
os.kill(child.pid, signal.SIGSTOP)
os.waitpid(child.pid, os.WUNTRACED)
write()
print(open(f"/proc/{child.pid}/stat").read().split()[2] in "tT")
child.tell()
print(select.select([child.ours], [], [], 0.3)[0])
os.kill(child.pid, signal.SIGCONT)
print(child.told())
""",
    "a parent in vfork": """
fd = os.open("file", os.O_RDONLY)
pid = os.posix_spawn("/bin/echo", ["echo", "new"], {},
                     file_actions=[(os.POSIX_SPAWN_OPEN, 1, "file", os.O_WRONLY | os.O_APPEND, 0)])
os.waitpid(pid, 0)
print(os.read(fd, 100))
""",
    "two that copy up at a time": """
fds = {name: [os.open(name, os.O_RDONLY) for i in range(2)] for name in ("file", "dir/inner")}
children = [Child(lambda stage, name=name: write(name), 1) for name in fds]
for child in children:
    child.tell()
for child in children:
    child.told()
print([os.read(fd, 100) for both in fds.values() for fd in both])
""",
}


@pytest.fixture
def files(make_world: Callable[[Who, str], World], who: Who, trap: str) -> World:
    """A lower with a file of two names, one in a directory, and a large one."""
    world = make_world(who, trap)
    lower = world.add_lower()
    (lower / "dir").mkdir()
    (lower / "file").write_text("old\n")
    (lower / "dir/inner").write_text("old\n")
    (lower / "linked").write_text("old\n")
    (lower / "link").hardlink_to(lower / "linked")
    (lower / "large").write_bytes(bytes(LARGE))
    for path in (lower, *lower.rglob("*")):
        os.chown(path, *world.owner)
    world.freeze()
    return world


def script_command(script: str) -> list[str]:
    """Runs it after the prelude."""
    return [PYTHON, "-c", PRELUDE + script]


@pytest.mark.parametrize("name", SCRIPTS)
def test_as_the_kernel(files: World, name: str) -> None:
    """What descriptors show that were opened before a copy-up, and what locks that were taken before it keep out."""
    command = script_command(SCRIPTS[name])
    expected = files.kernel().check(command, env=files.env)
    assert files.box().check(command, env=files.env, timeout=60) == expected


def test_locks_of_who_is_not_waited_for(files: World) -> None:
    """They keep others out all the while."""
    command = script_command(WAITS)
    expected = files.kernel().check(command, env=files.env)
    assert files.box().check(command, env=files.env, timeout=60) == expected


def in_container(files: World, command: list[str], *options: str) -> Done:
    """Where a profile refuses pidfd_getfd(2) and kcmp(2), as Docker's."""
    wrapped = files.box(*options).wrap(command, files.mount)
    profile = [str(files.subjects.path("forbid")), f"{PIDFD_GETFD}=1,{KCMP}=1"]
    return run(in_front(files.who, wrapped, profile), env=files.env, timeout=60)


@pytest.mark.heavy
@pytest.mark.parametrize("name", [
    "position and flags", "duplicates share a position", "parent and child share a position",
    "another process follows the file",
    "over an execve", "more than are replaced at a time", "flock", "locks of the description", "locks of the process",
    "calls that wait go on", "a stopped process", "a parent in vfork", "two that copy up at a time"])
def test_where_containers_refuse_copies(files: World, name: str) -> None:
    """The same there: processes hand their descriptors over."""
    command = script_command(SCRIPTS[name])
    expected = files.kernel().check(command, env=files.env)
    done = in_container(files, command, "--strict")
    assert (done.status, done.out) == (0, expected), done.err


#: Why a process keeps its descriptors of the lower file.
STUBBORN = {
    "filters of its own": """
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
allow = struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW
assert libc.prctl(22, 2, ctypes.byref(Filter(1, allow)), 0, 0) == 0  # PR_SET_SECCOMP
""",
    "another network": """
assert libc.unshare(0x40000000) == 0  # CLONE_NEWNET
""",
    "no room": """
resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
""",
}


def stubborn(reason: str) -> list[str]:
    """A process that keeps a descriptor, and one that writes the file; what the first one reads is printed."""
    return script_command("""
fd = os.open("file", os.O_RDONLY)
def act(stage):
    if stage == 0:
        become_stubborn()
    return os.read(fd, 100)
def become_stubborn():
""" + "".join(f"    {line}\n" for line in STUBBORN[reason].strip().splitlines()) + """
reader = Child(act, 2)
os.close(fd)
first = reader.ask()
write()
print(first, reader.ask())
""")


@pytest.mark.parametrize("reason", ["filters of its own", "no room"])
def test_left_is_counted(files: World, reason: str) -> None:
    """A descriptor that cannot be replaced stays what it was, and is counted."""
    done = files.box("--stats").run(stubborn(reason), env=files.env)
    assert (done.status, done.out) == (0, "b'old\\n' b''\n"), done.err
    assert re.search(r"^0 open descriptors replaced at copy-ups, 1 left with the lower file$", done.err, re.M), done.err


def test_left_when_strict(files: World) -> None:
    """With --strict the one who writes is killed, before it has written."""
    done = files.box("--strict").run(stubborn("no room"), env=files.env)
    assert (done.status, done.out) == (128 + 9, ""), done.err
    assert "a descriptor of the lower file could not be replaced" in done.err


@pytest.mark.root_only
def test_left_in_a_container(files: World) -> None:
    """In another network namespace a process cannot hand its descriptors over: it is counted."""
    done = in_container(files, stubborn("another network"), "--stats")
    assert (done.status, done.out) == (0, "b'old\\n' b''\n"), done.err
    assert re.search(r"^0 open descriptors replaced at copy-ups, 1 left with the lower file$", done.err, re.M), done.err


@pytest.mark.root_only
def test_left_in_a_container_when_strict(files: World) -> None:
    done = in_container(files, stubborn("another network"), "--strict")
    assert (done.status, done.out) == (128 + 9, ""), done.err
    assert "a descriptor of the lower file could not be replaced" in done.err


def test_replaced_are_counted(files: World) -> None:
    """Each descriptor is counted, and a file that nobody has open costs nothing."""
    script = """
fds = [os.open("file", os.O_RDONLY) for i in range(3)]
os.close(os.open("linked", os.O_RDONLY))
write("dir/inner")
write("linked")
write()
"""
    done = files.box("--stats").run(script_command(script), env=files.env)
    assert re.search(r"^3 open descriptors replaced at copy-ups, 0 left", done.err, re.M), done.err


def test_descriptors_that_were_there_before(files: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input, from a lower file."""
    monkeypatch.setenv("PTOVERLAY_INJECT", "0")  # else the lower would be bound elsewhere meanwhile
    shell = ["/bin/sh", "-c", f"cd {files.lowers[0]} && exec \"$@\" <file", "sh"]
    command = files.box("-m", str(files.lowers[0])).wrap(
        ["/bin/sh", "-c", "echo new >>file; cat"], files.lowers[0])
    done = run([*shell, *command], env=files.env)
    assert (done.status, done.out) == (0, "old\nnew\n"), done.err


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the program is written for x86-64")
def test_restartable_sequences(files: World) -> None:
    """A process that is interrupted in one (rseq(2)) to replace a descriptor begins it anew."""
    program = files.subjects.path("sequence")
    assert files.box().check([program, files.mount / "file"], timeout=20) == "0 0\n"


def test_supervisor_keeps_nothing(files: World) -> None:
    """After fifty copy-ups it has as many descriptors as before."""
    names = [f"many-{i}" for i in range(50)]
    for name in names:
        (files.lowers[0] / name).write_text("old")
        os.chown(files.lowers[0] / name, *files.owner)
    files.freeze()
    script = f"""
count = lambda: len(os.listdir(f"/proc/{{os.getppid()}}/fd"))
fds = [os.open("file", os.O_RDONLY), os.open("dir/inner", os.O_RDONLY)]
write()
before = count()
for name in {names!r}:
    fds.append(os.open(name, os.O_RDONLY))
    write(name)
write("dir/inner")
print(count() - before, {{os.read(fd, 100) for fd in fds[2:]}})
"""
    assert files.box().check(script_command(script), env=files.env) == "0 {b'oldnew'}\n"
