"""A commit that is killed at any point: nothing on the host is half-written, and the next commit finishes.

PTOVERLAY_TEST_KILLS: how often it is killed at a random time (default: 24).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from support.killing import killed_at
from support.trees import tree

from ptoverlay.commit.carry import commit
from ptoverlay.commit.journal import Journal
from ptoverlay.layer.view import View
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Metadata, Sandbox

KILLS = int(os.environ.get("PTOVERLAY_TEST_KILLS", "24"))
LONGEST = 0.06  # seconds until it is killed
BIG = 300_000  # bytes: more than one call copies, fewer than take long


@pytest.fixture
def area() -> Iterator[Path]:
    """In memory, where syncing takes no time."""
    path = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    yield path
    remove_tree(str(path))


def lay_out(area: Path) -> Sandbox:
    """A lower with something of everything, and an empty layer over it."""
    for name in ("lower", "upper", "work"):
        (area / name).mkdir()
    lower = area / "lower"
    for directory in ("d/sub", "e", "gone/deep", "meta", "swap1", "swap2"):
        (lower / directory).mkdir(parents=True)
    for name in ("a", "b", "c", "d/x", "d/sub/y", "e/z", "gone/1", "gone/deep/2", "swap1/1", "swap2/2", "type", "hard"):
        (lower / name).write_text(f"old {name}\n")
    (lower / "big").write_bytes(b"old" * BIG)
    (lower / "link").symlink_to("a")
    os.link(lower / "hard", lower / "hard2")
    metadata = Metadata("", [str(lower)], str(lower))
    return Sandbox(metadata, str(area / "upper"), str(area / "work"))


def _contents(view: View, m: str) -> None:
    view.write(f"{m}/a", b"new a\n")
    view.write(f"{m}/big", b"new!" * BIG)
    view.write(f"{m}/hard", b"new hard\n")
    view.unlink(f"{m}/link")
    view.symlink("b", f"{m}/link")


def _names(view: View, m: str) -> None:
    view.rename(f"{m}/d/sub", f"{m}/sub")
    view.rename(f"{m}/d", f"{m}/f")
    view.write(f"{m}/f/x", b"new x\n")
    view.rename(f"{m}/b", f"{m}/f/b")
    view.rename(f"{m}/swap1", f"{m}/swap2", 2)


def _removals(view: View, m: str) -> None:
    view.unlink(f"{m}/c")
    for path in ("gone/1", "gone/deep/2"):
        view.unlink(f"{m}/{path}")
    view.rmdir(f"{m}/gone/deep")
    view.rmdir(f"{m}/gone")
    view.unlink(f"{m}/type")
    view.mkdir(f"{m}/type")
    view.write(f"{m}/type/inside", b"inside\n")
    view.unlink(f"{m}/hard2")


def _additions(view: View, m: str) -> None:
    view.mkdir(f"{m}/n")
    view.mkdir(f"{m}/n/m")
    view.write(f"{m}/n/1", b"one\n")
    view.link(f"{m}/n/1", f"{m}/n/m/2")
    view.rename(f"{m}/e", f"{m}/n/e")
    view.chmod(f"{m}/meta", 0o700)
    view.chmod(f"{m}/a", 0o600)
    view.setxattr(f"{m}/b", "user.x", b"1")


def _directories(view: View, m: str) -> None:
    """New ones, whole: in the lower's directories, in the place of a file, where one was removed."""
    view.mkdir(f"{m}/d/new")
    view.mkdir(f"{m}/d/new/below")
    view.write(f"{m}/d/new/below/1", b"new one\n")
    view.symlink("below", f"{m}/d/new/link")
    view.chmod(f"{m}/d/new/below", 0o700)
    view.unlink(f"{m}/type")
    view.mkdir(f"{m}/type")
    view.write(f"{m}/type/2", b"new two\n")
    view.rename(f"{m}/a", f"{m}/type/a")
    view.mkdir(f"{m}/n")
    view.write(f"{m}/n/3", b"new three\n")
    view.unlink(f"{m}/swap1/1")
    view.rmdir(f"{m}/swap1")
    view.mkdir(f"{m}/swap1")
    view.write(f"{m}/swap1/4", b"new four\n")


SCENES: dict[str, Callable[[View, str], None]] = {
    "contents": _contents, "names": _names, "removals": _removals, "additions": _additions,
    "directories": _directories,
}


def scene(area: Path, name: str, *, layered: bool = False) -> Sandbox:
    """The layer of a scene; layered: with a lower between it and the other one."""
    sandbox = lay_out(area)
    if layered:
        top = area / "top"
        (top / "e").mkdir(parents=True)
        (top / "a").write_text("old a\n")
        (top / "e/top").write_text("old top\n")
        sandbox.metadata.lowers.insert(0, str(top))
    with sandbox.view(writable=True) as view:
        SCENES[name](view, sandbox.mount)
    return sandbox


