"""An ordinary user's command that sees itself as root (--fake-root): what it is told equals what root is told.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import command
from support.oracle import USER, Done, Who, as_user, run
from support.sandboxes import Tool
from support.trees import Node, write
from support.world import World

pytestmark = pytest.mark.root_only

#: Owners, modes, devices, links and attributes, given and asked for in all the ways that programs have.
OBJECTS = r"""
umask 022
id -u; id -g; id -G
cat read; test -w read && echo may write; chown 5:6 read; echo more >>read
touch file; chown 12:34 file; chmod 6755 file; echo data >>file
mkdir -m 2775 group; chgrp 34 group; touch group/inside; mkdir group/below
install -o 7 -g 8 -m 4711 file installed
mknod null c 1 3; mknod -m 600 disk b 8 1; mkfifo -m 620 fifo
ln -s file link; chown -h 3:4 link; ln file hard
chown 20:20 directory; chmod 000 directory/deep; touch directory/deep/new; cat directory/deep/old
echo gone >null; cat null
setfattr -n trusted.mark -v yes file; setfattr -n security.other -v no file
getfattr -d -m '^(trusted|security)' file
setcap cap_net_raw+ep installed && getcap installed; ls -l hard | cut -d" " -f2
chown 0:0 installed; stat -c '%n %a %u:%g' installed
mv group moved; cp -a moved copy; rm -rf moved
find . -printf '%P %y %m %U:%G %l\n' | sort
stat -c '%n %t:%T %F' null disk
rm hard
tar --numeric-owner -c . | tar -tv --numeric-owner | awk '{print $1, $2, $NF}' | sort
mkdir out; tar --numeric-owner -c file installed link copy | tar -x -p --same-owner --numeric-owner -C out
find out -printf '%P %y %m %U:%G %l\n' | sort
"""

#: credentials(7) and capabilities(7), by the calls themselves: what each gives, and what is there afterwards.
CREDENTIALS = r"""
import ctypes, json, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
told = []
def ids():
    header, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    libc.capget(header, data)
    e0, p0, i0, e1, p1, i1 = struct.unpack("6I", data.raw)
    sets = [(low | high << 32) & int(sys.argv[1], 16) for low, high in ((e0, e1), (p0, p1), (i0, i1))]
    return [os.getresuid(), os.getresgid(), os.getgroups(), *map(hex, sets), libc.prctl(7), libc.prctl(27)]
def call(name, *args):
    ctypes.set_errno(0)
    value = getattr(libc, name)(*args)
    told.append([name, args if name != "setgroups" else "", value, ctypes.get_errno(), ids()])
def child(*calls):
    reading, writing = os.pipe()
    if os.fork() == 0:
        told.clear()
        for one in calls:
            call(*one)
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        told.extend(json.load(file))
    os.wait()
drop = [("setgroups", 2, struct.pack("2I", 9, 4)), ("setresgid", 7, 8, 9), ("setresuid", 5, 6, 7)]
child(("setuid", 33), ("setuid", 0), ("seteuid", 0))
child(("seteuid", 33), ("setuid", 44), ("seteuid", 0), ("setuid", 44), ("seteuid", 0))
child(*drop, ("setreuid", 6, 5), ("setreuid", -1, 7), ("setgid", 8), ("setgroups", 0, None), ("setfsuid", 5),
      ("setfsuid", 0), ("setfsuid", -1))
child(("prctl", 8, 1), ("setresuid", 1, 1, 1), ("prctl", 47, 2, 10, 0, 0), ("prctl", 24, 5), ("prctl", 23, 5))
child(("setfsuid", 3), ("setfsgid", 3), ("setfsuid", 0), ("prctl", 24, 21), ("prctl", 23, 21), ("prctl", 23, 99))
child(("setreuid", 3, -1), ("setreuid", -1, 3), ("setreuid", 0, 0), ("prctl", 28, 15), ("prctl", 8, 0))
child(("setregid", 4, 5), ("setresgid", -1, -1, 6), ("setfsgid", 77), ("setresuid", -1, -1, -1), ("setuid", -1))
print(json.dumps(told), flush=True)
os.setresgid(3, 3, 3)
os.setresuid(2, 2, 2)
os.execvp("sh", ["sh", "-c", "id -u; id -g; sh -c 'id -u' & wait; exec ./who"])
"""

#: What the kernel tells unasked: the auxiliary vector, and who is at the other end of a socket.
TOLD = r"""
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None)
libc.getauxval.restype, libc.getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
print([libc.getauxval(number) for number in (11, 12, 13, 14, 23)], flush=True)
def peer(sock, size=12):
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    print(len(data), struct.unpack("2I", data[4:12]) if size == 12 else data[4:] != b"", flush=True)
def groups(sock):
    print(struct.unpack("2I", sock.getsockopt(socket.SOL_SOCKET, 59, 8)), flush=True)
