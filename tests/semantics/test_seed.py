"""What overlayfs has promised since its announcement, row by row: for each row the tests that hold it.

A row is one promise.  Where another file tests it already, the row names that test; the others are here, as
test_rowNN_….  Rows that cannot be had are in support/differences.py, with the reason.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ast
import errno
import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import faults, host
from support.box import ROOT_DIRECTORY as TOP
from support.box import command
from support.differences import DIFFERENCES
from support.oracle import Who
from support.world import World

from ptoverlay import options
from ptoverlay.layer.view import View

PYTHON = "/usr/bin/python3"

#: Row: what it promises, and the tests elsewhere that hold it (FILE::TEST without test_ and .py).
ROWS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: ("one writable tree over a read-only one: all changes go to the upper", ("semantics::upper_is_the_kernels",)),
    2: ("after open every operation goes straight to the real file", ()),
    3: ("statfs", ()),
    4: ("open is an operation of its own: the program holds a real descriptor", ("seed::row02_a_real_descriptor",)),
    5: ("copy-up inside the kernel, by the best way there is; holes are kept", ("view::sparse_files_stay_sparse",)),
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
    here = any(name.startswith(f"test_row{row:02}_") for name in _tests(Path(__file__)))
    assert ROWS[row][1] or here or any(d.row == row for d in DIFFERENCES), f"row {row}: {ROWS[row][0]}: no test"


# ---- in this process


class Place:
    """Layers below a directory, and views of them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.mount = base / "mnt"
        self.lowers = [base / "lower"]
        for name in ("lower", "upper", "work", "mnt"):
            (base / name).mkdir()

    def at(self, path: str) -> str:
        """A path of the view."""
        return f"{self.mount}/{path}"

    def lay(self, view: View, flags: int = 0, n_data: int = 0, *, upper: str = "upper") -> View:
        """Opens the view."""
        work = upper.replace("upper", "work")
        view.lay(self.lowers, self.base / upper, self.base / work, self.mount, flags, n_data)
        return view


@pytest.fixture
def place(area: Path) -> Place:
    """Empty layers."""
    return Place(area)


def fails(number: int, call: Callable[..., object], *arguments: object) -> None:
    """The call has to fail with this errno."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


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


def test_row05_every_way_to_copy(base: Path) -> None:
    """Where the file system lacks a call the next best is used: data and holes come out the same."""
    faults.check(faults.build(base / "ways-to-copy"), [], "fallback")


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
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


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
        seconds = []
        for count in (10_000, 100_000):
            start = time.perf_counter()
            assert len(view.list(place.at(str(count)))) == count
            seconds.append(time.perf_counter() - start)
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


def test_row20_nothing_above_costs_nothing(area: Path) -> None:
    """A look-up takes as long with a full upper as with an empty one."""
    program = area / "view"
    sources = [TOP / "tools/bench.d/view.c", *(TOP / "csrc/view").glob("**/*.c")]
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-pthread", "-o", program, *sources], check=True)
    rates = []
    for entries in ("0", "10000"):
        (area / entries).mkdir()
        done = subprocess.run([program, area / entries, "1", entries], stdout=subprocess.PIPE, text=True, check=True)
        rates.append(float(done.stdout.split()[0]))
    assert rates[1] > rates[0] / 3


# ---- layers that the kernel made


@pytest.fixture
def kernel_mount(place: Place) -> Iterator[Callable[[str], Path]]:
    """Mounts the kernel's overlayfs with some options; unmounted before `place` is used again by calling it with ""."""
    mounted = False

    def mount(options_: str) -> Path:
        nonlocal mounted
        if mounted:
            host.unmount(place.mount)
        mounted = bool(options_)
        if options_:
            host.mount_overlay(place.mount, options_)
        return place.mount

    yield mount
    mount("")


def _options(place: Place, more: str, lower: str = "", upper: str = "upper") -> str:
    work = upper.replace("upper", "work")
    directories = f"upperdir={place.base / upper},workdir={place.base / work}"
    return f"lowerdir={lower or place.base / 'lower'},{directories},{more}"


