"""inotify in a view: event by event what the kernel's overlayfs shows.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
from dataclasses import replace

from support.trees import Node
from support.world import World

#: Makes each change with watches on what it touches, and prints what was heard.  ACCESS and CLOSE_NOWRITE are left out:
#: what a lower has is read where it is.
SCRIPT = r"""
import ctypes, json, os, shutil, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
BITS = ["ACCESS", "MODIFY", "ATTRIB", "CLOSE_WRITE", "CLOSE_NOWRITE", "OPEN", "MOVED_FROM", "MOVED_TO", "CREATE",
        "DELETE", "DELETE_SELF", "MOVE_SELF", "", "UNMOUNT", "OVERFLOW", "IGNORED"]
MASK = 0xfff & ~0x11
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2

def rename2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")

def write(name, text, how="a"):
    with open(name, how) as file:
        file.write(text)

def heard(fd, watches):
    found, cookies = [], {}
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        data = b""
    while data:
        wd, mask, cookie, length = struct.unpack_from("iIII", data)
        name, data = data[16:16 + length].rstrip(b"\0").decode(), data[16 + length:]
        name = "#NUMBER" if name.startswith("#") else name
        what = [bit for i, bit in enumerate(BITS) if mask >> i & 1] + ["DIR"] * (mask >> 30 & 1)
        pair = cookies.setdefault(cookie, len(cookies)) if cookie else ""
        found.append(" ".join(f"{watches.get(wd, wd)}: {'|'.join(what)} {name} {pair}".split()))
    return found

def tmpfile(name):
    fd = os.open("d", os.O_TMPFILE | os.O_RDWR)
    assert libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, name.encode(), 0x400) == 0

def remove_all(top):
    try:
        return os.rmdir(top)
    except OSError:
        pass
    for name in sorted(os.listdir(top)):
        path = f"{top}/{name}"
        remove_all(path) if os.path.isdir(path) else os.unlink(path)
    os.rmdir(top)