@pytest.mark.parametrize("layered", [False, True])
@pytest.mark.parametrize("name", SCENES)
def test_killed_anywhere_the_next_commit_finishes(area: Path, name: str, layered: bool) -> None:
    """Every point of a commit at which something is about to change."""
    sandbox = scene(area, name, layered=layered)
    lower = Path(sandbox.lowers[0])
    old = tree(lower)
    assert not commit(sandbox).refused
    new = tree(lower)
    assert new != old
    contents = {entry[1] for entry in (*old.values(), *new.values())}
    points = 0
    for n in itertools.count(1):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, name, layered=layered)
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023 (it runs at once)
            break
        points += 1
        found = tree(lower)
        strange = [path for path, entry in found.items() if entry[1] not in contents]
        assert not strange, f"at point {n}: half-written {strange}"
        outcome = commit(sandbox)
        assert not outcome.refused, f"at point {n}: {outcome.refused}"
        assert tree(lower) == new, f"at point {n}"
        assert os.listdir(area / "upper") == [], f"at point {n}"
        assert not Journal.path(sandbox.work).parent.exists()
    assert points > 20


@pytest.mark.parametrize("name", ["names", "contents"])
def test_killed_twice(area: Path, name: str) -> None:
    """A commit that is killed while it finishes another one."""
    sandbox = scene(area, name)
    assert not commit(sandbox).refused
    new = tree(area / "lower")
    for n in itertools.count(10, 7):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, name)
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023
            break
        for m in range(2, 60, 5):
            if not killed_at(m, lambda: commit(sandbox)):  # noqa: B023
                break
        assert not commit(sandbox).refused
        assert tree(area / "lower") == new, f"at point {n}"
        assert os.listdir(area / "upper") == []


def test_what_the_host_does_meanwhile_is_not_lost(area: Path) -> None:
    """Killed half-way, then the host changes what was to be replaced: that path is refused, the rest is finished."""
    points = 0
    for n in itertools.count(5, 3):
        for path in area.iterdir():
            remove_tree(str(path))
        sandbox = scene(area, "contents")
        if not killed_at(n, lambda: commit(sandbox)):  # noqa: B023
            break
        lower = area / "lower"
        before = {name: (lower / name).read_bytes() for name in ("a", "big")}
        (lower / "big").write_bytes(b"host")
        outcome = commit(sandbox)
        assert (lower / "a").read_text() == "new a\n"
        if before["big"].startswith(b"old"):
            assert list(outcome.refused) == [f"{lower}/big"], f"at point {n}"
            points += 1
        assert (lower / "big").read_bytes() == b"host", f"at point {n}"
        assert not [name for name in os.listdir(lower) if name.startswith(".ptoverlay")]
    assert points


def test_killed_at_any_time(area: Path) -> None:
    """SIGKILL at a moment of its own, which no call of ours marks."""
    random = Random("kills")
    interrupted = 0
    for number in range(KILLS):
        for path in area.iterdir():
            remove_tree(str(path))
        name = sorted(SCENES)[number % len(SCENES)]
        sandbox = scene(area, name)
        expected = tree(Path(sandbox.lowers[0]))
        with sandbox.view() as view:
            expected_names = names_of(view, sandbox.mount)
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            try:
                commit(sandbox)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, LONGEST))
        os.kill(pid, signal.SIGKILL)
        killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        interrupted += killed and tree(Path(sandbox.lowers[0])) != expected
        outcome = commit(sandbox)
        assert not outcome.refused, (name, time.monotonic() - begun, outcome.refused)
        assert names_of_directory(Path(sandbox.lowers[0])) == expected_names, name
        assert os.listdir(sandbox.upper) == [], name
        assert not Journal.path(sandbox.work).parent.exists()
    assert interrupted or KILLS < 100


def names_of(view: View, top: str) -> dict[str, tuple[str, bytes]]:
    """What a view shows: mode, and contents or target."""
    found: dict[str, tuple[str, bytes]] = {}
    todo = [top]
    while todo:
        here = todo.pop()
        for name in view.list(here):
            path = f"{here}/{name}"
            status = view.stat(path)
            content = view.read(path) if status.is_file else os.fsencode(view.readlink(path)) if status.is_link else b""
            found[path.removeprefix(f"{top}/")] = oct(status.mode), hashlib.sha256(content).digest()
            todo += [path] if status.is_dir else []
    return found


def names_of_directory(top: Path) -> dict[str, tuple[str, bytes]]:
    """The same of a plain directory."""
    with View() as view:
        view.lay([top], None, None, top)
        return names_of(view, str(top))
