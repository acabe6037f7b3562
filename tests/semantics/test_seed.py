"""What overlayfs has promised since its announcement, row by row: for each row the tests that hold it.

A row is one promise.  Where another file tests it already, the row names that test; the others are here and in
test_seed_kernel.py and test_seed_run.py, as test_rowNN_….  Rows that cannot be had are in support/differences.py, with
the reason.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import host
from support.box import ROOT_DIRECTORY as TOP
from support.differences import DIFFERENCES
from support.places import Place, fails

from ptoverlay import options
from ptoverlay.layer.view import View

PREFIX = "trusted.overlay." if os.geteuid() == 0 else "user.overlay."

#: Row: what it promises, and the tests elsewhere that hold it (FILE::TEST without test_ and .py).
ROWS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("one writable tree over a read-only one: all changes go to the upper", ("semantics::upper_is_the_kernels",)),
    2: ("after open every operation goes straight to the real file", ()),
    3: ("statfs", ()),
    4: ("open is an operation of its own: the program holds a real descriptor", ("seed::row02_a_real_descriptor",)),
    5: ("copy-up inside the kernel, by the best way there is; holes are kept",
        ("view::sparse_files_stay_sparse", "faults::every_way_to_copy")),
    6: ("layers keep their identity under the view", ("view::view_over_its_own_layers",)),
    7: ("documentation", ()),
    8: ("failures clean up after themselves", ("faults::error_at_every_call", "killed::killed_at_every_point")),
    9: ("directories are removed in time that follows from the upper", ()),
    10: ("big directories are merged without quadratic time", ()),
    11: ("what is no directory keeps its identity", ("view::identity_stays",)),
    12: ("an upper on a file system without attributes", ()),
    13: ("rename to itself, whiteout after rename", ("semantics::upper_is_the_kernels", "differential::sequences")),
    14: ("a read-only view, and a change to read-only", ("view::read_only",)),
    15: ("positions in merged directories, shared by dup and fork", ("calls::box", "differential::processes")),
    16: ("files over 4 GiB; an interrupted copy-up leaves nothing",
         ("crash::killed_at_every_call", "killed::killed_at_every_point")),
    17: ("fsync of a directory after its copy-up", ("differential::processes",)),
    18: ("lseek against readdir by two threads", ()),
    19: ("the upper changed behind our back", ()),
    20: ("whiteouts and opaque marks cost nothing where there are none", ()),
    21: ("truncation copies no data that is thrown away", ("view::truncation_copies_no_data",)),
    22: ("st_dev of directories", ("calls::box",)),
    23: ("lowers that another view made; views in views", ("semantics::layers_of_one_run_are_lowers_of_the_next",)),
    24: ("private attributes are hidden, and refused or escaped", ("view::private_attributes",)),
    25: ("ordinary users: the same permissions before and after copy-up", ("calls::box", "tricks::dropped_privileges")),
    26: ("rm -rf while directories are copied up", ()),
    27: ("st_nlink of merged directories", ()),
    28: ("several lowers, colons in names, no upper",
         ("view::first_lower_wins", "bad_input::colons_and_commas", "view::read_only")),
    29: ("whiteouts in both forms", ("view::whiteout_hides", "view::whiteout_file_in_marked_directory")),
    30: ("redirects", ("view::rename_lower_directory", "semantics::goes_on_from_the_kernels_upper")),
    31: ("hard links survive copy-up", ("view::hard_links_change_together", "faults::error_at_every_call")),
    32: ("st_ino, st_dev and d_ino stay", ("view::identity_stays", "calls::box")),
    33: ("metacopy, and data-only lowers", ()),
    34: ("volatile", ()),
    35: ("userxattr", ("differential::sequences",)),
    36: ("an upper or work directory in use", ("view::layers_can_be_used_once",)),
    37: ("ACLs, setgid and sticky directories, capabilities", ("calls::box", "view::copy_up_keeps_attributes")),
    38: ("O_TMPFILE and linkat", ("calls::box",)),
    39: ("flags of rename", ("view::rename_exchange", "calls::box", "differential::sequences")),
    40: ("a descriptor opened before a copy-up shows what is written afterwards", ("repoint::as_the_kernel",)),
    41: ("fstat of such a descriptor is stat of its name", ("calls::box",)),
    42: ("watches set before a copy-up", ()),
    43: ("locks taken before a copy-up", ("repoint::as_the_kernel",)),
    44: ("ETXTBSY for a lower file that is executed", ()),
}


def _tests(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.quick
@pytest.mark.parametrize("row", ROWS)
def test_row_is_held(row: int) -> None:
    """The tests that a row names exist; a row that names none has one here, or is a known difference."""
    for reference in ROWS[row][1]:
        file, _, name = reference.partition("::")
        where = [path for path in (TOP / "tests").glob(f"*/test_{file}.py") if f"test_{name}" in _tests(path)]
        assert where, f"row {row}: no such test: {reference}"
    seeds = (TOP / "tests/semantics").glob("test_seed*.py")
    here = any(name.startswith(f"test_row{row:02}_") for path in seeds for name in _tests(path))
    assert ROWS[row][1] or here or any(d.row == row for d in DIFFERENCES), f"row {row}: {ROWS[row][0]}: no test"


@pytest.fixture
def place(area: Path) -> Place:
    """Empty layers."""
    return Place(area)


def test_row02_a_real_descriptor(place: Place) -> None:
    """open gives a descriptor of the layer's own file: the lower's for reading, the upper's for writing."""
    real = place.base / "lower/file"
    real.write_text("text")
    with View() as view:
        place.lay(view)
        reading, writing = (view.open(place.at("file"), flags) for flags in (os.O_RDONLY, os.O_RDWR))
        try:
            assert os.path.samestat(os.fstat(reading), real.stat())
            assert os.path.samestat(os.fstat(writing), (place.base / "upper/file").stat())
        finally:
            os.close(reading)
            os.close(writing)