@pytest.mark.root_only
@pytest.mark.parametrize("flags", [0, options.METACOPY])
def test_row33_metacopy_of_the_kernel(place: Place, kernel_mount: Callable[[str], Path], flags: int) -> None:
    """A file that the kernel copied up without its data shows the lower's data, until it is written."""
    (place.base / "lower/dir").mkdir()
    (place.base / "lower/dir/big").write_bytes(b"data" * 5000)
    mount = kernel_mount(_options(place, "metacopy=on,redirect_dir=on"))
    (mount / "dir/big").chmod(0o600)
    (mount / "dir/big").rename(mount / "moved")
    kernel_mount("")
    assert (place.base / "upper/moved").stat().st_blocks <= 16
    with View() as view:
        place.lay(view, flags)
        assert stat.S_IMODE(view.stat(place.at("moved")).mode) == 0o600
        assert view.read(place.at("moved")) == b"data" * 5000
        fd = view.open(place.at("moved"), os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"more")
        os.close(fd)
        assert view.read(place.at("moved")) == b"data" * 5000 + b"more"
    mount = kernel_mount(_options(place, "metacopy=on,redirect_dir=on"))
    assert (mount / "moved").read_bytes() == b"data" * 5000 + b"more"


@pytest.mark.root_only
def test_row33_metacopy_of_ours(place: Place, kernel_mount: Callable[[str], Path]) -> None:
    """chmod of a 10 GiB file copies no data, and the kernel reads what is left."""
    with (place.base / "lower/large").open("wb") as file:
        file.write(b"begin" * 1000)
        file.truncate(10 << 30)
    with View() as view:
        place.lay(view, options.METACOPY)
        view.chmod(place.at("large"), 0o600)
        view.rename(place.at("large"), place.at("moved"))
    assert (place.base / "upper/moved").stat().st_blocks <= 16
    mount = kernel_mount(_options(place, "metacopy=on,redirect_dir=on"))
    with (mount / "moved").open("rb") as file:
        assert file.read(5) == b"begin"
        assert file.seek(0, os.SEEK_END) == 10 << 30


@pytest.mark.root_only
def test_row33_data_only_lowers(place: Place, kernel_mount: Callable[[str], Path]) -> None:
    """A lower that gives data to the metacopy files above it, and shows no names of its own."""
    data, meta = place.base / "data", place.base / "meta"
    data.mkdir()
    meta.mkdir()
    (data / "blob").write_bytes(b"blob" * 2000)
    (meta / "file").touch()
    os.truncate(meta / "file", 8000)
    os.setxattr(meta / "file", "trusted.overlay.metacopy", b"")
    os.setxattr(meta / "file", "trusted.overlay.redirect", b"/blob")
    mount = kernel_mount(_options(place, "metacopy=on,redirect_dir=on", f"{meta}::{data}"))
    expected = (os.listdir(mount), (mount / "file").read_bytes())
    kernel_mount("")
    place.lowers = [meta, data]
    with View() as view:
        place.lay(view, 0, 1)
        assert (view.list(place.at("")), view.read(place.at("file"))) == expected
        fails(errno.ENOENT, view.stat, place.at("blob"))
        view.chmod(place.at("file"), 0o600)
        fd = view.open(place.at("file"), os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"more")
        os.close(fd)
        assert view.read(place.at("file")) == expected[1] + b"more"


@pytest.mark.root_only
def test_row31_hard_links_of_the_kernel(place: Place, kernel_mount: Callable[[str], Path]) -> None:
    """Names of a file that the kernel copied up by one of them stay one file, in the next run too."""
    (place.base / "lower/one").write_text("x")
    for name in ("two", "three"):
        os.link(place.base / "lower/one", place.base / "lower" / name)
    mount = kernel_mount(_options(place, "index=on"))
    (mount / "one").write_text("changed")
    kernel_mount("")
    with View() as view:
        place.lay(view)
        assert view.read(place.at("two")) == b"changed"
        assert view.stat(place.at("two")).nlink == 3
        view.write(place.at("two"), b"again")
        assert view.read(place.at("one")) == b"again"
    with View() as view:
        place.lay(view)
        assert {view.read(place.at(name)) for name in ("one", "two", "three")} == {b"again"}
        assert len({view.stat(place.at(name)).ino for name in ("one", "two", "three")}) == 1
        assert view.stat(place.at("three")).nlink == 3


def test_row31_a_descriptor_counts_the_names_left(small: World) -> None:
    """fstat of a lower file that was opened by one of its names, which was then removed."""
    os.link(small.lowers[0] / "file", small.lowers[0] / "name")
    small.freeze()
    script = """if True:
        import os
        fd = os.open("file", os.O_RDONLY)
        for name in ("file", "name"):
            os.unlink(name)
            print(os.fstat(fd).st_nlink)
    """
    assert box_python(small, script) == small.kernel().check([PYTHON, "-c", script], env=small.env) == "1\n0\n"


