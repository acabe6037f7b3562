"""The merged view without a tracee, through cffi: each rule of overlayfs that the rest is built on.

These run as the tests' own user, in this process.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bench import DIR, OWNER, PREFIX, SELF, Bench, fails, is_whiteout, opaque
from support.trees import ACL, Node, whiteout, write
from support.world import World

from ptoverlay._core import lib
from ptoverlay.layer.view import View

pytestmark = pytest.mark.quick


# ---- lookup


def test_upper_hides_lower(open_bench: Callable[..., Bench]) -> None:
    """A name in the upper hides the same name below."""
    b = open_bench([Node("a", content=b"lower"), Node("b", content=b"only lower")], upper=[Node("a", content=b"upper")])
    assert b.view.read(b.mount / "a") == b"upper"
    assert b.view.read(b.mount / "b") == b"only lower"
    assert b.view.real(b.mount / "a") == (lib.PTO_FROM_UPPER, str(b.upper / "a"))
    assert b.view.real(b.mount / "b") == (lib.PTO_FROM_LOWER, str(b.world.lowers[0] / "b"))


def test_first_lower_wins(open_bench: Callable[..., Bench]) -> None:
    """Lowers are given topmost first."""
    b = open_bench(
        [Node("a", content=b"1")],
        [Node("a", content=b"2"), Node("b", content=b"2")],
        [Node("b"), Node("c", content=b"3")],
    )
    assert [b.view.read(b.mount / n) for n in "abc"] == [b"1", b"2", b"3"]
    assert b.view.list(b.mount) == ["a", "b", "c"]


def test_directories_merge(open_bench: Callable[..., Bench]) -> None:
    """A directory in several layers shows the names of all of them, and the attributes of the topmost."""
    b = open_bench(
        [Node("dir", "dir", 0o711), Node("dir/one"), Node("dir/sub", "dir", 0o755), Node("dir/sub/x")],
        [Node("dir", "dir", 0o777), Node("dir/two"), Node("dir/sub", "dir", 0o755), Node("dir/sub/y")],
        upper=[Node("dir", "dir", 0o700), Node("dir/three")],
    )
    assert b.view.list(b.mount / "dir") == ["one", "sub", "three", "two"]
    assert b.view.list(b.mount / "dir/sub") == ["x", "y"]
    assert stat.S_IMODE(b.view.stat(b.mount / "dir").mode) == 0o700


def test_what_the_upper_has_by_directories(open_bench: Callable[..., Bench]) -> None:
    """upper_stats() is upper_list() with what stat() shows of each name: copies, links, new ones, a merged directory, a
    direct place; nothing for whiteouts, and for a directory that only lowers have."""
    b = open_bench(
        [Node("dir", "dir", 0o755), Node("dir/a", mode=0o600, content=b"lower"), Node("dir/gone"), Node("dir/same"),
         Node("dir/sub", "dir", 0o755), Node("dir/sub/x"), Node("low", "dir", 0o755), Node("low/y")]
    )
    top = b.mount / "dir"
    b.view.write(top / "a", b"more")
    b.view.unlink(top / "gone")
    b.view.write(top / "new", b"new")
    b.view.link(top / "new", top / "linked")
    b.view.mkdir(top / "made")
    b.view.symlink("a", top / "link")
    b.view.chmod(top / "sub", 0o700)
    found = b.view.upper_stats(top)
    assert [(name, kind) for name, (kind, _) in found.items()] == b.view.upper_list(top)
    assert list(found) == ["a", "gone", "link", "linked", "made", "new", "sub"]
    assert found.pop("gone") == (0, None)
    assert {name: status for name, (_, status) in found.items()} == {name: b.view.stat(top / name) for name in found}
    assert b.view.upper_stats(b.mount / "low") == {}
    fails(errno.ENOTDIR, b.view.upper_stats, top / "a")
    entry = b.view.entry(top / "new")
    assert (entry.lower, entry.layer, entry.lower_path) == (0, 0, "")
    entry = b.view.entry(top / "a")
    assert (entry.layer, entry.lower_path) == (1, str(b.world.lowers[0] / "dir/a"))


def test_file_ends_the_merge(open_bench: Callable[..., Bench]) -> None:
    """A file between two directories hides the lower one, though the upper one lies above it."""
    b = open_bench(
        [Node("x", content=b"file")], [Node("x", "dir", 0o755), Node("x/hidden")], upper=[Node("x", "dir", 0o755)]
    )
    assert b.view.list(b.mount / "x") == []
    fails(errno.ENOENT, b.view.stat, b.mount / "x/hidden")


def test_whiteout_hides(open_bench: Callable[..., Bench]) -> None:
    """In the upper and in a lower layer, for all layers below."""
    b = open_bench([DIR], [DIR, Node("dir/a"), Node("dir/b"), Node("dir/c")])
    whiteout(b.upper / "never", OWNER)
    lower0 = b.world.lowers[0]
    b.close()
    whiteout(lower0 / "dir/a", OWNER)
    b.world.freeze()
    view = b.again()
    assert view.list(b.mount) == ["dir"]
    assert view.list(b.mount / "dir") == ["b", "c"]
    fails(errno.ENOENT, view.stat, b.mount / "dir/a")
    fails(errno.ENOENT, view.stat, b.mount / "never")
    fails(errno.ENOENT, view.read, b.mount / "dir/a/below")


def test_opaque_hides(open_bench: Callable[..., Bench]) -> None:
    """An opaque directory shows nothing of the layers below it."""
    b = open_bench([DIR, Node("dir/mid")], [DIR, Node("dir/low")], upper=[DIR, Node("dir/up")])
    b.close()
    os.setxattr(b.world.lowers[0] / "dir", f"{PREFIX}.overlay.opaque", b"y")
    b.world.freeze()
    view = b.again()
    assert view.list(b.mount / "dir") == ["mid", "up"]
    b.close()
    os.setxattr(b.upper / "dir", f"{PREFIX}.overlay.opaque", b"y")
    assert b.again().list(b.mount / "dir") == ["up"]


def test_whiteout_file_in_marked_directory(open_bench: Callable[..., Bench]) -> None:
    """The other form: an empty file with the whiteout attribute, in a directory whose opaque attribute is x."""
    b = open_bench([DIR, Node("dir/a"), Node("dir/b")], [DIR, Node("dir/a"), Node("dir/c")])
    b.close()
    top = b.world.lowers[0] / "dir"
    os.setxattr(top, f"{PREFIX}.overlay.opaque", b"x")
    os.setxattr(top / "a", f"{PREFIX}.overlay.whiteout", b"y")
    b.world.freeze()
    view = b.again()
    assert view.list(b.mount / "dir") == ["b", "c"]
    fails(errno.ENOENT, view.stat, b.mount / "dir/a")


def test_symlinks_resolve_in_the_view(open_bench: Callable[..., Bench]) -> None:
    """A lower symlink leads to what the upper has, an upper one to what the lower has, `..` stays in the view."""
    b = open_bench(
        [
            Node("to-upper", "link", target="dir/new"),
            DIR,
            Node("dir/old", content=b"old"),
            Node("up", "link", target="dir/../other"),
        ],
        upper=[
            DIR,
            Node("dir/new", content=b"new"),
            Node("to-lower", "link", target="dir/old"),
            Node("other", content=b"other"),
        ],
    )
    assert b.view.read(b.mount / "to-upper") == b"new"
    assert b.view.read(b.mount / "to-lower") == b"old"
    assert b.view.read(b.mount / "up") == b"other"
    assert b.view.read(b.mount / "dir/../other") == b"other"
    assert b.view.readlink(b.mount / "to-upper") == "dir/new"
    assert b.view.readlink(b.mount / "to-upper", 3) == "dir"
    assert stat.S_ISLNK(b.view.stat(b.mount / "to-upper").mode)
    assert stat.S_ISREG(b.view.stat(b.mount / "to-upper", follow=True).mode)


def test_host_is_as_it_is(open_bench: Callable[..., Bench]) -> None:
    """What no overlay covers."""
    b = open_bench([Node("a")])
    assert b.view.real(Path("/etc/passwd")) == (lib.PTO_FROM_HOST, "/etc/passwd")
    assert b.view.stat(Path("/etc/passwd")).ino == Path("/etc/passwd").stat().st_ino


# ---- copy-up and its attributes


def test_copy_up_keeps_attributes(open_bench: Callable[..., Bench]) -> None:
    """Mode, owner, times to the nanosecond, xattrs and ACLs come along; so do those of the parents."""
    b = open_bench(
        [
            Node("d", "dir", 0o2751, xattrs={"user.d": b"dir"}),
            Node("d/e", "dir", 0o1710),
            Node(
                "d/e/f", mode=0o4754, content=b"content", xattrs={"user.f": b"\0value", "system.posix_acl_access": ACL}
            ),
        ]
    )
    path = b.mount / "d/e/f"
    before = [
        b.view.stat(p)._replace(blocks=0, nlink=0, atime=0, ctime=0) for p in (path, path.parent, path.parent.parent)
    ]
    b.view.setxattr(path, "user.new", b"1")
    after = [
        b.view.stat(p)._replace(blocks=0, nlink=0, atime=0, ctime=0) for p in (path, path.parent, path.parent.parent)
    ]
    assert before == after
    up = b.upper / "d/e/f"
    low = b.world.lowers[0] / "d/e/f"
    for u, lo in ((up, low), (up.parent, low.parent), (up.parent.parent, low.parent.parent)):
        us, ls = u.stat(), lo.stat()
        assert (us.st_mode, us.st_uid, us.st_gid, us.st_mtime_ns) == (ls.st_mode, ls.st_uid, ls.st_gid, ls.st_mtime_ns)
    assert os.getxattr(up, "user.f") == b"\0value"
    assert os.getxattr(up, "system.posix_acl_access") == ACL
    assert os.getxattr(up.parent.parent, "user.d") == b"dir"
    assert up.read_bytes() == b"content"


def test_reading_copies_nothing(open_bench: Callable[..., Bench]) -> None:
    """Reading, listing, stat and a refused change leave the upper empty."""
    b = open_bench([DIR, Node("dir/a", content=b"x")])
    b.view.read(b.mount / "dir/a")
    b.view.list(b.mount / "dir")
    b.view.stat(b.mount / "dir/a")
    fails(errno.EEXIST, b.view.mkdir, b.mount / "dir")
    fails(errno.EEXIST, b.view.open, b.mount / "dir/a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.ENOTEMPTY, b.view.rmdir, b.mount / "dir")
    fails(errno.EISDIR, b.view.unlink, b.mount / "dir")
    fails(errno.ENODATA, b.view.removexattr, b.mount / "dir/a", "user.none")
    assert list(b.upper.iterdir()) == []


def test_sparse_files_stay_sparse(open_bench: Callable[..., Bench]) -> None:
    """Holes are not filled by copying up."""
    b = open_bench([Node("s", content=b"end" * 2000, hole=64 << 20)])
    path = b.mount / "s"
    before = b.view.stat(path)
    b.view.chmod(path, 0o600)
    up = (b.upper / "s").stat()
    assert up.st_size == before.size
    assert up.st_blocks <= before.blocks + 16
    assert (b.upper / "s").read_bytes() == (b.world.lowers[0] / "s").read_bytes()


def test_truncation_copies_no_data(open_bench: Callable[..., Bench]) -> None:
    """What is thrown away is not copied."""
    b = open_bench(
        [Node("a", mode=0o640, content=b"x" * 100_000, xattrs={"user.x": b"1"}), Node("b", content=b"y" * 100_000)]
    )
    b.view.write(b.mount / "a", b"new", os.O_TRUNC)
    assert b.view.read(b.mount / "a") == b"new"
    assert stat.S_IMODE(b.view.stat(b.mount / "a").mode) == 0o640
    assert b.view.getxattr(b.mount / "a", "user.x") == b"1"
    b.view.truncate(b.mount / "b", 10)
    assert b.view.read(b.mount / "b") == b"y" * 10


def test_identity_stays(open_bench: Callable[..., Bench]) -> None:
    """st_dev and st_ino do not change at copy-up or rename, and are those of the next run too."""
    b = open_bench([DIR, Node("dir/a", content=b"x"), Node("l", "link", target="dir")])
    names = [b.mount / "dir", b.mount / "dir/a", b.mount / "l"]
    before = [(b.view.stat(n).dev, b.view.stat(n).ino) for n in names]
    b.view.chmod(b.mount / "dir", 0o700)
    b.view.write(b.mount / "dir/a", b"changed")
    assert [(b.view.stat(n).dev, b.view.stat(n).ino) for n in names] == before
    b.view.rename(b.mount / "dir/a", b.mount / "moved")
    assert (b.view.stat(b.mount / "moved").dev, b.view.stat(b.mount / "moved").ino) == before[1]
    view = b.again()
    assert (view.stat(b.mount / "moved").dev, view.stat(b.mount / "moved").ino) == before[1]
    assert len({view.stat(p).dev for p in (b.mount, b.mount / "dir", b.mount / "moved", b.mount / "l")}) == 1


def test_identity_ends_with_the_object(open_bench: Callable[..., Bench]) -> None:
    """What is new has no number of what was copied up and removed, whatever number the file system gives it."""
    b = open_bench([DIR, *(Node(f"dir/{i}", content=b"x") for i in range(8))])
    before = {b.view.stat(b.mount / f"dir/{i}").ino for i in range(8)}
    for i in range(8):
        b.view.chmod(b.mount / f"dir/{i}", 0o600)
        b.view.unlink(b.mount / f"dir/{i}")
        b.view.write(b.mount / f"new{i}", b"x")
    assert before.isdisjoint(b.view.stat(b.mount / f"new{i}").ino for i in range(8))


def test_identity_of_many_stays(open_bench: Callable[..., Bench]) -> None:
    """However often the table of what the upper shows has grown."""
    b = open_bench([DIR, *(Node(f"dir/{i}") for i in range(600))])
    before = [b.view.stat(b.mount / f"dir/{i}").ino for i in range(600)]
    for i in range(600):
        b.view.chmod(b.mount / f"dir/{i}", 0o600)
    assert [b.view.stat(b.mount / f"dir/{i}").ino for i in range(600)] == before


def test_each_entry_of_an_acl_is_checked(open_bench: Callable[..., Bench]) -> None:
    """posix_acl_from_xattr() in fs/posix_acl.c."""
    b = open_bench([Node("a")])
    for at in range(4, len(ACL), 8):
        for tag in (0, 3, 0x40):
            wrong = ACL[:at] + tag.to_bytes(2, "little") + ACL[at + 2:]
            fails(errno.EINVAL, b.view.setxattr, b.mount / "a", "system.posix_acl_access", wrong)
    fails(errno.EINVAL, b.view.setxattr, b.mount / "a", "system.posix_acl_access", ACL[:-1])
    assert not (b.upper / "a").exists()
    b.view.setxattr(b.mount / "a", "system.posix_acl_access", ACL)


def test_hard_links_change_together(open_bench: Callable[..., Bench]) -> None:
    """All names of a lower file are one file, before and after it is copied up, and in the next run."""
    b = open_bench([DIR, Node("a", content=b"one"), Node("b", "hard", target="a"), Node("dir/c", "hard", target="a")])
    assert b.view.stat(b.mount / "a").nlink == 3
    b.view.write(b.mount / "b", b"two")
    assert [b.view.read(b.mount / n) for n in ("a", "b", "dir/c")] == [b"two"] * 3
    assert {b.view.stat(b.mount / n).ino for n in ("a", "b", "dir/c")} == {b.view.stat(b.mount / "a").ino}
    b.view.unlink(b.mount / "a")
    assert b.view.stat(b.mount / "dir/c").nlink == 2
    view = b.again()
    assert view.read(b.mount / "dir/c") == b"two"
    view.write(b.mount / "dir/c", b"three")
    assert view.read(b.mount / "b") == b"three"


def test_looking_at_hard_links_changes_nothing(open_bench: Callable[..., Bench]) -> None:
    """A view that is only looked at shows all names of a copied-up file as it is now
    and leaves the layer as it was, which a run may be using."""
    b = open_bench([DIR, Node("a", content=b"one"), Node("b", "hard", target="a"), Node("dir/c", "hard", target="a")])
    b.view.write(b.mount / "b", b"two")
    b.view.chmod(b.mount / "b", 0o640)
    ino = b.view.stat(b.mount / "b").ino
    before = b.world.raw_snapshot(b.upper), b.world.raw_snapshot(b.world.work)
    for _ in range(2):
        with View() as look:
            look.lay(b.world.lowers, b.upper, b.world.work, b.mount, lib.PTO_READ_ONLY)
            for name in ("dir/c", "a", "b"):
                found = look.stat(b.mount / name)
                assert (look.read(b.mount / name), stat.S_IMODE(found.mode), found.nlink, found.ino) == (
                    b"two", 0o640, 3, ino), name
            assert Path(look.entry(b.mount / "a").upper_path).read_bytes() == b"two"
        assert before == (b.world.raw_snapshot(b.upper), b.world.raw_snapshot(b.world.work))
        b.close()


# ---- names that go and come again


def test_whiteouts_only_where_needed(open_bench: Callable[..., Bench]) -> None:
    """Removing what only the upper has leaves no whiteout, what the lower has leaves one in the kernel's form."""
    b = open_bench([DIR, Node("dir/low"), Node("file")])
    b.view.write(b.mount / "dir/new", b"x")
    b.view.unlink(b.mount / "dir/new")
    assert list((b.upper / "dir").iterdir()) == []
    b.view.unlink(b.mount / "dir/low")
    b.view.unlink(b.mount / "file")
    assert is_whiteout(b.upper / "dir/low")
    assert is_whiteout(b.upper / "file")
    b.view.rmdir(b.mount / "dir")
    assert is_whiteout(b.upper / "dir")
    assert b.view.list(b.mount) == []
    assert b.again().list(b.mount) == []