CHANGES = {
    "append": (["d", "."], lambda: write("d/lower", "x")),
    "append again": (["d"], lambda: (write("d/lower", "x"), write("d/lower", "y"))),
    "append to a large one": (["d", "d/large"], lambda: write("d/large", "x")),
    "rewrite": (["d", "d/lower"], lambda: write("d/lower", "x", "w")),
    "open for writing": (["d", "."], lambda: os.close(os.open("d/lower", os.O_RDWR))),
    "truncate": (["d"], lambda: os.truncate("d/lower", 1)),
    "chmod": (["d", ".", "d/lower"], lambda: os.chmod("d/lower", 0o600)),
    "chmod of a directory": (["d", ".", "d/sub"], lambda: os.chmod("d/sub", 0o700)),
    "utime": (["d"], lambda: os.utime("d/lower", (1, 1))),
    "chown": (["d"], lambda: os.chown("d/lower", os.getuid(), os.getgid())),
    "setxattr": (["d"], lambda: os.setxattr("d/lower", "user.x", b"")),
    "remove": (["d", "."], lambda: os.unlink("d/lower")),
    "remove watched": (["d", "d/lower"], lambda: os.unlink("d/lower")),
    "remove what was changed": (["d"], lambda: (write("d/lower", "x"), os.unlink("d/lower"))),
    "remove what is new": (["d"], lambda: (write("d/new", "x"), os.unlink("d/new"))),
    "remove and make again": (["d"], lambda: (os.unlink("d/lower"), write("d/lower", "x"), os.unlink("d/lower"))),
    "remove and mkdir": (["d"], lambda: (os.unlink("d/lower"), os.mkdir("d/lower"), os.rmdir("d/lower"))),
    "remove and symlink": (["d"], lambda: (os.unlink("d/lower"), os.symlink("x", "d/lower"))),
    "remove and fifo": (["d"], lambda: (os.unlink("d/lower"), os.mkfifo("d/lower"))),
    "remove and link": (["d", "."], lambda: (os.unlink("d/lower"), os.link("d/other", "d/lower"))),
    "remove and tmpfile": (["d"], lambda: (os.unlink("d/lower"), tmpfile("d/lower"))),
    "remove and bind": (["d"], lambda: (os.unlink("d/lower"), socket.socket(socket.AF_UNIX).bind("d/lower"))),
    "rmdir": (["d", ".", "d/empty"], lambda: os.rmdir("d/empty")),
    "rmdir what was changed": (["d"], lambda: (write("d/sub/new", ""), remove_all("d/sub"))),
    "rmdir and mkdir": (["d"], lambda: (os.rmdir("d/empty"), os.mkdir("d/empty"), write("d/empty/x", ""))),
    "rmdir and make": (["d"], lambda: (os.rmdir("d/empty"), write("d/empty", "x"))),
    "rmdir what is new": (["d"], lambda: (os.mkdir("d/new"), os.rmdir("d/new"))),
    "remove all": (["d", ".", "d/sub"], lambda: remove_all("d")),
    "create": (["d"], lambda: write("d/new", "x")),
    "mkdir": (["d", "."], lambda: os.mkdir("d/new")),
    "symlink": (["d"], lambda: os.symlink("x", "d/new")),
    "mkfifo": (["d"], lambda: os.mkfifo("d/new")),
    "bind": (["d"], lambda: socket.socket(socket.AF_UNIX).bind("d/new")),
    "link": (["d", "e", "d/lower"], lambda: os.link("d/lower", "e/new")),
    "tmpfile": (["d"], lambda: tmpfile("d/new")),
    "rename": (["d", "."], lambda: os.rename("d/lower", "d/new")),
    "rename watched": (["d", "d/lower"], lambda: os.rename("d/lower", "d/new")),
    "rename out": (["d", "e"], lambda: os.rename("d/lower", "e/new")),
    "rename in": (["d"], lambda: os.rename("e/lower", "d/new")),
    "rename over": (["d", "d/other"], lambda: os.rename("d/lower", "d/other")),
    "rename over what was removed": (["d"], lambda: (os.unlink("d/other"), os.rename("d/lower", "d/other"))),
    "rename there and back": (["d"], lambda: (os.rename("d/lower", "d/new"), os.rename("d/new", "d/lower"))),
    "rename a directory": (["d", ".", "d/sub"], lambda: os.rename("d/sub", "d/new")),
    "rename a directory out": (["d", "e"], lambda: os.rename("d/sub", "e/new")),
    "rename a directory over": (["d", "d/empty"], lambda: os.rename("d/sub", "d/empty")),
    "rename a directory over what was emptied": (["d", "e"], lambda: (os.unlink("e/lower"), os.rename("d/sub", "e"))),
    "rename a directory to where a file was": (["d"], lambda: (os.unlink("d/lower"), os.rename("d/sub", "d/lower"))),
    "rename a new directory": (["d"], lambda: (os.mkdir("d/new"), os.rename("d/new", "d/newer"))),
    "exchange": (["d", "e"], lambda: rename2("d/lower", "e/lower", RENAME_EXCHANGE)),
    "exchange directories": (["d"], lambda: rename2("d/sub", "d/empty", RENAME_EXCHANGE)),
    "save as editors do": (["d"], lambda: (write("d/new", "x"), os.rename("d/lower", "d/lower~"),
                                           os.rename("d/new", "d/lower"))),
    "sed -i": (["d"], lambda: (write("d/tmp", "x"), os.chmod("d/tmp", 0o644), os.rename("d/tmp", "d/lower"))),
    "in a directory below": (["d", "d/sub"], lambda: write("d/sub/x", "x")),
    "change by another name": (["d", "d/one"], lambda: (os.chmod("d/two", 0o600), write("d/three", "x"))),
    "remove names of one file": (["d", "d/one"], lambda: [os.unlink(f"d/{name}") for name in ("two", "one", "three")]),
    "remove a watched symlink": (["d", "d/symlink"], lambda: os.unlink("d/symlink")),
    "move a watched symlink": (["d/symlink"], lambda: os.rename("d/symlink", "e/new")),
    "copy tree": (["d"], lambda: shutil.copytree("e", "d/copy")),
}

os.umask(0o22)
found = {}
for what, (watches, change) in CHANGES.items():
    os.chdir(what)
    fd = libc.inotify_init1(os.O_NONBLOCK)
    numbers = {libc.inotify_add_watch(fd, path.encode(), MASK | 0x2000000): path for path in watches}
    try:
        change()
    except OSError as error:
        found[what] = [str(error)]
    else:
        found[what] = heard(fd, numbers)
    os.close(fd)
    os.chdir("..")
