"""Calls that are many in one: only what is known to change nothing is passed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from support.headers import named
from support.oracle import as_user, run
from support.trees import Node
from support.world import World

#: Changes through a descriptor opened for reading, and what gives descriptors: linux/fs.h, btrfs.h, fs/ext4/ext4.h,
#: xfs_fs.h, f2fs.h, msdos_fs.h, fscrypt.h, fsverity.h.  Those that stop a file system are tried by the user alone.
CHANGING = {
    "FS_IOC_SETVERSION": 0x40087602, "EXT4_IOC_SETVERSION": 0x40086604, "EXT4_IOC_SETVERSION_OLD": 0x40046604,
    "EXT4_IOC_MIGRATE": 0x6609, "EXT4_IOC_ALLOC_DA_BLKS": 0x660c, "EXT4_IOC_MOVE_EXT": 0xc028660f,
    "EXT4_IOC_SWAP_BOOT": 0x6611, "EXT4_IOC_PRECACHE_EXTENTS": 0x6612, "EXT4_IOC_CLEAR_ES_CACHE": 0x6628,
    "FS_IOC_SET_ENCRYPTION_POLICY": 0x800c6613, "FS_IOC_GET_ENCRYPTION_PWSALT": 0x40106614,
    "FS_IOC_ADD_ENCRYPTION_KEY": 0xc0506617, "FS_IOC_REMOVE_ENCRYPTION_KEY": 0xc0406618,
    "FS_IOC_ENABLE_VERITY": 0x40806685, "FS_IOC_SETFSLABEL": 0x41009432, "FIDEDUPERANGE": 0xc0189436,
    "FAT_IOCTL_SET_ATTRIBUTES": 0x40047211, "BTRFS_IOC_SNAP_CREATE": 0x50009401, "BTRFS_IOC_DEFRAG": 0x50009402,
    "BTRFS_IOC_SUBVOL_CREATE": 0x5000940e, "BTRFS_IOC_SNAP_DESTROY": 0x5000940f, "BTRFS_IOC_DEFRAG_RANGE": 0x40309410,
    "BTRFS_IOC_SUBVOL_SETFLAGS": 0x4008941a, "BTRFS_IOC_SET_RECEIVED_SUBVOL": 0xc0c89425,
    "BTRFS_IOC_SEND": 0x40489426, "F2FS_IOC_GARBAGE_COLLECT": 0x4004f506, "F2FS_IOC_SET_PIN_FILE": 0x4004f50d,
    "F2FS_IOC_RELEASE_COMPRESS_BLOCKS": 0x8008f512, "F2FS_IOC_SEC_TRIM_FILE": 0x4018f514,
    "XFS_IOC_SWAPEXT": 0xc0c0586d, "XFS_IOC_OPEN_BY_HANDLE": 0x4038586b, "XFS_IOC_ATTRMULTI_BY_HANDLE": 0x4048587b,
    "NILFS_IOCTL_CHANGE_CPMODE": 0x40106e80, "CEPH_IOC_SET_LAYOUT": 0x40289702, "never heard of": 0x40087777,
}
#: Types of ioctl that file systems have.
TYPES = (0x66, 0x76, 0x72, 0x58, 0x94, 0xf5, 0x6e, 0x97, 0xcf, 0xbc, 0x15, 0x12, 0x99, 0)
#: What may reach the kernel.
PASSED = {
    *(1, 2), 0x40049409, 0x4020940d, 0xc020660b, 0x80087601, 0x80047601, 0x80046601, 0x80086601, 0x40086602, 0x81009431,
    0x801c581f, 0x401c5820, 0x400c6615, 0xc0096616, 0xc080661a, 0x8010661b, 0xc0046686, 0xc0286687, 0x80111500,
    0x80811501, 0xc0181502, 0xc0606610, 0xc0686611, 0x80086603, 0x80046603, 0x40046629, 0xc020662a, 0x8008662c,
    0x40046602,
}

REQUESTS = """
import errno, fcntl, os, sys
def attempt(fd, request):
    try:
        fcntl.ioctl(fd, request - (1 << 32) if request >> 31 else request, bytearray(1024))
        return 0
    except OSError as error:
        return error.errno
for name in ("file", "dir", "upper"):
    fd = os.open(name, os.O_RDONLY)
    for request in eval(sys.argv[1]):
        error = attempt(fd, request)
        if error != errno.ENOTTY:
            print(name, hex(request), errno.errorcode.get(error, error))
