"""What the kernel checks of the caller holds for what the supervisor does for it: one test for each row of the table in
docs/semantics.rst.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.headers import named
from support.oracle import USER, run
from support.trees import FOREIGN, FOREIGN_GROUP, Node
from support.world import World

SYSCTLS = ("protected_regular", "protected_fifos", "protected_symlinks")
HIGHEST = {"protected_symlinks": 1}

# ---- limits

SIZES = """
import errno, os, resource, signal, sys
got = []
signal.signal(signal.SIGXFSZ, lambda number, frame: got.append(number))
def show(what, function, *arguments):
    got.clear()
    try:
        result = function(*arguments)
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(what, result, len(got))
print(os.stat("large").st_size)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
show("to the limit", os.truncate, "small", 4096)
show("beyond", os.truncate, "small", 4097)
show("by a link", os.truncate, "link", 1 << 40)
show("back", os.truncate, "small", 4)
show("large, less", os.truncate, "large", 9999)
show("large, the same", os.truncate, "large", 9999)
show("large, more", os.truncate, "large", 10000)
show("none", os.truncate, "none", 10000)
show("directory", os.truncate, "d", 10000)
show("foreign", os.truncate, "foreign", 10000)
outside = sys.argv[1]
open(outside, "w").write("x")
show("not covered", os.truncate, outside, 4096)
show("not covered, beyond", os.truncate, outside, 4097)
show("not covered, less", os.truncate, outside, 5)
fd = os.open("small", os.O_RDWR)
show("ftruncate", os.ftruncate, fd, 10000)
show("write", os.pwrite, fd, b"x", 4096)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGXFSZ])
show("blocked", os.truncate, "small", 10000)
print(signal.sigpending() == {signal.SIGXFSZ}, signal.sigwait([signal.SIGXFSZ]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
show("ignored", os.truncate, "small", 10000)
print({n: os.stat(n).st_size for n in ("small", "large")})
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGXFSZ])
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if os.fork() == 0:
    os.truncate("small", 10000)
    os._exit(0)
print(os.WTERMSIG(os.wait()[1]))
"""


def test_size_of_files(world: World) -> None:
    """RLIMIT_FSIZE and SIGXFSZ, for truncate(2) of what a lower has and of what was copied up."""
    world.lay_out([Node(".", "dir", 0o755), Node("small", content=b"small"), Node("large", content=b"l" * 20000),
                   Node("link", "link", target="small"), Node("d", "dir", 0o755),
                   Node("foreign", mode=0o600, owner=(FOREIGN, FOREIGN))])
    world.same_run([sys.executable, "-c", SIZES, str(world.home / "outside")])
    world.assert_same_tree()


NUMBERS = """
import errno, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
for name, flags in (("small", os.O_RDONLY), ("small", os.O_RDWR), ("new", os.O_RDWR | os.O_CREAT), (".", os.O_RDONLY)):
    got = []
    try:
        while len(got) < 30:
            got.append(os.open(name, flags, 0o644))
    except OSError as error:
        print(name, flags, max(got), errno.errorcode[error.errno])
    for fd in got:
        os.close(fd)
got = [os.open("small", os.O_RDONLY) for _ in range(20 - os.dup(0) - 1)]
for flags in (os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_TRUNC, os.O_RDWR | os.O_CREAT | os.O_EXCL):
    for name in ("small", "none", "absent/none"):
        try:
            print(name, flags, os.open(name, flags))
        except OSError as error:
            print(name, flags, errno.errorcode[error.errno])
