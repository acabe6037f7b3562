"""--direct, --read-only, --hide: what they show, and what they keep from being changed.

A read-only place that no overlay covers is compared with a read-only mount of the kernel.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.box import command
from support.oracle import as_user, run
from support.trees import Node
from support.world import World

#: Tries each way to change things at the paths given and prints its errno: what = 0 or errno.
CHANGES = """
import os, socket, sys
def tell(what, call, *args, **more):
    try:
        call(*args, **more)
        print(what, '=', 0)
    except OSError as error:
        print(what, '=', error.errno)
top, file, beside = sys.argv[1:]
held = os.open(file, os.O_RDONLY)
new = top + '/new'
tell('mkdir', os.mkdir, new)
tell('create', os.open, new, os.O_CREAT | os.O_WRONLY)
tell('tmpfile', os.open, top, os.O_TMPFILE | os.O_WRONLY)
tell('mknod', os.mknod, new)
tell('symlink', os.symlink, 'x', new)
tell('bind', socket.socket(socket.AF_UNIX).bind, new)
tell('rename', os.rename, file, new)
tell('link', os.link, file, new)
tell('link from', os.link, beside, new)
tell('rename into', os.rename, beside, new)
tell('rename out', os.rename, file, beside)
tell('unlink', os.unlink, file)
tell('rmdir', os.rmdir, top)
tell('chmod', os.chmod, file, 0o604)
tell('fchmod', os.fchmod, held, 0o604)
tell('chown', os.chown, file, os.getuid(), -1)
tell('utime', os.utime, file)
tell('setxattr', os.setxattr, file, 'user.x', b'')
tell('truncate', os.truncate, file, 0)
tell('write', os.open, file, os.O_WRONLY)
tell('append', os.open, file, os.O_RDWR | os.O_APPEND)
tell('absent', os.unlink, new)
tell('existing', os.mkdir, top)
tell('read', os.open, file, os.O_RDONLY | os.O_CREAT)
tell('access', lambda: os.access(file, os.W_OK) and print('writable'))
"""
READ = {"existing": str(errno.EEXIST), "read": "0", "access": "0"}


def _changes(world: World, top: Path, options: Sequence[str]) -> dict[str, str]:
    """What CHANGES prints about top/file, with a file beside that is the user's."""
    beside = world.mount.parent / "beside"
    beside.write_text("beside")
    os.chown(beside, *world.owner)
    command: list[str | Path] = ["/usr/bin/python3", "-c", CHANGES, top, top / "file", beside]
    found = world.box(*options).check(command, env=world.env)
    return dict(line.split(" = ") for line in found.splitlines())


def test_read_only_place_of_the_host(world: World) -> None:
    """Nothing below a read-only place can be changed, also where no overlay covers it."""
    world.lay_out_standard()
    place = world.mount.parent / "place"
    place.mkdir()
    (place / "file").write_text("file")
    for path in (place, place / "file"):
        os.chown(path, *world.owner)
    before = world.raw_snapshot(place)
    found = _changes(world, place, ["--read-only", str(place)])
    assert found == dict.fromkeys(found, str(errno.EROFS)) | READ
    assert world.raw_snapshot(place) == before


def test_read_only_place_of_the_view(world: World) -> None:
    """Nor where an overlay does."""
    world.lay_out([Node("place", "dir", 0o755), Node("place/file", content=b"file"), Node("other")])
    place = world.mount / "place"
    found = _changes(world, place, ["--read-only", str(place)])
    between = {"link from": str(errno.EXDEV), "rename into": str(errno.EXDEV), "rename out": str(errno.EXDEV)}
    assert found == dict.fromkeys(found, str(errno.EROFS)) | READ | between
    assert list(world.upper.iterdir()) == []


def test_the_hosts_devices_stay(world: World) -> None:
    """What root does to all of "/" takes no device away, and changes none's mode; they are written through."""
    world.lay_out_standard()
    script = """
        chmod 666 /dev/null && echo changed
        mknod /dev/ptoverlay-test p && echo made
        echo text >/dev/null && echo written
        : >/dev/shm/ptoverlay-test-$$ && rm /dev/shm/ptoverlay-test-$$ && echo shared
    """
    found = world.box("--stats").run(["sh", "-c", script], env=world.env)
    assert found.out.split() == ["written", "shared"], found.err
    assert "Operation not permitted" in found.err
    assert " 2 calls refused" in found.err
    assert not Path("/dev/ptoverlay-test").exists()