if len(sys.argv) > 1:
    os.setgroups([9, 4])
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
    os.chmod("socket", 0o777)
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setresgid(7, 8, 7)
        os.setresuid(5, 6, 5)
        client = socket.socket(socket.AF_UNIX)
        client.connect("socket")
        peer(client)
        os.write(writing, b"x")
        client.recv(1)
        os._exit(0)
    connection, _ = server.accept()
    os.read(reading, 1)
    peer(connection)
    peer(connection, 6)
    groups(connection)
    connection.send(b"x")
    os.wait()
    pair = socket.socketpair()
    peer(pair[0])
    os.chown("who", 5, 6)
    os.chmod("who", 0o6755)
    os.execv("who", ["who", "-c", open(sys.argv[1]).read()])
"""


def lay_out(directory: Path, owner: tuple[int, int]) -> None:
    """What is there before."""
    write(directory, [Node(".", "dir", 0o755), Node("read", "file", 0o444, b"text\n"), Node("directory", "dir", 0o755),
                      Node("directory/deep", "dir", 0o755), Node("directory/deep/old", "file", 0o600, b"old\n")], owner)


@pytest.fixture
def world(make_world: Callable[[Who, str], World], trap: str) -> World:
    """An ordinary user's, over a tree of his own, which is root's for whom he seems to be."""
    world = make_world(USER, trap)
    lay_out(world.add_lower(), world.owner)
    world.freeze()
    return world


def faked(world: World, *words: str, options: tuple[str, ...] = ()) -> Done:
    """The command as a fake root in the view."""
    layers = ["-l", str(world.lowers[0]), "-m", str(world.mount), "-C", str(world.mount), "--trap", world.trap]
    return run([*as_user(USER), *command(), "run", "-0", *layers, *options, "--", *words], env=world.env)


def native(world: World, *words: str) -> Done:
    """The same by root, in a directory of root's."""
    directory = world.area / "native"
    directory.mkdir()
    lay_out(directory, (0, 0))
    return run(words, cwd=directory, env=world.env)


@pytest.mark.debian("attr", "libcap2-bin")
def test_objects(world: World) -> None:
    """Owners, modes, devices and attributes are what root would have made of them."""
    expected, found = native(world, "sh", "-c", OBJECTS), faked(world, "sh", "-c", OBJECTS)
    assert found.out == expected.out
    assert (found.status, found.err) == (expected.status, expected.err)


def test_credentials(world: World) -> None:
    """All set*id calls, capset and prctl answer as the kernel does, and are kept over fork and execve."""
    who = "cp /usr/bin/id who; chown 5:6 who; chmod 6755 who; exec \"$@\""
    ours = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    words = ("sh", "-c", who, "sh", sys.executable, "-c", CREDENTIALS, ours.split()[1])  # what root has here, at most
    expected, found = native(world, *words), faked(world, *words)
    assert found.err == expected.err
    seen, roots = (json.loads(done.out.splitlines()[0]) for done in (found, expected))
    for one, other in zip(seen, roots, strict=True):
        assert one == other
    assert found.out.splitlines()[1:] == expected.out.splitlines()[1:]