def test_made_again(open_bench: Callable[..., Bench]) -> None:
    """A directory in the place of a removed one is opaque, a file in the place of anything is just that file."""
    b = open_bench([DIR, Node("dir/old"), Node("f", content=b"old"), Node("l", "link", target="dir")])
    b.view.unlink(b.mount / "dir/old")
    b.view.rmdir(b.mount / "dir")
    b.view.mkdir(b.mount / "dir", 0o750)
    assert b.view.list(b.mount / "dir") == []
    assert opaque(b.upper / "dir")
    b.view.unlink(b.mount / "f")
    b.view.mkdir(b.mount / "f")
    assert b.view.list(b.mount / "f") == []
    b.view.unlink(b.mount / "l")
    b.view.write(b.mount / "l", b"a file now")
    view = b.again()
    assert view.list(b.mount / "dir") == []
    assert view.list(b.mount / "f") == []
    assert view.read(b.mount / "l") == b"a file now"
    view.write(b.mount / "dir/old", b"again")
    assert view.read(b.mount / "dir/old") == b"again"
    view.unlink(b.mount / "dir/old")
    assert list((b.upper / "dir").iterdir()) == [], "an opaque directory holds no whiteouts"


def test_symlink_over_a_whiteout(open_bench: Callable[..., Bench]) -> None:
    """A symlink, fifo, hard link or rename takes a whiteout's place."""
    b = open_bench([Node(n, content=n.encode()) for n in "abcde"])
    for name in "abcd":
        b.view.unlink(b.mount / name)
    b.view.symlink("e", b.mount / "a")
    b.view.mknod(b.mount / "b", stat.S_IFIFO | 0o600)
    b.view.link(b.mount / "e", b.mount / "c")
    b.view.rename(b.mount / "e", b.mount / "d")
    assert b.view.list(b.mount) == ["a", "b", "c", "d"]
    view = b.again()
    assert view.readlink(b.mount / "a") == "e"
    assert stat.S_ISFIFO(view.stat(b.mount / "b").mode)
    assert view.read(b.mount / "c") == view.read(b.mount / "d") == b"e"
    assert view.stat(b.mount / "c").nlink == 2
    fails(errno.ENOENT, view.stat, b.mount / "e")