#: What proc and sysfs do for nobody: names made, moved and removed, attributes that they do not know.
IMPOSSIBLE = r"""
import errno, json, os, sys
found = {}
def tell(what, call, *args, **more):
    try:
        call(*args, **more)
        found[what] = "ok"
    except OSError as error:
        found[what] = errno.errorcode[error.errno]
for top, name in (("/proc", "version"), ("/proc/self", "comm"), ("/proc/self", "ns"), ("/proc/sys/kernel", "hostname"),
                  ("/sys", "power"), ("/sys/kernel", "uevent_seqnum"), ("/sys/kernel", "absent")):
    new, file = f"{top}/new", f"{top}/{name}"
    for path in (new, file):
        tell(f"mkdir {path}", os.mkdir, path)
        tell(f"mknod {path}", os.mknod, path)
        tell(f"create {path}", os.open, path, os.O_RDONLY | os.O_CREAT | os.O_EXCL)
        tell(f"symlink {path}", os.symlink, "x", path)
        for at in sys.argv[1:]:
            tell(f"link {at} {path}", os.link, at, path)
            tell(f"rename {at} {path}", os.rename, at, path)
        tell(f"link in {path}", os.link, path, new)
        tell(f"unlink {path}", os.unlink, path)
        tell(f"rmdir {path}", os.rmdir, path) if name not in ("ns", "power") else None
        tell(f"rename {path}", os.rename, path, new)
        tell(f"tmpfile {path}", os.open, path, os.O_RDWR | os.O_TMPFILE)
        tell(f"setxattr {path}", os.setxattr, path, "user.x", b"1")
        tell(f"removexattr {path}", os.removexattr, path, "user.x")
        tell(f"setxattr odd {path}", os.setxattr, path, "odd.x", b"1")
for file in ("/proc/self/comm", "/sys/kernel/uevent_seqnum"):
    fd = os.open(file, os.O_RDONLY)
    tell(f"fsetxattr {file}", os.setxattr, fd, "user.x", b"1")
tell("trusted", os.setxattr, "/proc/self/comm", "trusted.x", b"1")
for value in (b"x", bytes(20), bytes(24), b"\1\0\0\3" + bytes(16), b"\0\0\0\2" + bytes(20)):
    for file in ("/sys/kernel/uevent_seqnum", "/proc/self/comm"):
        tell(f"capability {value} {file}", os.setxattr, file, "security.capability", value)
if os.geteuid():
    for file in ("/proc/1/comm", "/proc/version", "/proc/sys/kernel/hostname", "/sys/kernel/uevent_seqnum"):
        tell(f"utimes {file}", os.utime, file)
print(json.dumps(found))
"""


def test_what_proc_and_sysfs_cannot_do_they_say_themselves(world: World) -> None:
    """Each refusal is the kernel's own, and none of them is counted as one of ours."""
    world.lay_out([Node("own")])
    files = [world.mount.parent / "file", world.mount / "own"]   # not covered; covered, and there natively, too
    for path in files:
        path.write_text("")
        os.chown(path, *world.owner)
    line = ["/usr/bin/python3", "-c", IMPOSSIBLE, *map(str, files)]
    native = run([*as_user(world.who), *line])
    assert native.status == 0, native.err
    found = world.box("--stats").run(line, env=world.env)
    assert json.loads(found.out) == json.loads(native.out)
    assert " 0 calls refused" in found.err


# ---- the kernel's own answers; a /dev of its own ----

LIMIT = 60.0  # seconds that one command may take on a busy machine