os.close(got.pop(3))  # not the last number: one is left all the same
got.append(os.open("last", os.O_RDWR | os.O_CREAT))
print(len(got), os.stat("small").st_size, sorted(os.listdir(".")))
"""


def test_number_of_descriptors(world: World) -> None:
    """RLIMIT_NOFILE: what is handed over counts as what is opened, and is asked before a file is made or cut."""
    world.lay_out([Node(".", "dir", 0o755), Node("small", content=b"small")])
    assert world.same_run([sys.executable, "-c", NUMBERS]).out.count("EMFILE") == 13
    world.assert_same_tree()


# ---- sysctls

OWNERS = (0, USER.uid, FOREIGN)


def sticky_nodes() -> list[Node]:
    """What subjects/sticky.c looks at."""
    nodes = [Node(".", "dir", 0o755), Node("target", mode=0o666)]
    for mode in (0o1777, 0o1775, 0o777, 0o1755):
        for owner in (0, FOREIGN):
            directory = f"{mode:o}-{owner}"
            nodes.append(Node(directory, "dir", mode, owner=(owner, USER.gid)))
            for of in OWNERS:
                nodes += [Node(f"{directory}/file-{of}", mode=0o666, owner=(of, of)),
                          Node(f"{directory}/fifo-{of}", "fifo", 0o666, owner=(of, of)),
                          Node(f"{directory}/link-{of}", "link", target="../target", owner=(of, of)),
                          Node(f"{directory}/dirlink-{of}", "link", target="..", owner=(of, of))]
    return nodes


def forbidden(what: str, levels: dict[str, int], caller: int) -> bool:
    """may_create_in_sticky() and may_follow_link() in fs/namei.c."""
    path, _, how = what.partition(" ")
    directory, name = path.split("/", 1)
    mode, owner = int(directory.split("-")[0], 8), int(directory.split("-")[1])
    kind, _, of = name.rstrip("/").partition("-")
    if kind == "dirlink" and "/" in of:
        return False   # not the last component
    if not mode & 0o1000 or int(of) in (owner, caller):
        return False
    if "link" in kind:
        follows = how not in ("lstat", "exclusive", "not followed")
        return follows and mode & 0o002 != 0 and levels["protected_symlinks"] > 0
    if how not in ("create", "not followed", "beneath create"):
        return False
    level = levels["protected_regular" if kind == "file" else "protected_fifos"]
    return (mode & 0o002 != 0 and level > 0) or (mode & 0o020 != 0 and level > 1)


def sticky(world: World, levels: dict[str, int] | None, caller: int) -> dict[str, str]:
    """The subject in the box, as it is started on a machine with these levels."""
    words = world.box().wrap([str(world.subjects.path("sticky")), str(world.mount), str(caller)], world.mount)
    if levels is not None:
        mounts = []
        for name, level in levels.items():
            (world.home / name).write_text(f"{level}\n")
            mounts.append(f"mount --bind {world.home / name} /proc/sys/fs/{name}")
        words = ["unshare", "-m", "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh", *words]
    done = run(words, env=world.env)
    assert (done.status, done.err) == (0, ""), done
    return dict(line.split(" = ") for line in done.out.splitlines())


@contextmanager
def levels_of_machine(wanted: dict[str, int]) -> Iterator[dict[str, int]]:
    """Sets them where that is allowed, for so long, and gives those that hold; no other such test runs meanwhile."""
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {name: Path("/proc/sys/fs", name).read_text() for name in (*SYSCTLS, "protected_hardlinks")}
        try:
            for name, level in wanted.items():
                with suppress(OSError):
                    Path("/proc/sys/fs", name).write_text(f"{level}\n")
            yield {name: int(Path("/proc/sys/fs", name).read_text()) for name in before}
        finally:
            for name in wanted:
                with suppress(OSError):
                    Path("/proc/sys/fs", name).write_text(before[name])


def as_the_kernel(world: World, caller: int) -> dict[str, str]:
    """What the kernel answers on a plain copy, which the box has to answer too."""
    plain = world.plain().check([world.subjects.path("sticky"), world.mount, str(caller)], env=world.env)
    expected = dict(line.split(" = ") for line in plain.splitlines())
    found = sticky(world, None, caller)
    assert {k: (v, expected[k]) for k, v in found.items() if v != expected[k]} == {}
    return expected


@pytest.mark.root_only
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_sticky_directories(world: World, caller: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """fs.protected_regular, protected_fifos, protected_symlinks at each of their levels, against root too."""
    monkeypatch.setenv("PTOVERLAY_INJECT", "0")  # else the kernel is asked, with the machine's levels
    world.lay_out(sticky_nodes())
    none = sticky(world, dict.fromkeys(SYSCTLS, 0), caller)
    assert len(none) > 300
    for level in (1, 2):
        levels = dict.fromkeys(SYSCTLS, level)
        found = sticky(world, levels, caller)
        expected = {k: "-EACCES" if forbidden(k, levels, caller) else v for k, v in none.items()}
        assert {k: (v, expected[k]) for k, v in found.items() if v != expected[k]} == {}
        assert found != none


@pytest.mark.root_only
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_sticky_directories_here(world: World, caller: int) -> None:
    """The same at the levels of this machine, beside a plain copy."""
    world.lay_out(sticky_nodes())
    with levels_of_machine({}) as levels:
        expected = as_the_kernel(world, caller)
    assert [k for k, v in expected.items() if v != "-EACCES" and forbidden(k, levels, caller)] == []


@pytest.mark.root_only
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_sticky_directories_at_levels(world: World, caller: int, level: int) -> None:
    """Beside the kernel at each of them, as far as the machine lets them be set."""
    world.lay_out(sticky_nodes())
    with levels_of_machine({name: min(level, HIGHEST.get(name, 2)) for name in SYSCTLS}) as levels:
        expected = as_the_kernel(world, caller)
    assert [k for k, v in expected.items() if (v == "-EACCES") < forbidden(k, levels, caller)] == []


LINKS = """
import errno, os, sys
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
for name in sorted(os.listdir()):
    if name == "made":
        continue
    try:
        os.link(name, f"made/{name}", follow_symlinks=False)
        print(name, "linked")
    except OSError as error:
        print(name, errno.errorcode[error.errno])