def test_a_sandbox(area: Path) -> None:
    """Runs on one sandbox show what those before have kept; what becomes of it by commit."""
    tool = Tool(area, USER)
    tool.sh("echo >old")
    def in_box(script: str, *options: str) -> str:
        return tool.ok("run", "--name", "one", *options, "-l", tool.lower, "-C", tool.lower, "--", "sh",
                       "-euc", script)
    shown = "stat -c '%n %a %u:%g' helper old new/file 2>&1"
    in_box("echo more >>old", "-0")
    in_box("install -o 12 -g 34 -m 4755 /bin/true helper; mkdir new; echo >new/file; echo most >>old", "-0")
    assert in_box(shown + "; chown 5:6 new/file", "-0") == "helper 4755 12:34\nold 644 0:0\nnew/file 644 0:0\n"
    assert in_box(shown) == "helper 4755 12:34\nold 644 1000:1000\nnew/file 644 5:6\n"
    assert tool.ok("diff", "one", status=1).splitlines()[0::3] == [
        f"added     {tool.lower}/helper  (set-user-id 12, owner 12:34)", f"modified  {tool.lower}/old  (1B -> 11B)"]
    told = tool("commit", "one")
    assert (told.status, told.err.splitlines()) == (1, [
        f"ptoverlay: {tool.lower}/helper: not committed: only root can make what belongs to 12:34",
        "ptoverlay: 2 more changes not committed for that: root's commit --trust gives it these owners, export keeps "
        "them, commit --force makes it yours"])
    assert tool.sh("ls; cat old") == "old\n\nmore\nmost\n"
    assert tool.ok("commit", "--force", "one", f"{tool.lower}/new") == ""
    assert tool.sh("stat -c '%u %a' new/file") == "1000 644\n"
    for words in (["commit", "one"], ["commit", "-n", "one"]):
        done = run([*command(), *words], env=tool.env)
        assert (done.status, done.out, done.err) == (
            125, "", "ptoverlay: sandbox one: a fake root, who is user 1000, has changed it, and all would be that "
            "user's (--trust gives it the owners, modes and devices that he saw, --force makes it his)\n")
    done = run([*command(), "commit", "--trust", "one"], env=tool.env)
    assert (done.status, done.err) == (0, "")
    assert tool.sh("stat -c '%u:%g %a' helper") == "12:34 4755\n"


def test_told(world: World) -> None:
    """Programs that ask the auxiliary vector or a socket's peer, set-id ones too, hear what root's do."""
    (world.home / "told").write_text(TOLD)
    words = ("sh", "-c", f"cp {sys.executable} who; exec ./who -c \"$1\" {world.home}/told", "sh", TOLD)
    expected, found = native(world, *words), faked(world, *words)
    assert (found.out, found.err, found.status) == (expected.out, expected.err, expected.status)
    assert found.out == ("[0, 0, 0, 0, 0]\n12 (0, 0)\n12 (6, 8)\n6 True\n(4, 9)\n12 (0, 0)\n"
                         "[0, 5, 0, 6, 1]\n")


#: Mounts in a namespace of his own, without a user namespace.
MOUNTS = r"""
mkdir dir; mount -t tmpfs -o mode=755 none dir && touch dir/a && stat -c '%n %a %u:%g' dir dir/a
mount -t devpts -o mode=620 none dir && ls dir/ptmx; umount dir
mount --bind /etc dir && test -e dir/passwd && echo bound
"""


def test_mounts(world: World) -> None:
    """He may have a mount namespace, as root, and nothing is left of it."""
    words = ("unshare", "-m", "sh", "-c", MOUNTS)
    expected, found = native(world, *words), faked(world, *words)
    assert (found.out, found.err, found.status) == (expected.out, expected.err, expected.status)
    assert found.out == "dir 755 0:0\ndir/a 644 0:0\ndir/ptmx\nbound\n"


def test_a_terminal(world: World) -> None:
    """It may be given away, as those who make one do."""
    script = "import os, pty; os.chown(os.ttyname(pty.openpty()[1]), 0, 5); print('given')"
    assert faked(world, "/usr/bin/python3", "-c", script) == Done(0, "given\n", "")


def test_kept(world: World) -> None:
    """A later run, which is no root's, shows what was kept."""
    layers = ("-u", str(world.upper), "-w", str(world.work))
    made = "chown 12:34 read; chmod 4750 read; mknod disk b 8 1; mkdir new; echo >new/file"
    assert faked(world, "sh", "-c", made, options=layers) == Done(0, "", "")
    box = world.box()
    assert box.check(["stat", "-c", "%n %a %u:%g %F %t:%T", "read", "disk", "new/file"]) == (
        "read 4750 12:34 regular file 0:0\n"
        "disk 644 0:0 block special file 8:1\n"
        "new/file 644 0:0 regular file 0:0\n")
    assert not any(path.stat().st_mode & 0o6000 for path in world.upper.rglob("*")), "a set-id program of the user's"
    assert box.run(["cat", "disk"]).err.endswith("Permission denied\n")


