"""A commit of many files: what need not be copied is not, nothing is synced file by file, nothing of the upper is left.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.trees import in_memory

from ptoverlay.commit import kernel
from ptoverlay.commit.carry import commit
from ptoverlay.commit.journal import Journal
from ptoverlay.commit.removal import Removal
from ptoverlay.commit.tree import Tree
from ptoverlay.layer.view import View
from ptoverlay.sandboxes.sandbox import Metadata, Sandbox

DIRECTORIES, FILES = 120, 240


@pytest.fixture
def area() -> Iterator[Path]:
    with in_memory() as path:
        for name in ("lower", "upper", "work"):
            (path / name).mkdir()
        yield path


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


def _new_directories(view: View, m: str) -> None:
    view.mkdir(f"{m}/new", 0o750)
    view.mkdir(f"{m}/new/sub", 0o2711)
    view.write(f"{m}/new/sub/file", b"file\n")
    view.setxattr(f"{m}/new/sub", "user.own", b"1")
    view.setxattr(f"{m}/new/sub/file", "user.own", b"2")
    view.symlink("sub", f"{m}/new/link")
    view.unlink(f"{m}/was")
    view.mkdir(f"{m}/was")
    view.write(f"{m}/was/file", b"was\n")
    view.mkdir(f"{m}/d/one")
    view.write(f"{m}/d/one/file", b"one\n")


_NEW_NAMES = ("new", "new/sub", "new/sub/file", "new/link", "was", "was/file", "d/one", "d/one/file")


def _made(area: Path) -> Sandbox:
    """A layer with new directories over a lower in which one of them was a file."""
    lower = area / "lower"
    (lower / "was").write_text("before\n")
    (lower / "d").mkdir()
    (lower / "d/kept").write_text("kept\n")
    box = sandbox_of(area)
    change(box, _new_directories)
    return box


def _moved(area: Path, box: Sandbox, names: tuple[str, ...] = _NEW_NAMES) -> set[str]:
    """Commits all; those of the names that are the upper's own objects now.  They are all that is there."""
    upper, lower = area / "upper", area / "lower"
    before = {name: (upper / name).lstat() for name in names}
    assert not commit(box).refused
    after = {name: (lower / name).lstat() for name in names}
    for name, status in before.items():
        assert (status.st_mode, status.st_mtime_ns) == (after[name].st_mode, after[name].st_mtime_ns), name
    found = {str(path.relative_to(lower)) for path in lower.rglob("*")}
    assert found == {*names, "d", "d/kept"}
    assert os.listdir(upper) == []
    no_marks(lower)
    assert not os.path.exists(Path(box.work) / "commit")
    return {name for name in names if before[name].st_ino == after[name].st_ino}


def test_new_directories_are_moved_whole(area: Path) -> None:
    """The directory, and each object in it, is the upper's own; times and attributes come with it."""
    box = _made(area)
    times = {path: path.stat().st_mtime_ns for path in (area / "upper/d", area / "upper/new", area / "upper/new/sub")}
    assert _moved(area, box) == {*_NEW_NAMES}
    lower = area / "lower"
    assert os.getxattr(lower / "new/sub", "user.own") == b"1"
    assert os.getxattr(lower / "new/sub/file", "user.own") == b"2"
    assert (lower / "was/file").read_text() == "was\n"
    assert [(lower / path.relative_to(area / "upper")).stat().st_mtime_ns for path in times] == [*times.values()]