"""


@pytest.mark.root_only
@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_hard_links_at_levels(world: World, caller: int, level: int) -> None:
    """fs.protected_hardlinks: what is the caller's, and what he may read and write, but for what is set-id."""
    nodes = [Node(".", "dir", 0o755), Node("made", "dir", 0o777)]
    for owner in OWNERS:
        nodes += [Node(f"{mode:o}-{owner}", mode=mode, owner=(owner, owner))
                  for mode in (0o600, 0o666, 0o444, 0o222, 0o4777, 0o2777, 0o2767, 0o4666)]
        nodes += [Node(f"fifo-{owner}", "fifo", 0o666, owner=(owner, owner)),
                  Node(f"link-{owner}", "link", target="none", owner=(owner, owner))]
    world.lay_out(nodes)
    with levels_of_machine({"protected_hardlinks": level}) as levels:
        out = world.same_run([sys.executable, "-c", LINKS, str(caller)]).out
    may = {f"{mode}-{owner}" for mode in ("666", "2767") for owner in OWNERS}
    for name, what in (line.split() for line in out.splitlines()):
        free = caller == 0 or levels["protected_hardlinks"] == 0 or name.endswith(f"-{USER.uid}") or name in may
        assert what == ("linked" if free else "EPERM"), name
    assert len(out.splitlines()) == len(nodes) - 2
    world.assert_same_tree()


# ---- capabilities

#: linux/capability.h
CAPABILITIES = {"all": -1, "chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4,
                "linux_immutable": 9, "sys_chroot": 18, "sys_admin": 21, "sys_resource": 24, "mknod": 27, "setfcap": 31}