# ---- rename


def test_rename_file(open_bench: Callable[..., Bench]) -> None:
    """A whiteout stays behind, the target's lower file is gone."""
    b = open_bench([Node("a", content=b"a"), Node("b", content=b"b")])
    b.view.rename(b.mount / "a", b.mount / "b")
    assert b.view.list(b.mount) == ["b"]
    assert b.view.read(b.mount / "b") == b"a"
    assert is_whiteout(b.upper / "a")
    view = b.again()
    assert view.read(b.mount / "b") == b"a"
    assert view.list(b.mount) == ["b"]


@pytest.mark.parametrize("target", ["moved", "other/moved"])
def test_rename_lower_directory(open_bench: Callable[..., Bench], target: str) -> None:
    """Without copying what is in it: a redirect, relative in the same directory and absolute elsewhere."""
    lower = [
        DIR,
        Node("dir/a", content=b"a"),
        Node("dir/sub", "dir", 0o755),
        Node("dir/sub/b", content=b"b"),
        Node("other", "dir", 0o755),
    ]
    b = open_bench(lower)
    b.view.rename(b.mount / "dir", b.mount / target)
    moved = b.mount / target
    for view in b.both():
        fails(errno.ENOENT, view.stat, b.mount / "dir")
        assert view.list(moved) == ["a", "sub"]
        assert view.read(moved / "a") == b"a"
        assert view.read(moved / "sub/b") == b"b"
    assert not (b.upper / target / "sub/b").exists()
    redirect = os.getxattr(b.upper / target, f"{PREFIX}.overlay.redirect")
    assert redirect == (b"dir" if target == "moved" else b"/dir")
    view.write(moved / "sub/b", b"changed")
    view.unlink(moved / "a")
    view.mkdir(b.mount / "dir")
    for view in b.both():
        assert view.list(moved) == ["sub"]
        assert view.read(moved / "sub/b") == b"changed"
        assert view.list(b.mount / "dir") == []