def test_many_in_a_new_directory_are_synced_at_once(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the directory is moved, and not one by one."""
    box = sandbox_of(area)

    def edit(view: View, m: str) -> None:
        view.mkdir(f"{m}/new")
        for i in range(FILES):
            view.write(f"{m}/new/{i}", b"x" * i)

    change(box, edit)
    done: list[str] = []

    def noted(name: str) -> None:
        real = getattr(kernel, name)

        def call(*words: Any) -> None:
            done.append(name)
            real(*words)
        monkeypatch.setattr(kernel, name, call)

    noted("syncfs")
    noted("rename2")
    assert not commit(box).refused
    assert done[:2] == ["syncfs", "rename2"]
    assert done.count("rename2") == 2  # beside its place, and there
    assert len(os.listdir(area / "lower/new")) == FILES


def _linked(area: Path) -> None:
    os.link(area / "upper/new/sub/file", area / "elsewhere")


def _others_may_write(area: Path) -> None:
    (area / "upper").chmod(0o777)
    os.chown(area / "upper/was", 4321, 4321)


def _project(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(1000))
    monkeypatch.setattr(kernel, "project_of", lambda _fd: next(numbers))


def test_one_with_another_name_is_copied_with_its_directory(area: Path) -> None:
    box = _made(area)
    _linked(area)
    assert _moved(area, box) & {"new", "new/sub", "new/sub/file"} == set()


def test_one_that_is_written_is_copied_with_its_directory(area: Path) -> None:
    """Others are moved."""
    box = _made(area)
    with (area / "upper/new/sub/file").open("ab") as still:
        moved = _moved(area, box)
        still.write(b"LATE\n")
    assert (area / "lower/new/sub/file").read_text() == "file\n"
    assert moved == {"was", "was/file", "d/one", "d/one/file"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_where_others_could_put_something_in_its_place(area: Path) -> None:
    """Nothing is moved by its name; files are shared by their descriptors, and what is another's is made anew."""
    box = _made(area)
    _others_may_write(area)
    assert _moved(area, box) & {"new", "new/sub", "was", "d/one"} <= {"d/one"}
    assert (area / "lower/was").stat().st_uid == 4321


def test_across_projects_directories_are_made_anew(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rename(2) would say EXDEV."""
    box = _made(area)
    _project(area, monkeypatch)
    assert _moved(area, box) & {"new", "was", "d/one"} == set()


def test_a_part_of_a_new_directory(area: Path) -> None:
    """Then what was not asked for stays in the upper."""
    box = _made(area)
    outcome = commit(box, [f"{box.mount}/new/sub"])
    assert {change.path.removeprefix(f"{box.mount}/") for change in outcome.done} == {"new", "new/sub", "new/sub/file"}
    assert sorted(path.name for path in (area / "upper/new").iterdir()) == ["link"]
    assert not (area / "lower/new/link").is_symlink()
    assert not commit(box).refused
    assert os.readlink(area / "lower/new/link") == "sub"
    assert os.listdir(area / "upper") == []
    no_marks(area / "lower")


def test_what_comes_to_its_place_meanwhile_stays(area: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's is kept, and the directory is in the upper as before."""
    box = _made(area)
    real = kernel.rename2

    def late(*words: Any) -> None:
        if words[1] == "new" or words[3] == "new":
            (area / "lower/new").mkdir(exist_ok=True)
            (area / "lower/new/host").write_text("host\n")
        real(*words)

    monkeypatch.setattr(kernel, "rename2", late)
    outcome = commit(box)
    assert outcome.refused == {f"{box.mount}/new": "changed on the host meanwhile"}
    assert [path.name for path in (area / "lower/new").iterdir()] == ["host"]
    assert (area / "upper/new/sub/file").read_text() == "file\n"
    assert not [path for path in area.rglob("*") if path.name.startswith(".ptoverlay")]


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


@pytest.mark.quick
@pytest.mark.parametrize("each", [3, 100])
def test_removal(area: Path, each: int) -> None:
    """Few by one thread, many by several: all are gone but what cannot be removed, which is told, and times stay."""
    paths = [f"{directory}/{number}" for directory in ("one", "two/inner", "two") for number in range(each)]
    area /= "lower"
    for path in paths:
        (area / path).parent.mkdir(parents=True, exist_ok=True)
        (area / path).touch()
    (area / "two/held/inside").mkdir(parents=True)
    for directory in ("one", "two"):
        os.utime(area / directory, ns=(1, 2))
    with Tree(str(area)) as tree, Removal() as removal:
        failures = removal.unlink(tree, [*paths, "two/held", "one/missing"], keep_times=True)
    assert sorted((path, error.errno) for path, error in failures) == [
        ("one/missing", errno.ENOENT), ("two/held", errno.EISDIR)]
    assert sorted(str(path.relative_to(area)) for path in area.rglob("*")) == [
        "one", "two", "two/held", "two/held/inside", "two/inner"]
    assert [(area / directory).stat().st_mtime_ns for directory in ("one", "two")] == [2, 2]
