"""Directories and files that were removed while they are open: what they were called, and what can be done by their
descriptors, beside the kernel's overlayfs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
from pathlib import Path

from support.trees import Node
from support.world import World

#: In the mount point: by descriptors of what was a lower's, was copied up, or is new, once it has no name.
BY_DESCRIPTOR = """
import errno, json, os
found = {}
def tell(what, call, *args, **more):
    try:
        value = call(*args, **more)
        found[what] = value if isinstance(value, (str, list)) else "ok"
    except OSError as error:
        found[what] = errno.errorcode[error.errno]
top = os.getcwd()
os.mkdir("new"); open("newfile", "w").close(); os.chmod("copied", 0o700); os.setxattr("new", "user.a", b"1")
for name in ("lower", "new", "copied", "file", "newfile"):
    fd = os.open(name, os.O_RDONLY)
    directory = os.path.isdir(name)
    (os.rmdir if directory else os.unlink)(name)
    link = f"/proc/self/fd/{fd}"
    for what, call in (
        ("name", lambda: os.readlink(link)), ("chmod", lambda: os.fchmod(fd, 0o701)),
        ("chown", lambda: os.chown(fd, os.getuid(), os.getgid())), ("utime", lambda: os.utime(fd)),
        ("setxattr", lambda: os.setxattr(fd, "user.x", b"1")), ("list", lambda: sorted(os.listxattr(fd))),
        ("private", lambda: os.getxattr(fd, "user.overlay.opaque")),
        ("chmod by link", lambda: os.chmod(link, 0o711)), ("open", lambda: os.open(link, os.O_RDONLY)),
        ("in it", lambda: os.open("x", os.O_RDONLY, dir_fd=fd)), ("make", lambda: os.mkdir("x", dir_fd=fd)),
        ("itself", lambda: os.open(".", os.O_RDONLY, dir_fd=fd)),
        ("tmpfile", lambda: os.open(".", os.O_RDWR | os.O_TMPFILE, dir_fd=fd)),
    ):
        tell(f"{what} {name}", call)
    if directory:
        os.fchdir(fd)
        tell(f"tmpfile . {name}", os.open, ".", os.O_RDWR | os.O_TMPFILE)
        tell(f"chmod . {name}", os.chmod, ".", 0o755)
        os.chdir(top)
print(json.dumps(found))
"""

#: Renamed, and then removed: what each is called at last.
NAMES = """
import json, os
os.chdir(os.getcwd())
found = []
def opened(*names):
    return [os.open(name, os.O_RDONLY) for name in names]
def removed(*fds):
    found.extend(os.readlink(f"/proc/self/fd/{fd}") for fd in fds)
held = opened("a"); os.rename("a", "a2"); removed(*held); os.rmdir("a2"); removed(*held)
held = opened("b", "b/c", "b/c/f"); os.rename("b", "d"); os.unlink("d/c/f"); os.rmdir("d/c"); removed(*held)
os.rmdir("d"); removed(*held)
held = opened("e/sub"); os.rename("e/sub", "g"); os.mkdir("over"); os.rename("over", "g"); removed(*held)
held = opened("h"); os.chmod("h", 0o700); held += opened("h"); os.rmdir("h"); removed(*held)
held = opened("i"); os.rename("i", "i2"); held += opened("i2"); os.rmdir("i2"); os.mkdir("i2"); removed(*held)
held = opened("j"); open("j/x", "w").close(); os.unlink("j/f"); os.unlink("j/x"); os.rmdir("j"); removed(*held)
held = opened("l/m"); os.chmod("l/m", 0o700); held += opened("l/m"); os.rmdir("l/m"); os.rename("l", "l2")
removed(*held)
os.mkdir("n"); os.mkdir("n/o"); os.rename("l2", "n/o/l3"); removed(*held); os.rename("n", "p"); removed(*held)
held = opened("t/u"); os.chmod("t/u", 0o700); os.rmdir("t/u"); os.rmdir("t"); os.mkdir("t"); os.rename("t", "v")
removed(*held)
held = opened("q/r"); os.rename("q/r", "q/s"); os.rmdir("q/s"); os.rename("q", "q2"); removed(*held)
os.chdir("k"); os.rename("../k", "../k2"); os.rmdir("../k2"); found.append(os.readlink("/proc/self/cwd"))
print(json.dumps(found))
"""


def both(world: World, script: str) -> tuple[object, object]:
    """What the script prints on the kernel's overlayfs and in the view, without their mount points."""
    line = ["/usr/bin/python3", "-c", script]
    found = []
    for place in (world.kernel(), world.box()):
        done = place.run(line, env=world.env)
        assert (done.status, done.err) == (0, ""), done.err
        found.append(json.loads(done.out.replace(str(Path(place.mount)), "MOUNT")))
    return found[0], found[1]


def test_by_descriptor(world: World) -> None:
    """A lower's stays as it is, by the same errors; the upper's can be changed; private attributes never show."""
    world.lay_out([Node("lower", "dir", 0o755), Node("copied", "dir", 0o755), Node("file", content=b"x")])
    world.freeze()
    kernel, view = both(world, BY_DESCRIPTOR)
    assert view == kernel
    world.assert_lowers_untouched()


def test_names_of_directories(world: World) -> None:
    """They are called what they were called last."""
    world.lay_out([*(Node(name, "dir", 0o755) for name in ("a", "b", "b/c", "e", "e/sub", "h", "i", "j", "k", "l",
                                                          "l/m", "q", "q/r", "t", "t/u")),
                   Node("b/c/f", content=b"x"), Node("j/f", content=b"x")])
    kernel, view = both(world, NAMES)
    assert view == kernel