def test_rename_off(open_bench: Callable[..., Bench]) -> None:
    """With redirect_dir=off the kernel's answer: EXDEV for a directory that the lower has, not for a new one."""
    b = open_bench([DIR, Node("dir/a")], flags=lib.PTO_NO_REDIRECT)
    fails(errno.EXDEV, b.view.rename, b.mount / "dir", b.mount / "moved")
    b.view.mkdir(b.mount / "new")
    b.view.rename(b.mount / "new", b.mount / "newer")
    assert b.view.list(b.mount) == ["dir", "newer"]


def test_rename_onto_directory(open_bench: Callable[..., Bench]) -> None:
    """Over an empty merged directory, and not over one that shows anything."""
    b = open_bench(
        [
            DIR,
            Node("dir/a"),
            Node("emptied", "dir", 0o755),
            Node("emptied/x"),
            Node("full", "dir", 0o755),
            Node("full/y"),
        ]
    )
    b.view.unlink(b.mount / "emptied/x")
    fails(errno.ENOTEMPTY, b.view.rename, b.mount / "dir", b.mount / "full")
    b.view.rename(b.mount / "dir", b.mount / "emptied")
    assert b.view.list(b.mount / "emptied") == ["a"]
    assert b.again().list(b.mount) == ["emptied", "full"]