@pytest.mark.root_only
def test_row23_an_overlay_in_an_overlay(place: Place, kernel_mount: Callable[[str], Path]) -> None:
    """An upper that was made within another overlay holds escaped attributes, which the view shows as they were."""
    (place.base / "lower/inner").mkdir()
    mount = kernel_mount(_options(place, "redirect_dir=on"))
    os.setxattr(mount / "inner", "trusted.overlay.opaque", b"y")
    kernel_mount("")
    with View() as view:
        place.lay(view)
        assert view.getxattr(place.at("inner"), "trusted.overlay.opaque") == b"y"
        assert view.listxattr(place.at("inner")) == ["trusted.overlay.opaque"]
        view.setxattr(place.at("inner"), "trusted.overlay.redirect", b"/elsewhere")
    mount = kernel_mount(_options(place, "redirect_dir=on"))
    assert os.getxattr(mount / "inner", "trusted.overlay.redirect") == b"/elsewhere"
    assert sorted(os.listxattr(mount / "inner")) == ["trusted.overlay.opaque", "trusted.overlay.redirect"]


def test_row34_volatile(place: Place) -> None:
    """A volatile upper that was not closed is refused; one that was is not."""
    with View() as view:
        place.lay(view, options.VOLATILE)
        view.write(place.at("file"), b"x")
    with View() as view:
        place.lay(view)
    pid = os.fork()
    if pid == 0:
        place.lay(View().__enter__(), options.VOLATILE)
        os._exit(0)
    os.waitpid(pid, 0)
    with View() as view:
        fails(errno.EINVAL, place.lay, view)


# ---- in a run


def box_python(world: World, script: str) -> str:
    """What a Python script prints that runs in the view."""
    return world.box().check([PYTHON, "-c", script], env=world.env)


@pytest.fixture
def small(make_world: Callable[[Who, str], World], who: Who, trap: str) -> World:
    """A lower with a file, a directory of five files, and a program."""
    world = make_world(who, trap)
    lower = world.add_lower()
    (lower / "file").write_text("old\n")
    (lower / "dir/sub").mkdir(parents=True)
    for name in "abcde":
        (lower / "dir" / name).write_text(name)
    (lower / "program").write_bytes(Path("/bin/sleep").read_bytes())
    (lower / "program").chmod(0o755)
    for path in (lower, *lower.rglob("*")):
        os.chown(path, *world.owner)
    world.fill_plain()
    world.freeze()
    return world


def test_row03_statfs(small: World) -> None:
    """The kernel's type and block size, and the room that the upper has."""
    command = ["stat", "-f", "-c", "%t %s %b %l", "."]
    assert small.box().check(command, env=small.env) == small.kernel().check(command, env=small.env)


def test_row17_fsync_of_a_directory(small: World) -> None:
    """A directory opened before its copy-up can be synced after it."""
    assert box_python(small, """if True:
        import os
        fd = os.open("dir", os.O_RDONLY)
        os.fsync(fd)
        open("dir/new", "w").close()
        os.fsync(fd)
        os.fdatasync(fd)
        print("new" in os.listdir(fd))
    """) == "True\n"


def test_row18_lseek_against_readdir(small: World) -> None:
    """Two threads on one descriptor of a merged directory: no crash, and afterwards a whole listing."""
    assert box_python(small, """if True:
        import os, threading
        open("dir/new", "w").close()
        fd = os.open("dir", os.O_RDONLY)
        def seek():
            for _ in range(300):
                os.lseek(fd, 0, os.SEEK_SET)
        thread = threading.Thread(target=seek)
        thread.start()
        for _ in range(100):
            os.listdir(fd)
        thread.join()
        os.lseek(fd, 0, os.SEEK_SET)
        print(*sorted(os.listdir(fd)))
    """) == "a b c d e new sub\n"


def test_row23_a_view_in_a_view(small: World) -> None:
    """ptoverlay inside itself: each upper holds its own changes."""
    top = small.mount / "dir"
    inner = [f"--lower={top}", f"--mount={top}", f"--upper={small.mount}/inner", "-C", str(top)]
    script = "echo changed > a; cat a b; rm c; ls"
    out = small.box().run([*command(), "run", *inner, "--", "sh", "-c", script], env=small.env)
    assert out.out == "changed\nba\nb\nd\ne\nsub\n", out.err
    assert (small.upper / "inner/a").read_text() == "changed\n"
    assert not (small.upper / "dir").exists()


def test_row26_rm_while_copied_up(small: World) -> None:
    """A directory copied up between opendir and the first read still lists all that it has, and goes as a whole."""
    assert box_python(small, """if True:
        import os, shutil
        fd = os.open("dir", os.O_RDONLY)
        os.chmod("dir/a", 0o600)
        os.unlink("dir/b")
        print(*sorted(os.listdir(fd)))
        stream = os.scandir("dir")
        open("dir/new", "w").close()
        shutil.rmtree("dir")
        print(os.path.exists("dir"))
    """) == "a c d e sub\nFalse\n"