WITHOUT = named("capget", "capset") + """
import ctypes, errno, fcntl, os, stat, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def drop(bits):
    header = struct.pack("Ii", 0x20080522, 0)
    data = ctypes.create_string_buffer(24)
    assert libc.syscall(SYS_capget, header, data) == 0
    words = list(struct.unpack("6I", data.raw))
    for at, low in ((0, 0), (3, 32)):   # effective; the permitted ones stay, for access(2)
        words[at] &= ~(bits >> low & 0xffffffff)
    assert libc.syscall(SYS_capset, header, struct.pack("6I", *words)) == 0
def show(what, function, *arguments):
    try:
        result = function(*arguments)
        if what.startswith("open"):
            os.close(result)
            result = "fd"
    except OSError as error:
        result = errno.errorcode[error.errno]
    print(name, what, result, flush=True)
def mode(path):
    return oct(os.lstat(path).st_mode)
def set_flags(path, bits):
    fd = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(fd, 0x80086601, bytes(8)))
        fcntl.ioctl(fd, 0x40086602, struct.pack("l", flags | bits))
        fcntl.ioctl(fd, 0x40086602, struct.pack("l", flags))
    finally:
        os.close(fd)
def attempts():
    show("chown to another", os.chown, "own", 1234, -1)
    show("chgrp", os.chown, "own", -1, 4321)
    show("chown of a foreign one", os.chown, "foreign", 0, 0)
    show("chmod", os.chmod, "foreign", 0o640)
    show("utime", os.utime, "foreign", (1, 1))
    show("utime now", os.utime, "foreign")
    show("open O_NOATIME", os.open, "readable", os.O_RDONLY | os.O_NOATIME)
    show("open", os.open, "secret", os.O_RDONLY)
    show("open for writing", os.open, "secret", os.O_WRONLY)
    show("open in a closed directory", os.open, "closed/x", os.O_RDONLY)
    show("list", os.listdir, "closed")
    show("make in a closed directory", os.mkdir, "closed/d")
    show("access", os.access, "secret", os.R_OK)
    show("unlink in sticky", os.unlink, "sticky/other")
    show("rename in sticky", os.rename, "sticky/second", "sticky/third")
    show("setgid", os.chmod, "grouped", 0o2755)
    show("mode of it", mode, "grouped")
    show("truncate", os.truncate, "setid", 1)
    show("mode of it", mode, "setid")
    show("open to truncate", os.open, "setid2", os.O_WRONLY | os.O_TRUNC)
    show("mode of it", mode, "setid2")
    show("open new in setgid", lambda: os.open("given/new", os.O_CREAT | os.O_WRONLY, 0o2777))
    show("mode of it", mode, "given/new")
    show("device", lambda: os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3)))
    show("fifo", os.mkfifo, "fifo")
    show("trusted", os.setxattr, "own", "trusted.x", b"x")
    show("security", os.setxattr, "own", "security.x", b"x")
    show("capability", os.setxattr, "own", "security.capability", bytes.fromhex("0000000201" + 30 * "0"))
    show("user, in sticky", os.setxattr, "sticky", "user.x", b"x")
    show("chroot", os.chroot, "/")
    show("flags, nodump", set_flags, "plain", 0x40)
    show("flags, append", set_flags, "plain", 0x20)
    show("flags, immutable", set_flags, "plain", 0x10)
    show("link to a foreign one", os.link, "unreadable", "linked")
top = os.getcwd()
for word in sys.argv[2:]:
    name, bit = word.split("=")
    if os.fork() == 0:
        os.umask(0)
        os.chdir(name)
        if sys.argv[1] != "0":
            os.setgroups([])
            os.setgid(int(sys.argv[1]))
            os.setuid(int(sys.argv[1]))
        else:
            drop((1 << 41) - 1 if bit == "-1" else 1 << int(bit))
            if name.startswith("dac"):
                drop(6)
        attempts()
        os._exit(0)
    os.wait()
"""