print(json.dumps(found))
"""
NAMES = [line.split('"')[1] for line in SCRIPT.splitlines() if line.startswith('    "') and '": ([' in line]


def _tree(top: str) -> list[Node]:
    """What each change is made in, in a directory of its own."""
    nodes = [
        Node(".", "dir", 0o755), Node("d", "dir", 0o755), Node("d/lower", "file", 0o644, b"lower\n"),
        Node("d/other", "file", 0o644, b"other\n"), Node("d/empty", "dir", 0o755), Node("d/sub", "dir", 0o755),
        Node("d/sub/x", "file", 0o644, b"x"), Node("e", "dir", 0o755), Node("e/lower", "file", 0o644, b"e\n"),
    ]
    if "large" in top:
        nodes.append(Node("d/large", "file", 0o644, b"large\n" * (1 << 19)))
    if "name" in top:
        nodes += [Node("d/one"), *(Node(f"d/{name}", "hard", target=f"{top}/d/one") for name in ("two", "three"))]
    if "symlink" in top:
        nodes.append(Node("d/symlink", "link", target="other"))
    return [replace(node, path=f"{top}/{node.path}".removesuffix("/.")) for node in nodes]


def test_what_is_heard(world: World) -> None:
    """For each change the same events, in the same order, as on the kernel's overlayfs."""
    world.lay_out([Node(".", "dir", 0o755), *(node for what in NAMES for node in _tree(what))])
    command = ["/usr/bin/python3", "-c", SCRIPT]
    expected = json.loads(world.kernel().check(command, env=world.env))
    found = json.loads(world.box().check(command, env=world.env))
    different = [f"{what}:\n  kernel {expected[what]}\n  view   {found[what]}"
                 for what in NAMES if found[what] != expected[what]]
    assert not different, "\n".join(different)
    world.plain().check(command, env=world.env)
    world.assert_same_tree(ignore=["^(tmpfile|remove and tmpfile)/"] if not world.who.is_root else [])


#: Instances that come and go: more than a user may have at a time, in one process and in children that outlive it.
INSTANCES = r"""
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
limit = int(open("/proc/sys/fs/inotify/max_user_instances").read())
def watch(path):
    fd = libc.inotify_init1(0)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd, libc.inotify_add_watch(fd, path, 0xfff & ~0x31)
for _ in range(limit + 20):
    fd, _ = watch(b"d")
    os.close(fd)
print("done")

fd, wd = watch(b"d")
other, _ = watch(b"d")
assert libc.inotify_rm_watch(fd, wd) == 0 and libc.inotify_rm_watch(fd, wd) == -1 and ctypes.get_errno() == 22
again = libc.inotify_add_watch(fd, b"d", 0x200)
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
os.unlink("d/lower")
open("d/new", "w").close()
for fd in (fd, other):
    data = os.read(fd, 4096)
    while data:
        found, mask, _, length = struct.unpack_from("iIII", data)
        print({wd: "first", again: "again"}.get(found, found), hex(mask), data[16:16 + length].rstrip(b"\0").decode())
        data = data[16 + length:]
"""


def test_instances_come_and_go(world: World) -> None:
    """None is kept that nobody has; a watch that is removed is heard of no more; a child hears as its parent does."""
    world.lay_out([Node(".", "dir", 0o755), Node("d", "dir", 0o755), Node("d/lower")])
    command = ["/usr/bin/python3", "-c", INSTANCES]
    expected = world.kernel().check(command, env=world.env)
    assert world.box().check(command, env=world.env) == expected
    assert expected.split()[:8] == ["done", "first", "0x8000", "again", "0x200", "lower", "first", "0x200"]


def test_a_name_that_was_left_bare(world: World) -> None:
    """A run that was killed when a whiteout stood aside for those who watch: the next one puts it back."""
    world.lay_out([Node(".", "dir", 0o755), Node("d", "dir", 0o755), Node("d/lower"), Node("d/other"), Node("top")])
    world.box().check(["/bin/rm", "d/lower", "d/other", "top"])
    for name in ("d/lower", "d/other", "top"):
        (world.upper / name).unlink()
    (world.upper / "d/other").write_text("stand-in")
    for number, name in enumerate(("d/lower", "d/other", "./top", "gone/x")):
        os.symlink(name, world.work / f"work/#{number}.bare")
    assert world.box().check(["/usr/bin/find", ".", "-mindepth", "1"]) == "./d\n"
    world.kernel_upper = world.upper
    assert world.kernel_on_upper().check(["/usr/bin/find", ".", "-mindepth", "1"]) == "./d\n"
