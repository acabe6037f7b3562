"""--direct, --read-only, --hide: what they show, and what they keep from being changed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

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