def test_row07_documentation() -> None:
    """Each mount option of overlayfs is documented, and so is each known difference."""
    text = "".join(path.read_text() for path in (TOP / "docs").glob("*.rst"))
    names = ["lowerdir", "upperdir", "workdir", "redirect_dir", "metacopy", "volatile", "userxattr", "index", "xino"]
    for word in names:
        assert word in text, f"{word} is not documented"
    assert (TOP / "docs/differences.rst").is_file()


def _names(directory: Path, count: int) -> None:
    directory.mkdir()
    for i in range(count):
        (directory / f"name{i:06}").touch()


def _seconds(call: Callable[[], object]) -> float:
    """Of this thread's own time: what else the machine does is no matter."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def test_row09_removal_follows_the_upper(place: Place) -> None:
    """An opaque directory over a big lower one goes as fast as one over a small one."""
    _names(place.base / "lower/big", 20_000)
    _names(place.base / "lower/small", 10)
    for name in ("big", "small"):
        (place.base / "upper" / name).mkdir()
        os.setxattr(place.base / "upper" / name, PREFIX + "opaque", b"y")
    with View() as view:
        place.lay(view)
        assert view.list(place.at("big")) == []
        small, big = (_seconds(lambda n=name: view.rmdir(place.at(n))) for name in ("small", "big"))  # type: ignore[misc]
        assert big < small * 20 + 0.005


def test_row10_big_directories_are_merged(place: Place) -> None:
    """100,000 names take about ten times as long as 10,000."""
    place.lowers = [place.base / "lower", place.base / "below"]
    place.lowers[1].mkdir()
    for count in (10_000, 100_000):
        _names(place.base / f"below/{count}", count)
        _names(place.base / f"lower/{count}", 5)
        (place.base / f"upper/{count}").mkdir()
    with View() as view:
        place.lay(view)
        seconds: list[float] = []
        found: list[list[str]] = []
        for count in (10_000, 100_000):
            seconds.append(_seconds(lambda n=count: found.append(view.list(place.at(str(n))))))  # type: ignore[misc]
            assert len(found[-1]) == count
        assert seconds[1] < seconds[0] * 40


@pytest.mark.root_only
def test_row12_file_system_without_attributes(place: Place) -> None:
    """On a ramfs whiteouts and opaque marks are the files that fuse-overlayfs and OCI layers have."""
    ram = place.base / "ram"
    ram.mkdir()
    host.mount_ramfs(ram)
    try:
        for name in ("upper", "work"):
            (place.base / name).rmdir()
            (ram / name).mkdir()
            (place.base / name).symlink_to(ram / name)
        (place.base / "lower/dir").mkdir()
        (place.base / "lower/dir/in").touch()
        (place.base / "lower/file").touch()
        with View() as view:
            place.lay(view)
            view.unlink(place.at("file"))
            view.unlink(place.at("dir/in"))
            view.rmdir(place.at("dir"))
            view.mkdir(place.at("dir"))
            fails(errno.ENOENT, view.stat, place.at("file"))
        assert (ram / "upper/.wh.file").is_file()
        assert (ram / "upper/dir/.wh..wh..opq").is_file()
        with View() as view:
            place.lay(view)
            assert view.list(place.at("")) == ["dir"]
            assert view.list(place.at("dir")) == []
    finally:
        host.unmount(ram)


def test_row14_a_change_to_read_only(place: Place) -> None:
    """What was written is shown, and nothing more can be."""
    with View() as view:
        place.lay(view)
        view.write(place.at("file"), b"x")
    with View() as view:
        place.lay(view, options.READ_ONLY)
        assert view.read(place.at("file")) == b"x"
        fails(errno.EROFS, view.write, place.at("file"), b"y")
        fails(errno.EROFS, view.mkdir, place.at("dir"))


def test_row16_files_over_4_gib(place: Place) -> None:
    """A sparse file of 5 GiB with data at its end."""
    size = 5 << 30
    with (place.base / "lower/large").open("wb") as file:
        file.seek(size)
        file.write(b"end")
    with View() as view:
        place.lay(view)
        view.chmod(place.at("large"), 0o600)
        assert view.stat(place.at("large")).size == size + 3
        fd = view.open(place.at("large"), os.O_RDONLY)
        try:
            assert os.pread(fd, 10, size) == b"end"
        finally:
            os.close(fd)
    assert (place.base / "upper/large").stat().st_blocks < 1000


def test_row19_upper_changed_behind_our_back(place: Place) -> None:
    """Strange answers, but no crash, and nothing is written outside the upper."""
    outside = place.base / "outside"
    outside.mkdir()
    (place.base / "lower/dir").mkdir()
    (place.base / "lower/dir/file").write_text("x")
    with View() as view:
        place.lay(view)
        view.write(place.at("dir/new"), b"new")
        view.mkdir(place.at("gone"))
        view.mkdir(place.at("link"))
        upper = place.base / "upper"
        (upper / "gone").rmdir()
        (upper / "link").rmdir()
        (upper / "link").symlink_to(outside)
        subprocess.run(["rm", "-r", str(upper / "dir")], check=True)
        (upper / "dir").symlink_to(outside)
        for call in (lambda: view.write(place.at("dir/file"), b"y"), lambda: view.write(place.at("dir/other"), b"y"),
                     lambda: view.write(place.at("link/file"), b"y"), lambda: view.mkdir(place.at("link/dir")),
                     lambda: view.rename(place.at("dir/new"), place.at("link/new")), lambda: view.list(place.at("")),
                     lambda: view.write(place.at("gone/file"), b"y"), lambda: view.rmdir(place.at("gone"))):
            try:
                call()
            except OSError:
                pass
    assert os.listdir(outside) == []


def test_row20_nothing_above_costs_nothing(place: Place) -> None:
    """A look-up takes as long with a full upper as with an empty one."""
    (place.base / "lower/directory").mkdir()
    _names(place.base / "lower/directory/names", 100)
    seconds = []
    for upper, entries in (("upper", 0), ("upper-full", 10_000)):
        for name in {upper, upper.replace("upper", "work")} - {"upper", "work"}:
            (place.base / name).mkdir()
        _names(place.base / upper / "data", entries)
        with View() as view:
            place.lay(view, upper=upper)
            paths = [place.at(f"directory/names/name{i:06}") for i in range(100)]
            seconds.append(min(_seconds(lambda: [view.stat(path) for path in paths * 10]) for _ in range(3)))  # noqa: B023
    assert seconds[1] < seconds[0] * 3