# Makes every change that it knows of below the directory it is given, and prints what came of each.
PROBE = r"""
import errno, json, os, socket, sys
os.chdir(sys.argv[1])
os.umask(0)
found = {}

def attempt(what, call):
    try:
        call()
        found[what] = "ok"
    except OSError as error:
        found[what] = errno.errorcode[error.errno]

def descriptor(name):
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK)
    magic = f"/proc/self/fd/{fd}"
    for what, call in (("fchmod", lambda: os.fchmod(fd, 0o600)), ("fchown", lambda: os.fchown(fd, 7, 7)),
                       ("futimens", lambda: os.utime(fd)), ("chmod by magic", lambda: os.chmod(magic, 0o600)),
                       ("fsetxattr", lambda: os.setxattr(fd, "trusted.x", b"1"))):
        attempt(f"{what} {name}", call)

for name in ("null", "file", "dir", "fifo", "absent"):
    for what, call in (
        ("unlink", lambda: os.unlink(name)), ("rmdir", lambda: os.rmdir(name)), ("mkdir", lambda: os.mkdir(name)),
        ("mknod", lambda: os.mknod(name)), ("symlink", lambda: os.symlink("x", name)),
        ("link", lambda: os.link(name, "new")), ("link to", lambda: os.link("file", name)),
        ("rename", lambda: os.rename(name, "new")), ("rename to", lambda: os.rename("file", name)),
        ("chmod", lambda: os.chmod(name, 0o600)), ("chown", lambda: os.chown(name, 7, 7)),
        ("utime", lambda: os.utime(name)), ("truncate", lambda: os.truncate(name, 0)),
        ("setxattr", lambda: os.setxattr(name, "trusted.x", b"1")),
        ("create", lambda: os.open(name, os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK)),
        ("create new", lambda: os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)),
        ("write", lambda: os.open(name, os.O_RDWR)), ("empty", lambda: os.open(name, os.O_RDWR | os.O_TRUNC)),
        ("by absolute path", lambda: os.open(os.path.abspath(name), os.O_RDWR)),
        ("tmpfile", lambda: os.open(name, os.O_RDWR | os.O_TMPFILE)), ("access", lambda: 1 / os.access(name, os.W_OK)),
        ("bind", lambda: socket.socket(socket.AF_UNIX).bind(name)),
    ):
        try:
            attempt(f"{what} {name}", call)
        except ZeroDivisionError:
            found[f"{what} {name}"] = "no"
for name in ("null", "file", "dir"):
    descriptor(name)
print(json.dumps(found))
"""

# A device directory of its own; what of the host's was changed is what `find` tells otherwise afterwards.
DEVICES = r"""
mount -t tmpfs none /dev
mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/zero c 1 5; mknod -m 666 /dev/tty c 5 0; mknod -m 666 /dev/urandom c 1 9
ln -s /proc/self/fd /dev/fd; ln -s fd/1 /dev/stdout
mkdir /dev/shm /dev/pts /dev/net; mount -t tmpfs none /dev/shm; mount -t devpts -o ptmxmode=666 none /dev/pts
ln -s pts/ptmx /dev/ptmx
look() { find /dev -path /dev/pts -prune -o -printf '%p %y %m %U %l\n' | sort; }
before=$(look)
"$@"
if [ "$before" = "$(look)" ]; then echo unchanged; else echo changed; fi
"""


def words(trap: str, *more: str | Path) -> list[str]:
    return [*command(), "--trap", trap, *map(str, more)]


def output(line: Sequence[str]) -> str:
    done = run(line, timeout=LIMIT)
    assert (done.status, done.err) == (0, ""), done
    return done.out


@pytest.fixture
def fixed(area: Path) -> Path:
    """A directory with one object of each kind."""
    path = area / "fixed"
    path.mkdir()
    assert output(["sh", "-euc", f"cd {path}; mknod -m 666 null c 1 3; echo a >file; mkdir dir; mkfifo fifo"]) == ""
    return path


def in_private(script: str, *line: str) -> list[str]:
    """The command line of a shell script with mounts of its own, and `line` as its arguments."""
    return ["unshare", "-m", "sh", "-euc", script, "sh", *line]


@pytest.mark.quick
@pytest.mark.root_only
@pytest.mark.parametrize("covered", [False, True])
def test_a_read_only_place_is_like_a_read_only_mount(area: Path, fixed: Path, trap: str, covered: bool) -> None:
    probe = [sys.executable, "-c", PROBE, str(fixed)]
    (area / "other").mkdir()
    kernel = output(in_private(f'mount --bind {fixed} {fixed}; mount -o remount,bind,ro {fixed}; "$@"', *probe))
    lower = area if covered else area / "other"
    view = output(words(trap, "-l", lower, "--read-only", fixed, "--", *probe))
    assert json.loads(view) == json.loads(kernel)
    assert (fixed / "file").read_text() == "a\n"
    assert sorted(path.name for path in fixed.iterdir()) == ["dir", "fifo", "file", "null"]


