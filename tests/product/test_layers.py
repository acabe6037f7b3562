"""Directories that are made for a run, and their removal.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from ptoverlay import options
from ptoverlay.errors import Failure, InUse
from ptoverlay.layers import Layers, default_work
from ptoverlay.options import OverlaySpec
from ptoverlay.remove import remove_tree

pytestmark = pytest.mark.quick


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    path = tmp_path / "lower"
    path.mkdir()
    path.chmod(0o1775)
    os.utime(path, ns=(10**18, 10**18 + 5))
    return path


def overlay_of(lower: Path, upper: Path | None = None) -> OverlaySpec:
    overlay = OverlaySpec()
    overlay.lowers = [str(lower)]
    overlay.upper = None if upper is None else str(upper)
    return overlay


def test_missing_upper_is_made_like_the_lower(tmp_path: Path, lower: Path) -> None:
    upper = tmp_path / "upper"
    with Layers() as layers:
        assert layers.prepare(overlay_of(lower, upper)) == (str(upper), str(tmp_path / ".upper.work"))
        layers.kept = True
    status = upper.stat()
    assert stat.S_IMODE(status.st_mode) == 0o1775
    assert status.st_mtime_ns == 10**18 + 5
    assert (tmp_path / ".upper.work").is_dir()


def test_what_was_made_for_nothing_goes_away(tmp_path: Path, lower: Path) -> None:
    upper = tmp_path / "upper"
    with Layers() as layers:
        layers.prepare(overlay_of(lower, upper))
        (tmp_path / ".upper.work/work/incompat").mkdir(parents=True)
    assert sorted(os.listdir(tmp_path)) == ["lower"]


def test_what_was_there_before_stays(tmp_path: Path, lower: Path) -> None:
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir(mode=0o700)
    work.mkdir()
    overlay = overlay_of(lower, upper)
    overlay.work = str(work)
    with Layers() as layers:
        layers.prepare(overlay)
        (work / "work").mkdir()
    assert os.listdir(work) == []
    (work / "work").mkdir()
    with Layers() as layers:
        layers.prepare(overlay)
    assert os.listdir(work) == ["work"]
    assert stat.S_IMODE(upper.stat().st_mode) == 0o700
    assert sorted(os.listdir(tmp_path)) == ["lower", "upper", "work"]


def refused_in_use(overlay: OverlaySpec) -> None:
    with contextlib.suppress(InUse), Layers() as layers:
        layers.prepare(overlay)
        raise InUse("upper", "in use")


def test_what_another_start_uses_stays(tmp_path: Path, lower: Path) -> None:
    """Made by us, but locked by somebody else, or used by him: his."""
    upper, work = tmp_path / "upper", tmp_path / ".upper.work"
    for locked in (upper, work):
        with Layers() as layers:
            layers.prepare(overlay_of(lower, upper))
            (work / "work").mkdir()
            fd = os.open(locked, os.O_RDONLY)
            fcntl.flock(fd, fcntl.LOCK_EX)
        assert os.listdir(work) == ["work"]
        assert upper.is_dir()
        os.close(fd)
        remove_tree(str(upper))
        remove_tree(str(work))
    with Layers() as layers:
        layers.prepare(overlay_of(lower, upper))
        (work / "links").mkdir()
    assert sorted(os.listdir(tmp_path)) == [".upper.work", "lower", "upper"]
    remove_tree(str(upper))
    refused_in_use(overlay_of(lower, upper))
    assert upper.is_dir()


def test_relative_upper(tmp_path: Path, lower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Layers() as layers:
        assert layers.prepare(overlay_of(lower, Path("u"))) == (str(tmp_path / "u"), str(tmp_path / ".u.work"))


def test_work_directory_is_beside_what_a_link_to_the_upper_means(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/upper").mkdir()
    (tmp_path / "link").symlink_to("real/upper")
    assert default_work(str(tmp_path / "link")) == str(tmp_path / "real/.upper.work")
    with pytest.raises(Failure, match="--work"):
        default_work("/")


def test_temporary_layer(tmp_path: Path, lower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    with Layers() as layers:
        upper, work = layers.prepare(overlay_of(lower))
        assert upper is not None
        assert work is not None
        top = Path(upper).parent
        assert top.parent == place
        assert stat.S_IMODE(top.stat().st_mode) == 0o711
        assert stat.S_IMODE(Path(upper).stat().st_mode) == 0o1775
        layers.kept = True
        Path(upper, "file").write_text("x")
    assert os.listdir(place) == []


def test_place_for_temporary_layers_that_is_missing(lower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with Layers() as layers, pytest.raises(Failure, match="set TMPDIR"):
        layers.prepare(overlay_of(lower))


def test_read_only_views_need_no_directories(tmp_path: Path, lower: Path) -> None:
    overlay = overlay_of(lower)
    overlay.flags = options.READ_ONLY
    with Layers() as layers:
        assert layers.prepare(overlay) == (None, None)
        overlay.upper = str(tmp_path / "missing")
        assert layers.prepare(overlay) == (None, None)
        assert overlay.read_layers() == [str(tmp_path / "missing"), str(lower)]
        assert overlay.mount_point() == str(lower)
    assert os.listdir(tmp_path) == ["lower"]


# ---- removal ----


def test_remove_everything_that_can_be_in_a_directory(tmp_path: Path) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    (top / "a/b/c").mkdir(parents=True)
    (top / "a/.1").mkdir()
    (top / ".1").mkdir()
    (top / ".2").write_text("taken")
    (top / "a/b/link").symlink_to(outside)
    (top / "link").symlink_to(outside)
    (top / "a/hard").hardlink_to(outside / "file")
    os.mkfifo(top / "a/fifo")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(top / "a/socket"))
    (top / "a/b/c").chmod(0)
    (top / "a/b").chmod(0o500)
    (top / "a").chmod(0)
    top.chmod(0o500)
    remove_tree(str(top))
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "file").read_text() == "stays"


def test_remove_a_tree_deeper_than_a_path_can_be_long(tmp_path: Path) -> None:
    depth, name = 3000, "directory"
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(str(top))
    assert os.listdir(tmp_path) == []


@pytest.mark.root_only
@pytest.mark.debian("e2fsprogs")
def test_remove_immutable_files(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "dir/below").mkdir(parents=True)
    (top / "dir/file").write_text("x")
    if subprocess.run(["chattr", "+i", top / "dir/file", top / "dir"], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable flag")
    remove_tree(str(top))
    assert not top.exists()


def test_removal_follows_no_link_given_as_the_top(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        remove_tree(str(tmp_path / "link"))
    assert (tmp_path / "real").is_dir()