#: What builders of packages do.
PACKAGE = r"""
mkdir -p pkg/DEBIAN pkg/usr/bin
{ printf 'Package: one\nVersion: 1\nArchitecture: all\n'
  printf 'Maintainer: me <me@example.org>\nDescription: one\n'; } >pkg/DEBIAN/control
install -o root -g tty -m 2755 /bin/true pkg/usr/bin/one
ln -s one pkg/usr/bin/two
dpkg-deb --build pkg one.deb >/dev/null && dpkg-deb -c one.deb | awk '{print $1, $2, $6, $7, $8}'
printf 'install:\n\tinstall -D -o root -g root -m 4755 /bin/true $(DESTDIR)/usr/local/bin/made\n' >Makefile
make -s install DESTDIR=$PWD/made && stat -c '%a %U:%G' made/usr/local/bin/made
"""


@pytest.mark.debian("make")
def test_packages(world: World) -> None:
    """dpkg-deb and make install store what root's do."""
    expected, found = native(world, "sh", "-c", PACKAGE), faked(world, "sh", "-c", PACKAGE)
    assert (found.out, found.err, found.status) == (expected.out, expected.err, expected.status)
    assert "-rwxr-sr-x root/tty ./usr/bin/one" in found.out


#: A user of the system's, and what he may do then.
USERS = r"""
groupadd -r made && useradd -r -g made -G tty -m -d /var/lib/made -s /bin/sh made && id made | tr -d '0-9'
stat -c '%U:%G' /var/lib/made; cut -d: -f1,2 /etc/shadow | grep made
su made -c 'id -un; touch /var/lib/made/file; touch /etc/file; cat /etc/shadow; grep -c "^Uid:.0" /proc/self/status'
stat -c '%U:%G' /var/lib/made/file; userdel made; id made
"""


def test_users(world: World) -> None:
    """Over the whole system, whose shadow files our user cannot read."""
    done = run([*as_user(USER), *command(), "run", "-0", "--trap", world.trap, "--", "sh", "-c", USERS],
               env={**world.env, "LC_ALL": "C"})
    assert done.out == "uid=(made) gid=(made) groups=(made),(tty)\nmade:made\nmade:!\nmade\n0\nmade:made\n"
    assert done.err == ("touch: cannot touch '/etc/file': Permission denied\ncat: /etc/shadow: Permission denied\n"
                        "id: 'made': no such user\n")


def test_export(world: World) -> None:
    """An ordinary user's archive of the layer has root's files, devices and set-id bits."""
    layers = ("-u", str(world.upper), "-w", str(world.work))
    made = ("mkdir new; echo >new/file; chmod 4711 new/file; ln -s file new/link; mkfifo new/fifo; "
            "mknod new/null c 1 3; touch new/other; chown 12:34 new/other")
    assert faked(world, "sh", "-c", made, options=layers) == Done(0, "", "")
    archive = world.home / "layer.tar"
    lowers = ["-l", str(world.lowers[0]), "-m", str(world.mount)]
    done = run([*as_user(USER), *command(), "export", *lowers, *layers, "--output", str(archive)], env=world.env)
    assert done.status == 0, done.err
    with tarfile.open(archive) as tar:
        found = {info.name.rsplit("new/")[-1]: (info.type, info.uid, info.gid, f"{info.mode:o}") for info in tar
                 if "new/" in info.name and ".wh." not in info.name}
        assert tar.getmember(next(name for name in tar.getnames() if name.endswith("new/null"))).devminor == 3
    assert found == {"file": (tarfile.REGTYPE, 0, 0, "4711"), "link": (tarfile.SYMTYPE, 0, 0, "777"),
                     "fifo": (tarfile.FIFOTYPE, 0, 0, "644"), "null": (tarfile.CHRTYPE, 0, 0, "644"),
                     "other": (tarfile.REGTYPE, 12, 34, "644")}