def tree_of(name: str) -> list[Node]:
    """What one round of attempts works on."""
    foreign, group = (FOREIGN, FOREIGN), (0, FOREIGN_GROUP)
    nodes = [Node("", "dir", 0o755), Node("own"), Node("plain"), Node("foreign", owner=foreign),
             Node("readable", mode=0o666, owner=foreign), Node("secret", mode=0, owner=foreign),
             Node("unreadable", mode=0o600, owner=foreign), Node("closed", "dir", 0o700, owner=foreign),
             Node("closed/x", owner=foreign), Node("sticky", "dir", 0o1777, owner=foreign),
             Node("sticky/other", owner=(FOREIGN + 1, 0)), Node("sticky/second", owner=(FOREIGN + 1, 0)),
             Node("grouped", owner=group), Node("setid", mode=0o6777, owner=group, content=b"setid"),
             Node("setid2", mode=0o6777, owner=group, content=b"setid"), Node("given", "dir", 0o2777, owner=group)]
    return [Node(f"{name}/{n.path}".rstrip("/"), n.kind, n.mode, n.content, owner=n.owner) for n in nodes]


@pytest.mark.root_only
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_capabilities(world: World, caller: int) -> None:
    """Each capability taken from root, and all of them by another user: owners, modes, O_NOATIME, sticky and setgid."""
    names = CAPABILITIES if caller == 0 else {"all": -1}
    world.lay_out([Node(".", "dir", 0o755), *(node for name in names for node in tree_of(name))])
    words = [f"{name}={bit}" for name, bit in names.items()]
    world.same_run([sys.executable, "-c", WITHOUT, str(caller), *words])
    world.assert_same_tree()


READS_ATTRIBUTES = """
import errno, os, sys
for name in ("open", "closed", "searched"):
    for attribute in ("user.x", "trusted.x", "security.x"):
        os.setxattr(name, attribute, b"1")
    os.chmod(name, {"open": 0o644, "closed": 0o600, "searched": 0o711}[name])
os.setxattr("link", "trusted.x", b"1", follow_symlinks=False)
os.setgroups([])
os.setgid(int(sys.argv[1]))
os.setuid(int(sys.argv[1]))
def show(what, function, *arguments, **more):
    try:
        print(what, function(*arguments, **more))
    except OSError as error:
        print(what, errno.errorcode[error.errno])
for name in ("open", "closed", "searched", "link"):
    show(f"list {name}", lambda: sorted(os.listxattr(name, follow_symlinks=False)))
    for attribute in ("user.x", "trusted.x", "security.x", "odd.x", "system.posix_acl_access"):
        show(f"{attribute} {name}", os.getxattr, name, attribute, follow_symlinks=False)
"""


@pytest.mark.root_only
@pytest.mark.parametrize("caller", [0, USER.uid], ids=["root", "user"])
def test_reading_of_attributes(world: World, caller: int) -> None:
    """user.* for who may read the file, trusted.* for CAP_SYS_ADMIN; nobody else is told that they are there."""
    world.lay_out([Node(".", "dir", 0o755), Node("open"), Node("closed"), Node("searched", "dir", 0o755),
                   Node("link", "link", target="open")])
    world.same_run([sys.executable, "-c", READS_ATTRIBUTES, str(caller)])


