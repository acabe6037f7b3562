"""Rows of the seed's table (test_seed.py) about layers that the kernel made.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from support import host
from support.places import Place, fails

from ptoverlay import options
from ptoverlay.layer.view import View


@pytest.fixture
def place(area: Path) -> Place:
    """Empty layers."""
    return Place(area)


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


def _outcome(action: Callable[[], object]) -> object:
    try:
        return action()
    except OSError as error:
        return error.errno


@pytest.mark.root_only
@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("layer", ["upper", "middle"])
def test_row33_metacopy_without_data(
    place: Place, kernel_mount: Callable[[str], Path], layer: str, size: int
) -> None:
    """A mark that no lower has data for: EIO, of an empty file too; with data it is read."""
    lowers = [place.base / "middle", place.base / "lower"]
    lowers[0].mkdir()
    (lowers[1] / "there").write_bytes(b"x" * size)
    for name in ("there", "missing"):
        path = place.base / layer / name
        path.write_bytes(b"")
        os.truncate(path, size)
        os.setxattr(path, "trusted.overlay.metacopy", b"")
    lower = ":".join(map(str, lowers))
    mount = kernel_mount(_options(place, "metacopy=on,redirect_dir=on", lower))
    expected = [_outcome((mount / name).read_bytes) for name in ("there", "missing")]
    kernel_mount("")
    place.lowers = lowers
    with View() as view:
        place.lay(view, options.METACOPY)
        found = [_outcome(partial(view.read, place.at(name))) for name in ("there", "missing")]
    assert found == expected == [b"x" * size, errno.EIO]
