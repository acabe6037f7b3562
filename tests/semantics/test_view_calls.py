"""Calls of the view without a tracee: what they refuse, and what they set.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

import pytest
from support.bench import DIR, OWNER, Bench, fails
from support.trees import OLD, Node, whiteout

from ptoverlay._core import ffi, lib

pytestmark = pytest.mark.quick
UTIME_OMIT = (1 << 30) - 2   # sys/stat.h


def test_outside_of_overlays(open_bench: Callable[..., Bench]) -> None:
    """Nothing is changed there; the kernel's answer for another file system."""
    b = open_bench([Node("a")])
    place = b.world.area / "outside"
    (place / "dir").mkdir(parents=True)
    (place / "file").write_text("text")
    os.setxattr(place / "file", "user.kept", b"1")
    file, new = place / "file", place / "new"
    before = b.world.raw_snapshot(place)
    calls: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (b.view.chmod, (file, 0)), (b.view.chown, (file, 1, 1)), (b.view.utimens, (file, 1, 1)),
        (b.view.truncate, (file, 1)), (b.view.setxattr, (file, "user.new", b"1")),
        (b.view.removexattr, (file, "user.kept")), (b.view.mkdir, (new,)), (b.view.mknod, (new, stat.S_IFIFO | 0o600)),
        (b.view.symlink, ("a", new)), (b.view.link, (b.mount / "a", new)), (b.view.link, (file, b.mount / "new")),
        (b.view.unlink, (file,)), (b.view.rmdir, (place / "dir",)), (b.view.rename, (file, new)),
        (b.view.rename, (file, b.mount / "new")), (b.view.rename, (b.mount / "a", new)), (b.view.write, (file, b"x")),
        (b.view.write, (new, b"x")), (b.view.list, (place,)), (b.view.upper_list, (place,))]
    for call, arguments in calls:
        fails(errno.EXDEV, call, *arguments)
    assert b.world.raw_snapshot(place) == before
    assert b.view.list(b.mount) == ["a"]


@pytest.mark.root_only
def test_devices(open_bench: Callable[..., Bench]) -> None:
    """Root's have their numbers; a whiteout is not made by hand."""
    b = open_bench([Node("a")])
    b.view.unlink(b.mount / "a")
    for name in ("a", "b"):
        b.view.mknod(b.mount / name, stat.S_IFCHR | 0o640, os.makedev(0xABC, 0xFEDCB))
        fails(errno.EPERM, b.view.mknod, b.mount / f"{name}0", stat.S_IFCHR | 0o600, 0)
    b.view.mknod(b.mount / "c", stat.S_IFBLK | 0o600, 0)
    for view in b.both():
        assert [(view.stat(b.mount / name).mode, view.stat(b.mount / name).rdev) for name in "abc"] == [
            (stat.S_IFCHR | 0o640, os.makedev(0xABC, 0xFEDCB))] * 2 + [(stat.S_IFBLK | 0o600, 0)]
        assert view.list(b.mount) == ["a", "b", "c"]


def test_links_of_links(open_bench: Callable[..., Bench]) -> None:
    """Forty are followed."""
    chain = [Node(f"l{i}", "link", target=f"l{i - 1}" if i > 1 else "file") for i in range(1, 42)]
    b = open_bench([Node("file", content=b"text"), *chain, Node("loop", "link", target="loop")])
    assert b.view.read(b.mount / "l40") == b"text"
    fails(errno.ELOOP, b.view.read, b.mount / "l41")
    fails(errno.ELOOP, b.view.read, b.mount / "loop")
    fails(errno.ELOOP, b.view.list, b.mount / "loop/x")


def test_links_that_lead_out(open_bench: Callable[..., Bench]) -> None:
    """Of the overlay, and back into it, by the root and by `..`."""
    b = open_bench([Node("file", content=b"text")])
    mount = os.fspath(b.mount)
    for name, target in {"out": "/", "root": f"/..{mount}", "up": f"..//{b.mount.name}/./file", "self": mount}.items():
        b.view.symlink(target, b.mount / name)
    assert b.view.read(b.mount / f"out/{mount}/file") == b"text"
    assert b.view.read(b.mount / "root/file") == b"text"
    assert b.view.read(b.mount / "up") == b"text"
    assert b.view.list(b.mount / "self/self") == ["file", "out", "root", "self", "up"]
    long = f"{'./' * 2040}file"
    b.view.symlink(long, b.mount / "long")
    assert b.view.read(b.mount / "long") == b"text"
    b.view.symlink(f"{'./' * 2030}self", b.mount / "longer")
    fails(errno.ENOENT, b.view.read, b.mount / "longer" / ("x/" * 100))
    assert b.view.read(b.mount / "longer" / ("self/" * 30) / "file") == b"text"


