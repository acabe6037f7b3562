"""Objects of the view whose paths are longer than PATH_MAX, reached through symlinks: by the core's calls alone.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bench import PREFIX, fails

from ptoverlay.layer.view import View

pytestmark = pytest.mark.quick
NAME = "n" * 250
HALF = "/".join([NAME] * 10)
#: Below the mount point: 20 directories of 250 bytes each.
DEEP = "half/rest"


@contextmanager
def stepped(top: Path, depth: int) -> Iterator[int]:
    """A descriptor of the directory that is so many steps down."""
    fd = os.open(top, os.O_PATH)
    for _ in range(depth):
        inner = os.open(NAME, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = inner
    try:
        yield fd
    finally:
        os.close(fd)


def put(directory: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory)
    os.write(fd, content)
    os.close(fd)


def got(directory: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY, dir_fd=directory)
    content = os.read(fd, 100)
    os.close(fd)
    return content


def dig(top: Path) -> None:
    """The directories, two files and a symlink at their end, and the symlinks that lead there."""
    for depth in range(20):
        with stepped(top, depth) as fd:
            os.mkdir(NAME, 0o755, dir_fd=fd)
    with stepped(top, 20) as fd:
        for name in ("file", "gone", "twin"):
            put(fd, name, name.encode())
        os.link("twin", "other", src_dir_fd=fd, dst_dir_fd=fd)
        os.symlink("file", "link", dir_fd=fd)
        os.mkdir("sub", 0o755, dir_fd=fd)
        put(fd, "sub/in", b"in")
    with stepped(top, 10) as fd:
        os.symlink(HALF, "rest", dir_fd=fd)
    os.symlink(HALF, top / "half")


class Deep:
    """A view on a lower that has been dug, opened anew by `again`."""

    def __init__(self, area: Path) -> None:
        self.lower, self.upper, self.work, self.mount = (area / name for name in ("lower", "upper", "work", "mount"))
        for path in (self.lower, self.upper, self.work, self.mount):
            path.mkdir()
        dig(self.lower)
        self.view = self._open()

    def _open(self) -> View:
        view = View().__enter__()
        view.lay([self.lower], self.upper, self.work, self.mount)
        return view

    def again(self) -> View:
        """The view as the next run sees it."""
        self.close()
        self.view = self._open()
        return self.view

    def close(self) -> None:
        """Lets go of the layers."""
        self.view.__exit__(None, None, None)


@pytest.fixture
def bench(area: Path) -> Iterator[Deep]:
    """Its trees are removed here, by steps."""
    deep = Deep(area)
    yield deep
    deep.close()
    for layer in (deep.upper, deep.lower):
        shutil.rmtree(layer / NAME, ignore_errors=True)


def test_looked_at(bench: Deep) -> None:
    """Nothing is copied up, and the names, attributes and contents are the lower's."""
    view, deep = bench.view, bench.mount / DEEP
    assert view.list(deep) == ["file", "gone", "link", "other", "sub", "twin"]
    assert [view.read(deep / name) for name in ("file", "link")] == [b"file", b"file"]
    assert view.readlink(deep / "link") == "file"
    assert view.stat(deep / "twin").ino == view.stat(deep / "other").ino
    assert view.stat(deep / "twin").nlink == 2
    fails(errno.ENOENT, view.stat, deep / "missing")
    assert os.listdir(bench.upper) == []


def test_changed(bench: Deep) -> None:
    """Every change is in the upper, seen at once and by the next run; the lower stays as it was."""
    deep = bench.mount / DEEP
    change = bench.view
    change.write(deep / "file", b"+", os.O_APPEND)
    change.chmod(deep / "file", 0o600)
    change.setxattr(deep / "file", "user.note", b"set")
    change.write(deep / "new", b"new")
    change.mkdir(deep / "made")
    change.write(deep / "made/inner", b"inner")
    change.symlink("new", deep / "to-new")
    change.link(deep / "new", deep / "second")
    change.unlink(deep / "gone")
    change.rename(deep / "link", deep / "moved")
    change.write(deep / "twin", b"shared")
    change.unlink(deep / "sub/in")
    change.rmdir(deep / "sub")
    change.mkdir(deep / "sub")
    for again in (False, True):
        view = bench.again() if again else change
        assert view.list(deep) == ["file", "made", "moved", "new", "other", "second", "sub", "to-new", "twin"]
        assert view.list(deep / "made") == ["inner"]
        assert view.list(deep / "sub") == []
        assert [view.read(deep / name) for name in ("file", "new", "second", "other", "to-new")] == [
            b"file+", b"new", b"new", b"shared", b"new"]
        assert view.stat(deep / "file").mode & 0o7777 == 0o600
        assert view.getxattr(deep / "file", "user.note") == b"set"
        assert view.readlink(deep / "moved") == "file"
        fails(errno.ENOENT, view.stat, deep / "gone")
    with stepped(bench.upper, 20) as fd:
        assert got(fd, "file") == b"file+"
        sub = os.open("sub", os.O_RDONLY, dir_fd=fd)
        assert os.getxattr(sub, f"{PREFIX}.overlay.opaque") == b"y"
        os.close(sub)
    with stepped(bench.lower, 20) as fd:
        assert [got(fd, name) for name in ("file", "gone", "twin", "sub/in")] == [b"file", b"gone", b"twin", b"in"]


def test_bounded(bench: Deep) -> None:
    """What is deeper than the view's longest path is refused, and nothing is made there; what fits still works."""
    view, top = bench.view, bench.mount / DEEP
    made = 0
    with pytest.raises(OSError) as caught:  # noqa: PT012 (how often it works is what is asked)
        for _ in range(10):
            for depth in range(10):
                view.mkdir("/".join([str(top), *[NAME] * (depth + 1)]))
                made += 1
            view.symlink(HALF, top / "down")
            top /= "down"
    assert errno.errorcode[caught.value.errno or 0] == "ENAMETOOLONG"
    assert made == (4 * 4096 - 1 - len(str(bench.mount))) // 251 - 20
    inner = top / "/".join([NAME] * (made % 10 - 1))
    view.write(inner / "end", b"end")
    assert (view.read(inner / "end"), view.list(inner)) == (b"end", ["end", NAME])