def test_rename_exchange(open_bench: Callable[..., Bench]) -> None:
    """Files and directories of the lower swap names."""
    b = open_bench([DIR, Node("dir/a", content=b"a"), Node("f", content=b"f")])
    b.view.rename(b.mount / "dir", b.mount / "f", 2)
    for view in b.both():
        assert view.read(b.mount / "dir") == b"f"
        assert view.list(b.mount / "f") == ["a"]
        assert view.read(b.mount / "f/a") == b"a"


# ---- mapping back, places, attributes


def test_map_back(open_bench: Callable[..., Bench]) -> None:
    """A real path of any layer becomes the view's path; one that is whited out has none."""
    b = open_bench([DIR, Node("dir/a"), Node("dir/b"), Node("gone")], upper=[DIR, Node("dir/up")])
    lower = b.world.lowers[0]
    assert b.view.map_back(lower / "dir/a") == str(b.mount / "dir/a")
    assert b.view.map_back(b.upper / "dir/up") == str(b.mount / "dir/up")
    assert b.view.map_back(b.upper) == str(b.mount)
    assert b.view.map_back("/etc/passwd") == "/etc/passwd"
    b.view.unlink(b.mount / "gone")
    fails(errno.ESTALE, b.view.map_back, lower / "gone")
    b.view.rename(b.mount / "dir", b.mount / "moved")
    assert b.view.map_back(lower / "dir/a") == str(b.mount / "moved/a")
    assert b.view.map_back(b.upper / "moved/up") == str(b.mount / "moved/up")
    assert b.again().map_back(lower / "dir/a") == str(b.mount / "moved/a")