@pytest.mark.quick
@pytest.mark.root_only
def test_the_innermost_place_wins(area: Path, fixed: Path, trap: str) -> None:
    """And at one path the last one that was given."""
    script = (f"cd {fixed}; echo b >dir/new; mkdir dir/d; mv dir/new dir/d; cat dir/d/new; echo b >file || "
              "echo fixed")
    lower = ("-l", area, "--read-only", fixed, "--direct", fixed / "dir")
    done = run(words(trap, *lower, "--", "sh", "-c", script), timeout=LIMIT)
    assert (done.status, done.out) == (0, "b\nfixed\n"), done
    assert (fixed / "dir/d/new").read_text() == "b\n"
    output(words(trap, "-l", area, "--read-only", fixed, "--direct", fixed, "--", "sh", "-c", f"echo c >{fixed}/file"))
    assert (fixed / "file").read_text() == "c\n"


@pytest.mark.quick
@pytest.mark.root_only
def test_root_in_a_view_over_all_cannot_lose_dev(trap: str) -> None:
    script = ("rm -rf /dev/null /dev/* 2>/dev/null; mv /etc/passwd /dev/null 2>/dev/null; mkdir /dev/new 2>/dev/null;"
              "chmod 600 /dev/null 2>/dev/null; echo x >/dev/null && echo x >>/dev/null && head -c 1 /dev/zero | wc -c;"
              "echo s >/dev/shm/s && mv /dev/shm/s /dev/shm/t && cat /dev/shm/t && rm /dev/shm/t; echo o >/dev/stdout;"
              "script -qc 'tty; echo y >/dev/tty' /dev/null | tr -d '\\r'")
    assert output(in_private(DEVICES, *words(trap, "--", "sh", "-c", script))) == "1\ns\no\n/dev/pts/0\ny\nunchanged\n"


@pytest.mark.quick
@pytest.mark.root_only
def test_dev_is_the_programs_where_that_is_asked_for(trap: str) -> None:
    line = words(trap, "--direct", "/dev", "--", "sh", "-c", "mkdir /dev/new && rm /dev/zero && ls -d /dev/new")
    assert output(in_private(DEVICES, *line)) == "/dev/new\nchanged\n"


#: Names, kinds and identities of all that there is; and what the lower's own name is.
FIND = """
find . -printf '%p %y\n' | sort
test "$(stat -c %i . a/deps 2>/dev/null | sort -u | wc -l)" = 1 && echo one identity
ls a/deps; cat a/deps/f; mkdir a/deps
mv a b; rm -r a
find . -printf '%p %y\n' | sort
"""


@pytest.mark.parametrize("own", [False, True], ids=["elsewhere", "own"])
def test_lower_in_a_lower(world: World, own: bool) -> None:
    """A lower that another one holds is hidden there, as the upper is: it is no second top of the view."""
    lower = world.add_lower()
    for name in ("a/deps/x", "a/other"):
        (lower / name).mkdir(parents=True)
    (lower / "a/deps/f").write_text("f\n")
    for directory, names, files in os.walk(lower):
        for name in (*names, *files):
            os.chown(os.path.join(directory, name), *world.owner)
    world.freeze()
    mount = lower if own else world.mount
    words = [*as_user(world.who), *command(), "run", "--trap", world.trap, "-l", f"{lower}/a/deps:{lower}"]
    words += ["-m", str(mount), "-C", str(mount), "-u", str(world.upper), "-w", str(world.work), "--", "sh", "-c", FIND]
    found = run(words, env=world.env)
    before = [". d", "./a d", "./a/other d", "./f f", "./x d"]
    after = [". d", "./a d", "./f f", "./x d"]
    assert found.out.splitlines() == [*before, "one identity", *after]
    messages = [line.partition(": ")[2] for line in found.err.splitlines()]
    assert messages == [
        "cannot access 'a/deps': No such file or directory",
        "a/deps/f: No such file or directory",
        "cannot create directory \u2018a/deps\u2019: Permission denied",
        "cannot move 'a' to 'b': Device or resource busy",
        "cannot remove 'a': Device or resource busy",
    ]
    world.assert_lowers_untouched()