@pytest.mark.parametrize("flags", [0, os.O_SYNC], ids=["as made", "opened again"])
def test_mode_of_a_new_file(open_bench: Callable[..., Bench], flags: int) -> None:
    """Who makes it may write, whatever the mode says that it has from then on."""
    b = open_bench([Node("a")])
    for name, mode in {"none": 0, "read": 0o444, "more": 0o751}.items():
        fd = b.view.open(b.mount / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, mode)
        assert os.write(fd, b"text") == 4
        os.close(fd)
        assert stat.S_IMODE(b.view.stat(b.mount / name).mode) == mode
    assert {name: (b.upper / name).read_bytes() for name in os.listdir(b.upper)} == dict.fromkeys(
        ("none", "read", "more"), b"text")


def test_times(open_bench: Callable[..., Bench]) -> None:
    """Either can be left as it is; a truncation sets the modification time alone."""
    b = open_bench([Node("a", content=b"text"), DIR])
    path = os.fsencode(b.mount / "a")
    assert lib.pto_utimens(b.view.handle, path, False, 0, UTIME_OMIT, 5, 6) == 0
    st = b.view.stat(b.mount / "a")
    assert (st.mtime, st.atime >= OLD) == (5 * 10**9 + 6, True)
    assert lib.pto_utimens(b.view.handle, path, False, 7, 8, 0, UTIME_OMIT) == 0
    st = b.view.stat(b.mount / "a")
    assert (st.mtime, st.atime) == (5 * 10**9 + 6, 7 * 10**9 + 8)
    b.view.truncate(b.mount / "a", 4)
    st = b.view.stat(b.mount / "a")
    assert (st.mtime > OLD, st.atime) == (True, 7 * 10**9 + 8)
    fails(errno.EISDIR, b.view.truncate, b.mount / "dir", 0)


def test_rename_off_over_a_merged_directory(open_bench: Callable[..., Bench]) -> None:
    """Without redirects what is new may take the place of what is merged, but not change places with it."""
    b = open_bench([DIR, Node("dir/a"), Node("file")], flags=lib.PTO_NO_REDIRECT)
    b.view.mkdir(b.mount / "new")
    b.view.unlink(b.mount / "dir/a")
    fails(errno.EXDEV, b.view.rename, b.mount / "new", b.mount / "dir", 2)
    fails(errno.EXDEV, b.view.rename, b.mount / "dir", b.mount / "new", 2)
    b.view.rename(b.mount / "new", b.mount / "dir")
    for view in b.both():
        assert (view.list(b.mount), view.list(b.mount / "dir")) == (["dir", "file"], [])


def test_places_do_not_move(open_bench: Callable[..., Bench]) -> None:
    """A directory that holds a place is busy, from whichever side it is renamed; files beside it are not."""
    b = open_bench([DIR, Node("dir/in", "dir", 0o755), Node("other", "dir", 0o755), Node("file"), Node("dir/x")])
    b.view.add_place(lib.PTO_PLACE_READ_ONLY, str(b.mount / "dir/in"))
    fails(errno.EBUSY, b.view.rename, b.mount / "dir", b.mount / "moved")
    fails(errno.EBUSY, b.view.rename, b.mount / "dir", b.mount / "other", 2)
    fails(errno.EBUSY, b.view.rename, b.mount / "other", b.mount / "dir", 2)
    fails(errno.EBUSY, b.view.rename, b.mount / "file", b.mount / "dir", 2)
    b.view.rename(b.mount / "dir/x", b.mount / "file")
    b.view.rename(b.mount / "other", b.mount / "moved")
    assert (b.view.list(b.mount), b.view.list(b.mount / "dir")) == (["dir", "file", "moved"], ["in"])