def test_private_attributes(open_bench: Callable[..., Bench]) -> None:
    """What the overlay keeps in xattrs is not seen, and not set, from inside."""
    b = open_bench([DIR, Node("dir/a")])
    b.view.unlink(b.mount / "dir/a")
    b.view.rmdir(b.mount / "dir")
    b.view.mkdir(b.mount / "dir")
    assert b.view.listxattr(b.mount / "dir") == []
    fails(errno.ENODATA, b.view.getxattr, b.mount / "dir", f"{PREFIX}.overlay.opaque")
    b.view.setxattr(b.mount / "dir", "user.mine", b"1")
    assert b.view.listxattr(b.mount / "dir") == ["user.mine"]
    b.view.setxattr(b.mount / "dir", f"{PREFIX}.overlay.opaque", b"inside")   # kept under a name of its own
    assert sorted(b.view.listxattr(b.mount / "dir")) == sorted([f"{PREFIX}.overlay.opaque", "user.mine"])
    assert b.view.getxattr(b.mount / "dir", f"{PREFIX}.overlay.opaque") == b"inside"
    assert opaque(b.upper / "dir")


def test_read_only(open_bench: Callable[..., Bench], make_world: Callable[..., World]) -> None:
    """No upper, or ro: EROFS for every change, and reading goes on."""
    world = make_world(SELF, "none")
    write(world.add_lower(), [Node(".", "dir", 0o755), Node("a", content=b"a"), DIR], OWNER)
    world.freeze()
    with View() as view:
        view.lay(world.lowers, None, None, world.mount)
        assert view.read(world.mount / "a") == b"a"
        a, d = world.mount / "a", world.mount / "dir"
        fails(errno.EROFS, view.write, a, b"x")
        fails(errno.EROFS, view.write, d / "new", b"x")
        fails(errno.EROFS, view.unlink, a)
        fails(errno.EROFS, view.rmdir, d)
        fails(errno.EROFS, view.mkdir, d / "x")
        fails(errno.EROFS, view.chmod, a, 0o600)
        fails(errno.EROFS, view.rename, a, d / "a")
        fails(errno.EROFS, view.setxattr, a, "user.x", b"x")
        fails(errno.EROFS, view.unlink, d / "absent")
        fails(errno.EEXIST, view.mkdir, d)
    b = open_bench([Node("a", content=b"a")], flags=lib.PTO_READ_ONLY)
    fails(errno.EROFS, b.view.write, b.mount / "a", b"x")


