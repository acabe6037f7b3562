"""A commit of many files: what need not be copied is not, nothing is synced file by file, nothing of the upper is left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ptoverlay.commit import kernel
from ptoverlay.commit.carry import commit
from ptoverlay.commit.journal import Journal
from ptoverlay.layer.view import View
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Metadata, Sandbox

DIRECTORIES, FILES = 120, 240


@pytest.fixture
def area() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    for name in ("lower", "upper", "work"):
        (path / name).mkdir()
    yield path
    remove_tree(str(path))


def sandbox_of(area: Path) -> Sandbox:
    lower = str(area / "lower")
    return Sandbox(Metadata("", [lower], lower), str(area / "upper"), str(area / "work"))


def change(box: Sandbox, action: Callable[[View, str], None]) -> None:
    with box.view(writable=True) as view:
        action(view, box.mount)


def inode(path: Path) -> int:
    return path.stat().st_ino


def no_marks(top: Path) -> None:
    """Nothing of the upper's own, and no name of the commit's."""
    for directory, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(directory, name)
            assert not name.startswith(".ptoverlay"), path
            assert not [mark for mark in os.listxattr(path, follow_symlinks=False) if "overlay" in mark], path


def test_what_is_the_uppers_alone_is_not_copied(area: Path) -> None:
    """New files, changed ones, those of a new directory and of a renamed one: the inode is the upper's."""
    lower = area / "lower"
    (lower / "old").mkdir()
    for name in ("changed", "old/changed", "mode"):
        (lower / name).write_text("before\n")
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        view.write(f"{m}/new", b"new\n")
        view.write(f"{m}/changed", b"changed\n")
        view.mkdir(f"{m}/dir")
        view.write(f"{m}/dir/new", b"in dir\n")
        view.setxattr(f"{m}/dir/new", "user.own", b"1")
        view.rename(f"{m}/old", f"{m}/renamed")
        view.write(f"{m}/renamed/changed", b"renamed\n")
        view.chmod(f"{m}/mode", 0o600)

    change(box, edit)
    names = ("new", "changed", "dir/new", "renamed/changed")
    stats = {name: (area / "upper" / name).stat() for name in names}
    before = {name: (status.st_ino, status.st_mtime_ns) for name, status in stats.items()}
    mode = inode(lower / "mode")
    assert not commit(box).refused
    assert {name: ((lower / name).stat().st_ino, (lower / name).stat().st_mtime_ns) for name in names} == before
    assert [(lower / name).read_text() for name in names] == ["new\n", "changed\n", "in dir\n", "renamed\n"]
    assert os.getxattr(lower / "dir/new", "user.own") == b"1"
    assert inode(lower / "mode") == mode
    assert os.listdir(area / "upper") == []
    no_marks(lower)


def test_what_somebody_could_still_change_is_copied(area: Path) -> None:
    """A file that is open for writing or mapped so, or has another name: its later life is not the host's."""
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        for name in ("open", "mapped", "linked", "free"):
            view.write(f"{m}/{name}", b"text\n")

    change(box, edit)
    upper, lower = area / "upper", area / "lower"
    os.link(upper / "linked", area / "elsewhere")
    import mmap

    with open(upper / "open", "r+b") as still, open(upper / "mapped", "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
        file.close()
        inodes = {name: inode(upper / name) for name in ("open", "mapped", "linked", "free")}
        assert not commit(box).refused
        still.write(b"LATE\n")
        still.flush()
        mapping[:4] = b"LATE"
        mapping.close()
    (area / "elsewhere").write_text("LATE\n")
    assert {name for name in inodes if inode(lower / name) == inodes[name]} == {"free"}
    assert {(lower / name).read_text() for name in inodes} == {"text\n"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_belongs_to_others_is_copied(area: Path) -> None:
    """They may have it open by ways that nobody sees."""
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        view.write(f"{m}/theirs", b"text\n")
        view.chown(f"{m}/theirs", 1234, 1234)

    change(box, edit)
    before = inode(area / "upper/theirs")
    assert not commit(box).refused
    assert inode(area / "lower/theirs") != before
    assert (area / "lower/theirs").stat().st_uid == 1234


def test_nothing_is_synced_one_by_one(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few syncs a stage, however many files and directories there are."""
    lower = area / "lower"
    for i in range(DIRECTORIES):
        (lower / f"d{i}").mkdir()
        (lower / f"d{i}/changed").write_text("before\n")
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        for i in range(FILES):
            view.write(f"{m}/d{i % DIRECTORIES}/{'changed' if i < DIRECTORIES else 'new'}", b"x" * i)

    change(box, edit)
    counts = {"fsync": 0, "syncfs": 0}

    def counted(module: Any, name: str) -> None:
        real = getattr(module, name)

        def call(*words: Any) -> Any:
            counts[name] += 1
            return real(*words)
        monkeypatch.setattr(module, name, call)

    counted(os, "fsync")
    counted(kernel, "syncfs")
    assert not commit(box).refused
    assert counts["syncfs"] <= 3
    assert counts["fsync"] <= 8  # of the journal
    assert sum(1 for _ in lower.glob("*/*")) == FILES
    no_marks(lower)


@pytest.mark.parametrize("names", [1, 200])
def test_a_commit_that_fails_leaves_the_times(area: Path, monkeypatch: pytest.MonkeyPatch, names: int) -> None:
    """A full disk, wherever it shows: the host's directories are what they were, with their times."""
    lower = area / "lower"
    (lower / "d").mkdir()
    (lower / "d/a").write_text("a\n")
    for directory in (lower / "d", lower):
        os.utime(directory, ns=(5, 5))
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        for i in range(names):
            view.write(f"{m}/d/new{i}", b"x" * 10)
            view.write(f"{m}/new{i}", b"x" * 10)

    change(box, edit)
    monkeypatch.setattr(kernel, "is_written", lambda _fd: True)

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("ptoverlay.commit.staging.copy_data", full)
    with pytest.raises(Exception, match="No space left"):
        commit(box)
    assert [directory.stat().st_mtime_ns for directory in (lower / "d", lower)] == [5, 5]
    assert sorted(path.name for path in lower.rglob("*")) == ["a", "d"]
    assert not Journal.path(box.work).exists()
    assert len(os.listdir(area / "upper")) == names + 1
