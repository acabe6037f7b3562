"""Names as long as they may be, and what one file system answers for all of its names.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import pytest
from support.oracle import ROOT, USER, Who
from support.trees import Node
from support.world import World

#: Binds names up to sun_path's 108 bytes: new ones, over what a lower had, in a directory deep down.
BIND = """
import os, socket, stat
os.unlink("w" * 107)
os.chdir("deep")
names = [c * n for c in "s" for n in (1, 60, 79, 80, 91, 92, 106, 107)] + ["../" + "w" * 104, "../" + "d" * 100]
os.unlink("../" + "w" * 104)
for name in names:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(name)
        server.listen()
        client.connect(name)
        other = server.accept()[0]
        status = os.stat(name)
        print(name, server.getsockname(), client.getpeername(), stat.filemode(status.st_mode), status.st_uid)
        other.close()
        try:
            socket.socket(socket.AF_UNIX).bind(name)
        except OSError as error:
            print(error)
print(sorted(os.listdir(".")), sorted(os.listdir("..")))
"""

#: The type and the longest name, by path and by descriptor, before and after a change.
STATFS = """
import ctypes, os
libc = ctypes.CDLL(None)
def told(call, what):
    words = (ctypes.c_long * 32)()
    result = call(what, words)
    return result, hex(words[0]), words[8]
def all_told():
    for path in (".", "file", "dir", "dir/below", "link", "made", "absent", "file/x"):
        print(path, *told(libc.statfs, path.encode()))
    for path in (".", "file", "dir", "dir/below"):
        fd = os.open(path, os.O_RDONLY)
        print(path, *told(libc.fstatfs, fd), *told(libc.statfs, b"/proc/self/fd/%d" % fd))
        os.close(fd)
all_told()
os.chdir("dir")
print(*told(libc.statfs, b"."), *told(libc.statfs, b"below"))
os.chdir("..")
held = os.open("file", os.O_RDONLY)
with open("file", "a") as file:
    file.write("more")
os.mkdir("made")
os.chmod("dir", 0o700)
all_told()
print(*told(libc.fstatfs, held))
"""


@pytest.fixture(params=[ROOT, USER], ids=lambda who: who.name)
def world(request: pytest.FixtureRequest, make_world: Callable[[Who, str], World], trap: str) -> World:
    """For root and for an ordinary user."""
    if request.param is ROOT and os.geteuid() != 0:
        pytest.skip("needs root")
    return make_world(request.param, trap)


def test_bind(world: World) -> None:
    """A socket's name may have as many bytes as natively, wherever its directory is."""
    deep = "/".join(["deep", *"x" * 40])
    dirs = [Node(deep[:at], "dir", 0o755) for at in range(4, len(deep) + 1) if deep[at:at + 1] in ("/", "")]
    world.lay_out([*dirs, Node("w" * 107), Node("w" * 104)])
    world.same_run([sys.executable, "-c", BIND])
    world.assert_lowers_untouched()


def test_statfs(world: World) -> None:
    """One answer for all that is in the view, as the kernel's overlayfs gives."""
    world.lay_out([Node("dir", "dir", 0o755), Node("file"), Node("dir/below"), Node("link", "link", target="file")])
    expected = world.kernel().check([sys.executable, "-c", STATFS])
    assert world.box().check([sys.executable, "-c", STATFS]) == expected
    world.assert_lowers_untouched()