def test_places(open_bench: Callable[..., Bench]) -> None:
    """Hidden, read-only and direct places inside an overlay."""
    b = open_bench([Node(n, "dir", 0o755) for n in ("hid", "fixed")] + [Node("hid/a"), Node("fixed/a", content=b"a")])
    b.view.add_place(lib.PTO_HIDDEN, str(b.mount / "hid"))
    b.view.add_place(lib.PTO_PLACE_READ_ONLY, str(b.mount / "fixed"))
    assert b.view.list(b.mount) == ["fixed"]
    fails(errno.ENOENT, b.view.stat, b.mount / "hid")
    fails(errno.ENOENT, b.view.stat, b.mount / "hid/a")
    assert b.view.read(b.mount / "fixed/a") == b"a"
    fails(errno.EROFS, b.view.write, b.mount / "fixed/a", b"x")
    fails(errno.EROFS, b.view.write, b.mount / "fixed/new", b"x")


def test_errors_change_nothing(open_bench: Callable[..., Bench]) -> None:
    """Work and upper hold no stray files after failures and after success."""
    b = open_bench([DIR, Node("dir/a", content=b"a"), Node("f")])
    fails(errno.ENOTDIR, b.view.write, b.mount / "f/x", b"x")
    fails(errno.ENOENT, b.view.rename, b.mount / "absent", b.mount / "x")
    fails(errno.EINVAL, b.view.rename, b.mount / "dir", b.mount / "dir/sub")
    fails(errno.ENAMETOOLONG, b.view.write, b.mount / ("n" * 256), b"x")
    fails(errno.EISDIR, b.view.write, b.mount / "dir", b"x")
    b.view.write(b.mount / "dir/a", b"new")
    b.close()
    left = [str(p) for p in b.world.work.rglob("*") if not p.is_dir() and "index" not in p.parts]
    assert left == []