def test_overlay_in_a_place(open_bench: Callable[..., Bench]) -> None:
    """What lies deeper counts, in whatever order it was said: an overlay in a direct place, in an overlay."""
    b = open_bench([DIR, Node("dir/in", "dir", 0o755), Node("dir/in/deep", "dir", 0o755), Node("dir/in/deep/first")])
    for name in ("dir/in/deep", "dir/in/deep/kept"):
        (b.mount / name).mkdir(parents=True)
    lower = b.world.area / "second"
    (lower / "sub").mkdir(parents=True)
    b.view.add_place(lib.PTO_DIRECT, str(b.mount / "dir/in"))
    b.view.lay([lower], None, None, b.mount / "dir/in/deep")
    b.view.add_place(lib.PTO_HIDDEN, str(b.mount / "dir/in/deep/sub"))
    b.view.add_place(lib.PTO_PLACE_READ_ONLY, str(b.mount / "dir"))
    assert b.view.list(b.mount) == ["dir"]
    assert b.view.real(b.mount / "dir/in")[0] == lib.PTO_FROM_HOST
    assert b.view.list(b.mount / "dir/in/deep") == []
    fails(errno.ENOENT, b.view.stat, b.mount / "dir/in/deep/sub")
    fails(errno.ENOENT, b.view.stat, b.mount / "dir/in/deep/kept")
    fails(errno.EROFS, b.view.mkdir, b.mount / "dir/new")
    b.view.mkdir(b.mount / "beside")


def test_longest_path(open_bench: Callable[..., Bench]) -> None:
    """PATH_MAX holds the NUL."""
    b = open_bench([Node("file")])
    out = ffi.new("struct pto_stat *")
    start = os.fsencode(b.mount) + b"/"
    for length, result in {4095: 0, 4096: -errno.ENAMETOOLONG, 5000: -errno.ENAMETOOLONG}.items():
        path = start + b"/" * (length - len(start) - len(b"file")) + b"file"
        assert lib.pto_stat(b.view.handle, path, False, out) == result
    assert lib.pto_stat(b.view.handle, b"", False, out) == -errno.EINVAL
    assert lib.pto_stat(b.view.handle, b"relative", False, out) == -errno.EINVAL
    for length, number in {255: errno.ENOENT, 256: errno.ENAMETOOLONG}.items():
        fails(number, b.view.stat, b.mount / ("n" * length))


def test_directories_are_not_opened_to_be_changed(open_bench: Callable[..., Bench]) -> None:
    """Nor with a flag that would make or cut a file."""
    b = open_bench([DIR])
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_CREAT | os.O_DIRECTORY):
        fails(errno.EISDIR, b.view.open, b.mount / "dir", flags)
    fails(errno.EEXIST, b.view.open, b.mount / "dir", os.O_CREAT | os.O_EXCL)
    os.close(b.view.open(b.mount / "dir", os.O_RDONLY | os.O_DIRECTORY))
    assert list(b.upper.iterdir()) == []


def test_empty_over_several_lowers(open_bench: Callable[..., Bench]) -> None:
    """What a whiteout of one lower hides in another does not count; what nobody hides does.  st_nlink 1: not known."""
    names = ("full", "hidden")
    b = open_bench([Node(name, "dir", 0o755) for name in names],
                   [Node(path, kind, 0o755) for name in names for path, kind in ((name, "dir"), (f"{name}/a", "file"))])
    b.close()
    whiteout(b.world.lowers[0] / "hidden/a", OWNER)
    b.world.freeze()
    view = b.again()
    assert [view.stat(b.mount / name).nlink for name in names] == [1, 1]
    view.chmod(b.mount / "full", 0o700)
    assert view.stat(b.mount / "full").nlink == 1
    fails(errno.ENOTEMPTY, view.rmdir, b.mount / "full")
    view.rmdir(b.mount / "hidden")
    for view in b.both():
        assert view.list(b.mount) == ["full"]


@pytest.mark.root_only
def test_root_keeps_set_id_bits(open_bench: Callable[..., Bench]) -> None:
    """Who has CAP_FSETID changes data without them: as the kernel has it, but for chown(2)."""
    b = open_bench([Node(name, mode=0o6755, content=b"text") for name in "abc"])
    b.view.truncate(b.mount / "a", 1)
    b.view.write(b.mount / "b", b"new", os.O_TRUNC)
    b.view.chown(b.mount / "c", -1, -1)
    modes = [0o6755, 0o6755, 0o755]
    assert [stat.S_IMODE(b.view.stat(b.mount / name).mode) for name in "abc"] == modes