EXECUTES = """
import ctypes, os, subprocess, sys
prctl = ctypes.CDLL(None).prctl
CAPBSET_DROP, SET_SECUREBITS, NOROOT, DAC_OVERRIDE, DAC_READ_SEARCH = 24, 28, 1, 1, 2
def lose_bounding():
    assert prctl(CAPBSET_DROP, DAC_OVERRIDE, 0, 0, 0) == prctl(CAPBSET_DROP, DAC_READ_SEARCH, 0, 0, 0) == 0
def lose_root():
    assert prctl(SET_SECUREBITS, NOROOT, 0, 0, 0) == 0
def become_user():
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
def nothing():
    pass
def keep():
    os.setresuid(-1, 0, -1)
    os.setregid(0, -1)
    os.setuid(0)
    os.setgid(0)
def keep_and_become():
    keep()
    os.setgroups([])
    os.setresgid(-1, -1, int(sys.argv[1]))
    os.setgid(int(sys.argv[1]))
    os.setreuid(-1, int(sys.argv[1]))
    os.setreuid(os.geteuid(), os.geteuid())
os.chmod("secret", 0o600)
os.chmod("of-group", 0o040)
os.setxattr("capable", "security.capability", bytes.fromhex("0100000202000000" + 24 * "0"))
for change, program in ((nothing, "plain"), (nothing, "setuid"), (nothing, "setgid"), (nothing, "capable"),
                        (keep, "plain"), (keep, "setuid"), (keep_and_become, "plain"),
                        (lose_bounding, "plain"), (lose_root, "plain"), (become_user, "plain"), (become_user, "setgid"),
                        (become_user, "capable")):
    for name in ("secret", "of-group"):
        pid = os.fork()
        if pid == 0:
            os.stat(name)
            change()
            os.stat(name)
            os.dup2(1, 2)
            if os.fork() == 0:
                os.execv(program, ["cat", name])
            status = os.waitstatus_to_exitcode(os.wait()[1])
            if status == 0 and program == "plain":
                os.execv(program, ["cat", name])
            os._exit(status)
        print(change.__name__, program, name, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
# By a child of what has got others by its execution, of which nothing was heard before.
print(os.spawnl(os.P_WAIT, "parent", "timeout", "9", sys.executable, "-c", "open('secret')"), flush=True)
"""


@pytest.mark.root_only
def test_credentials_of_what_is_executed(world: World) -> None:
    """set-id bits, capabilities of a file, the bounding set and securebits: what a program may that is executed, and
    what a child of it."""
    cat = Path("/bin/cat").read_bytes()
    parent = Path("/usr/bin/timeout").read_bytes()
    group = (0, FOREIGN_GROUP)
    world.lay_out([Node(".", "dir", 0o755), Node("secret", mode=0o400, content=b"secret\n"),
                   Node("of-group", mode=0, content=b"of a group\n", owner=(FOREIGN, FOREIGN_GROUP)),
                   Node("plain", mode=0o755, content=cat), Node("capable", mode=0o755, content=cat),
                   Node("setuid", mode=0o4755, content=cat, owner=(USER.uid, USER.gid)),
                   Node("parent", mode=0o4755, content=parent, owner=(USER.uid, USER.gid)),
                   Node("setgid", mode=0o2755, content=cat, owner=group)])
    world.same_run([sys.executable, "-c", EXECUTES, str(USER.uid)])
    world.assert_same_tree()


# ---- sockets

BIND = """
import ctypes, errno, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def bind(what, fd, path, length=None):
    address = struct.pack("H", socket.AF_UNIX) + path
    length = len(address) + 1 if length is None else length
    result = libc.bind(fd, address.ljust(110, b"\\0"), length)
    print(what, result and errno.errorcode[ctypes.get_errno()], sorted(os.listdir()), flush=True)
for name, (family, kind) in {"tcp": (2, 1), "udp": (2, 2), "tcp6": (10, 1), "netlink": (16, 3)}.items():
    for path in (b"file", b"new", b"d/new", b"file/new", b"none/new", b"d"):
        for length in (None, 110):
            bind(f"{name} {path} {length}", socket.socket(family, kind).fileno(), path, length)
bind("file", os.open("file", os.O_RDONLY), b"new")
bind("directory", os.open("d", os.O_RDONLY), b"file")
bind("pipe", os.pipe()[1], b"new")
bind("closed", 999, b"new")
bind("closed, a name that is there", 999, b"file")
bind("unix", socket.socket(socket.AF_UNIX).fileno(), b"d/made")
bind("unix, there", socket.socket(socket.AF_UNIX).fileno(), b"file")
"""


def test_bind_of_other_families(world: World) -> None:
    """A path given to what is no socket of its family: as without us, and nothing is made."""
    world.lay_out([Node(".", "dir", 0o755), Node("file"), Node("d", "dir", 0o755)])
    world.same_run([sys.executable, "-c", BIND])
    world.assert_same_tree()