def test_layers_can_be_used_once(open_bench: Callable[..., Bench]) -> None:
    """A second view on the same upper is EBUSY until the first is closed."""
    b = open_bench([Node("a")])
    with View() as other:
        fails(errno.EBUSY, other.lay, b.world.lowers, b.upper, b.world.work, b.mount)
    b.again()


def test_view_over_its_own_layers(make_world: Callable[..., World]) -> None:
    """Where the upper lies below the lower, the view does not show it."""
    world = make_world(SELF, "none")
    top = world.add_lower()
    write(top, [Node(".", "dir", 0o755), Node("a", content=b"a")], OWNER)
    for name in ("state", "state/upper", "state/work"):
        (top / name).mkdir()
    with View() as view:
        view.lay([top], top / "state/upper", top / "state/work", top)
        view.write(top / "a", b"changed")
        assert view.read(top / "a") == b"changed"
        assert view.list(top / "state") == []
        fails(errno.ENOENT, view.stat, top / "state/upper")
    assert (top / "a").read_bytes() == b"a"
    assert (top / "state/upper/a").read_bytes() == b"changed"


def test_index_holds_what_the_upper_has(open_bench: Callable[..., Bench]) -> None:
    """Its size follows the upper, not the lower: reading a big lower adds next to nothing."""
    b = open_bench([DIR, *(Node(f"dir/{i:04}") for i in range(2000))])
    for i in range(0, 2000, 50):
        b.view.stat(b.mount / f"dir/{i:04}")
    assert len(b.view.list(b.mount / "dir")) == 2000
    assert b.view.index_size()[0] < 100


def test_what_a_killed_run_left_to_be_made_is_removed(tmp_path: Path) -> None:
    """Objects that did not get to their place are gone when the layer is opened again, of any kind and depth."""
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    for path in (lower, upper, work / "work/#1/deep"):
        path.mkdir(parents=True)
    (work / "work/#2").write_text("half")
    (work / "work/#1/deep/link").symlink_to(lower)
    with View() as view:
        view.lay([lower], upper, work, lower)
        assert os.listdir(work / "work") == []
    assert os.listdir(tmp_path / "lower") == []