def test_row27_nlink_of_merged_directories(small: World) -> None:
    """find and du, which may go by st_nlink, find everything."""
    script = "mkdir dir/new; echo x > dir/sub/f; find . -type d | sort; find . -type f | sort; du -a | cut -f2 | sort"
    small.same_run(["/bin/sh", "-c", script])


def test_row40_descriptor_shows_what_is_written_later(small: World) -> None:
    """Opened for reading before the copy-up."""
    assert box_python(small, """if True:
        import os
        fd = os.open("file", os.O_RDONLY)
        with open("file", "a") as file:
            file.write("new\\n")
        print(os.pread(fd, 100, 0))
        print(os.fstat(fd).st_size == os.stat("file").st_size, os.fstat(fd).st_ino == os.stat("file").st_ino)
    """) == "b'old\\nnew\\n'\nTrue True\n"


def test_row42_watches_set_before_a_copy_up(small: World) -> None:
    """inotify on a lower file, and on its directory, sees what happens to the upper's copy."""
    assert box_python(small, """if True:
        import ctypes, os, struct
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(fd, b"file", 2)
        libc.inotify_add_watch(fd, b"dir", 0x100)
        with open("file", "a") as file:
            file.write("new")
        open("dir/new", "w").close()
        data, seen = os.read(fd, 4096), set()
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            seen.add(mask & 0x102)
            data = data[16 + length:]
        print(*sorted(seen))
    """) == "2 256\n"


def test_row43_locks_taken_before_a_copy_up(small: World) -> None:
    """flock of the lower file excludes those who open the copy."""
    assert box_python(small, """if True:
        import fcntl, os
        fcntl.flock(os.open("file", os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
        try:
            fcntl.flock(os.open("file", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("locked twice")
        except BlockingIOError:
            print("excluded")
    """) == "excluded\n"


def test_row44_text_file_busy(small: World) -> None:
    """A lower program that runs cannot be written, by no name and in no way, and can again when it has ended; nor can
    one run that is open for writing."""
    lower = small.lowers[0]
    os.link(lower / "program", lower / "other")
    (lower / "shell").write_bytes(Path("/bin/sh").read_bytes())
    (lower / "script").write_text("#!./shell\nread line\n")
    for name in ("shell", "script"):
        (lower / name).chmod(0o755)
        os.chown(lower / name, *small.owner)
    small.freeze()
    found = box_python(small, TEXT_FILE_BUSY)
    assert found == small.kernel().check([PYTHON, "-c", TEXT_FILE_BUSY], env=small.env)
    assert "program open WRONLY: ETXTBSY\n" in found
    assert "ended program open WRONLY: done\n" in found


TEXT_FILE_BUSY = """if True:
    import errno, os, subprocess

    def attempt(what, call, *arguments):
        try:
            result = call(*arguments)
            if isinstance(result, int):
                os.close(result)
            print(what + ": done")
        except OSError as error:
            print(f"{what}: {errno.errorcode[error.errno]}")

    def attempts(name, what=""):
        for flag in ("WRONLY", "RDWR", "RDONLY"):
            attempt(f"{what}{name} open {flag}", os.open, name, getattr(os, "O_" + flag))
        attempt(f"{what}{name} O_TRUNC", os.open, name, os.O_RDONLY | os.O_TRUNC)
        attempt(f"{what}{name} truncate", os.truncate, name, 1 << 20)
        fd = os.open(name, os.O_RDONLY)
        attempt(f"{what}{name} descriptor", os.open, f"/proc/self/fd/{fd}", os.O_WRONLY)
        os.close(fd)

    def end(process):
        process.kill()
        process.wait()

    os.close(os.open("dir/a", os.O_WRONLY))
    process = subprocess.Popen(["./program", "60"])
    attempts("program")
    attempts("other")
    attempt("chmod", os.chmod, "program", 0o700)
    attempts("program", "copied up ")
    attempt("rename", os.rename, "program", "renamed")
    attempts("renamed")
    end(process)
    attempt("rename", os.rename, "renamed", "program")

    process = subprocess.Popen(["./script"], stdin=subprocess.PIPE)
    attempts("shell")
    attempt("script", os.open, "script", os.O_WRONLY)
    end(process)

    fd = os.open("other", os.O_WRONLY)
    attempt("run while written", subprocess.run, ["./other", "0"])
    attempt("run while its name is written", subprocess.run, ["./program", "0"])
    os.close(fd)
    for name in ("program", "other", "shell"):
        attempt(f"ended {name} open WRONLY", os.open, name, os.O_WRONLY)
    attempts("shell", "ended ")
"""


PREFIX = "trusted.overlay." if os.geteuid() == 0 else "user.overlay."