"""


@pytest.fixture
def tree(world: World) -> World:
    """A file, a directory, and a file that the run makes itself."""
    world.lay_out([Node(".", "dir", 0o755), Node("file", content=b"lower" * 2000), Node("dir", "dir", 0o755),
                   Node("dir/x")])
    return world


def attributes(path: Path) -> tuple[bytes, ...]:
    """Generation, flags and write hint of a file on the host, where its file system has them."""
    found = []
    fd = os.open(path, os.O_RDONLY)
    try:
        for request in (0x80087601, 0x80086601):
            found.append(fcntl.ioctl(fd, request, bytes(8)))
        if path.is_file():
            found.append(fcntl.fcntl(fd, 1035, bytes(8)))
    except OSError:
        pass
    finally:
        os.close(fd)
    return tuple(found)


def script(tree: World, text: str, *arguments: str, shell: str = "exec") -> list[str]:
    """The lines of a Python program in the box, after it has made `upper`."""
    line = f'echo upper > upper; {shell} "$@"'
    return tree.box().check(["sh", "-c", line, "sh", sys.executable, "-c", text, *arguments],
                            env=tree.env).splitlines()


def test_requests_that_change(tree: World) -> None:
    """Each is refused on a file and a directory of a lower, and nothing about those is changed."""
    before = [attributes(tree.lowers[0] / name) for name in ("file", "dir")]
    assert script(tree, REQUESTS, repr(sorted(CHANGING.values()))) == []
    assert [attributes(tree.lowers[0] / name) for name in ("file", "dir")] == before


def test_requests_of_all_numbers(tree: World) -> None:
    """Whatever is not in the list is refused.  (By the user: with root's rights some stop the whole file system.)"""
    if tree.who.is_root:
        return
    sizes = "for s in (0, 0x40040000, 0x40080000, 0x80040000, 0x80080000, 0xc0180000)"
    requests = f"[t << 8 | n | s for t in {TYPES} for n in range(128) {sizes}]"
    passed = {int(line.split()[1], 16) for line in script(tree, REQUESTS, requests)}
    assert passed <= PASSED
    assert passed >= {2, 0x80086601}


def test_requests_that_change_nothing(tree: World) -> None:
    """They say in the view what they say of a plain copy: also those of terminals, sockets, devices and /proc."""
    text = """
import array, fcntl, os, pty, socket, struct, termios
def say(what, function):
    try:
        print(what, function(), flush=True)
    except OSError as error:
        print(what, error)
def ask(fd, request, size):
    return len(fcntl.ioctl(fd, request - (1 << 32) if request >> 31 else request, bytes(size)))
file, directory, (a, b) = os.open("file", os.O_RDONLY), os.open("dir", os.O_RDONLY), pty.openpty()
pipe, sock = os.pipe(), socket.socket()
for name, fd in (("file", file), ("dir", directory)):
    say(name + " FIGETBSZ", lambda: fcntl.ioctl(fd, 2, bytes(4)))
    say(name + " FIOCLEX", lambda: fcntl.ioctl(fd, 0x5451))
    say(name + " FIONREAD", lambda: fcntl.ioctl(fd, 0x541b, bytes(4)))
    say(name + " FIEMAP", lambda: ask(fd, 0xc020660b, 32))
    say(name + " TCGETS", lambda: termios.tcgetattr(fd))
    say(name + " isatty", lambda: os.isatty(fd))
    say(name + " never heard of", lambda: ask(fd, 0x40087777, 8))
say("terminal", lambda: fcntl.ioctl(a, termios.TIOCGWINSZ, bytes(8)))
say("terminal unknown", lambda: ask(a, 0x40087777, 8))
say("pipe", lambda: (os.write(pipe[1], b"abc"), fcntl.ioctl(pipe[0], 0x541b, bytes(4))))
say("pipe unknown", lambda: ask(pipe[0], 0x40087777, 8))
say("socket", lambda: fcntl.ioctl(sock, 0x8927, b"lo" + bytes(38))[:20])
say("random", lambda: ask(os.open("/dev/random", os.O_RDONLY), 0x80045200, 4))
say("null", lambda: ask(os.open("/dev/null", os.O_RDONLY), 0x40087777, 8))
say("maps", lambda: ask(os.open("/proc/self/maps", os.O_RDONLY), 0x40087777, 8))
say("closed", lambda: ask(999, 0x40087777, 8))
say("closed, of a file system", lambda: ask(999, 0x40086604, 8))
say("O_PATH", lambda: ask(os.open("file", os.O_PATH), 0x40087777, 8))
copy = os.open("copy", os.O_RDWR | os.O_CREAT, 0o644)
say("FICLONE to a descriptor for reading", lambda: fcntl.ioctl(file, 0x40049409, copy))
os.link("file", "second")
fd = os.open("second", os.O_RDONLY)
os.unlink("second")
os.unlink("file")
say("removed", lambda: ask(fd, 0x40087777, 8))
"""
    tree.same_run([sys.executable, "-c", text])


def test_commands(tree: World) -> None:
    """fcntl, prctl, keyctl, bpf, unshare: what is not known is refused as by a kernel that does not know it either."""
    text = named("fcntl", "prctl", "keyctl", "request_key", "bpf", "unshare") + """
import ctypes, errno, fcntl, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(number, *(ctypes.c_ulong(a) for a in arguments))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result
fd = os.open("file", os.O_RDONLY)
hint = ctypes.c_uint64(5)
print("hint", call(SYS_fcntl, fd, 1036, ctypes.addressof(hint)))
print("fcntl", [call(SYS_fcntl, fd, n, 0) for n in (1099, 2000, 0x7fffffff)])
print("flags", call(SYS_fcntl, fd, fcntl.F_GETFL) & os.O_ACCMODE, call(SYS_fcntl, fd, fcntl.F_DUPFD, 50),
      call(SYS_fcntl, fd, 10, 0))
print("prctl", [call(SYS_prctl, n, 0, 0, 0, 0) for n in (1000, 0x12345678, 49)])
name = ctypes.create_string_buffer(b"named")
print("name", call(SYS_prctl, 15, ctypes.addressof(name), 0, 0, 0), open("/proc/self/comm").read().strip())
print("keyctl", call(SYS_keyctl, 99))
print("request_key", call(SYS_request_key, *[ctypes.addressof(name)] * 3, 0))
print("bpf", [call(SYS_bpf, n, 0, 0) for n in (6, 7, 99)])
print("unshare", call(SYS_unshare, 1 << 40), call(SYS_unshare, 0x200))
"""
    found = script(tree, text)
    assert found == [
        "hint EINVAL", "fcntl ['EINVAL', 'EINVAL', 'EINVAL']", "flags 0 50 0", "prctl ['EINVAL', 'EINVAL', 'EINVAL']",
        "name 0 named", "keyctl ENOTSUP", "request_key ENOKEY", "bpf ['EPERM', 'EPERM', 'EPERM']",
        "unshare EINVAL 0"]
    fd = os.open(tree.lowers[0] / "file", os.O_RDONLY)
    assert struct.unpack("Q", fcntl.fcntl(fd, 1035, bytes(8))) == (0,)
    os.close(fd)


def test_leases(tree: World) -> None:
    """Who holds one is told, and can still be served: the run does not wait for it as the kernel would, for 45 s."""
    text = """
import errno, fcntl, os, signal, time
def lease(name, kind):
    fd = os.open(name, os.O_RDONLY)
    try:
        return fcntl.fcntl(fd, fcntl.F_SETLEASE, kind), fd
    except OSError as error:
        return errno.errorcode[error.errno], fd
print(lease("file", fcntl.F_WRLCK)[0], lease("file", fcntl.F_RDLCK)[0], flush=True)
os.chmod("file", 0o640)
ready, told = os.pipe(), []
if os.fork() == 0:
    signal.signal(signal.SIGIO, lambda *_: told.append(1))
    given, fd = lease("upper", fcntl.F_WRLCK)
    print(given, fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK), flush=True)
    os.write(ready[1], b"x")
    while not told:
        signal.pause()
    print(os.stat("upper").st_size, fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK), flush=True)
    os._exit(0)
os.read(ready[0], 1)
while True:
    try:
        os.truncate("upper", 3)
        break
    except InterruptedError:
        time.sleep(0.01)
print(os.stat("upper").st_size, os.WEXITSTATUS(os.wait()[1]))
"""
    assert script(tree, text) == ["EAGAIN 0", "0 0", "6 0", "3 0"]


@pytest.mark.root_only
def test_descriptors_of_fanotify(tree: World) -> None:
    """Its events come with descriptors of the lower's files: for reading, or not at all."""
    text = """
import ctypes, errno, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def init(flags, event_flags):
    fd = libc.fanotify_init(flags, event_flags)
    return fd if fd >= 0 else errno.errorcode[ctypes.get_errno()]
print(init(0, os.O_RDWR), init(0, os.O_WRONLY), init(0, 3))
print(init(4, 0), init(8, 0), init(1 << 30, 0), init(0, os.O_TRUNC))
fd = init(1, os.O_CLOEXEC)
print(libc.fanotify_mark(fd, 1, ctypes.c_ulong(0x20), -100, b"file"))
open("file").close()
event = os.read(fd, 24)
got = struct.unpack("=IBBHQii", event)[5]
print(os.read(got, 5))
try:
    os.write(got, b"x")
except OSError as error:
    print(error.strerror)
print(libc.fchmod(got, 0o600), oct(os.stat("file").st_mode))
"""
    assert script(tree, text) == ["EPERM EPERM EPERM", "EINVAL EINVAL EINVAL EINVAL", "0", "b'lower'",
                                  "Bad file descriptor", "0 0o100600"]


@pytest.mark.root_only
def test_fanotify_of_what_a_lower_has(tree: World) -> None:
    """A mark that was set before the copy-up hears of the change; one on the directory of it, too."""
    text = """
import ctypes, os, select, struct
libc = ctypes.CDLL(None, use_errno=True)
def marked(flags, mask, path):
    fd = libc.fanotify_init(3, 0)
    assert libc.fanotify_mark(fd, 1 | flags, ctypes.c_ulong(mask), -100, path) == 0
    return fd
def heard(fd):
    masks = 0
    while select.select([fd], [], [], 0)[0]:
        data = os.read(fd, 4096)
        while data:
            size, _, _, _, mask, got, _ = struct.unpack("=IBBHQii", data[:24])
            masks |= mask
            os.close(got)
            data = data[size:]
    return hex(masks)
file, directory = marked(0, 2, b"file"), marked(8, 0x08000002, b".")
os.system("echo more >>file")
print(heard(file), heard(directory))
os.system("echo more >>file")
print(heard(file), heard(directory))
"""
    assert script(tree, text) == ["0x2 0x2", "0x2 0x2"]


def test_capabilities_that_mean_nothing(tree: World) -> None:
    """On a file they are EINVAL, as natively, for who may set them; on what takes none they are not."""
    text = """
import errno, os
def set_on(path, value):
    try:
        os.setxattr(path, "security.capability", value)
        return "set"
    except OSError as error:
        return errno.errorcode[error.errno]
print(*[set_on("file", value) for value in (b"", b"x", bytes(20), bytes(8))])
"""
    path = tree.home / "native"
    path.mkdir()
    (path / "file").touch()
    os.chown(path, *tree.owner)
    os.chown(path / "file", *tree.owner)
    natively = run([*as_user(tree.who), sys.executable, "-c", text], cwd=path)
    assert script(tree, text) == natively.out.splitlines(), natively.err


def test_classes_of_fanotify(tree: World) -> None:
    """What only root may have is EPERM for others, as natively, and not unknown."""
    text = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def init(flags, event_flags):
    fd = libc.fanotify_init(flags, event_flags)
    return "some" if fd >= 0 else errno.errorcode[ctypes.get_errno()]
print(*[init(flags, 0) for flags in (0, 4, 8, 0x10, 0x200, 0x204, 0xe00)])
"""
    assert script(tree, text) == [
        "some EINVAL EINVAL some some EINVAL some" if tree.who.is_root else "EPERM EPERM EPERM EPERM some EPERM some"]


def test_descriptors_of_others(tree: World) -> None:
    """pidfd_getfd: of processes of the run, and not of others'."""
    text = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def take(pid, fd):
    found = libc.syscall(438, os.pidfd_open(pid), fd, 0)
    return os.readlink(f"/proc/self/fd/{found}") if found >= 0 else errno.errorcode[ctypes.get_errno()]
ready, release = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    os.dup2(os.open("file", os.O_RDONLY), 77)
    os.write(ready[1], b"x")
    os.read(release[0], 1)
    os._exit(0)
os.read(ready[0], 1)
print(os.path.basename(take(child, 77)), take(os.getpid(), 999), take(int(sys.argv[1]), 0), take(os.getppid(), 0))
os.write(release[1], b"x")
print(libc.syscall(438, 999, 0, 0), os.strerror(ctypes.get_errno()))
"""
    outside = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    try:
        found = script(tree, text, str(outside.pid))
    finally:
        outside.kill()
        outside.wait()
    assert found == ["file EBADF EPERM EPERM", "-1 Bad file descriptor"]


def test_dumpable(tree: World) -> None:
    """PR_GET_DUMPABLE is what was set, of threads and children too, until something else is executed."""
    text = """
import ctypes, os, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
def get():
    return libc.prctl(3, 0, 0, 0, 0)
def show(what):
    print(what, get(), flush=True)
show("first")
print(libc.prctl(4, 2, 0, 0, 0), libc.prctl(4, 99, 0, 0, 0), get())
print(libc.prctl(4, 0, 0, 0, 0), get())
thread = threading.Thread(target=show, args=["thread"])
thread.start()
thread.join()
if os.fork() == 0:
    show("child")
    if os.fork() == 0:
        show("grandchild")
        libc.prctl(4, 1, 0, 0, 0)
        show("grandchild, set")
        os._exit(0)
    os.wait()
    show("child still")
    os._exit(0)
os.wait()
subprocess.run([sys.executable, "-c", "import ctypes; print('program', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"])
show("still")
thread = threading.Thread(target=lambda: libc.prctl(4, 1, 0, 0, 0))
thread.start()
thread.join()
show("set by a thread")
libc.prctl(4, 0, 0, 0, 0)
program = "import ctypes; print('executed', ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
os.execv(sys.executable, [sys.executable, "-c", program])
"""
    tree.same_run([sys.executable, "-c", text])
