"""Random changes, committed: the lower becomes what a plain directory becomes by the same calls.

PTOVERLAY_TEST_EXAMPLES: how many sequences (default: 150).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.trees import tree

from ptoverlay.commit import kernel
from ptoverlay.commit.carry import commit
from ptoverlay.layer.changes import changes
from ptoverlay.layer.view import View
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Metadata, Sandbox

EXAMPLES = int(os.environ.get("PTOVERLAY_TEST_EXAMPLES", "150"))
NAMES = ["a", "b", "d", "e"]
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["write", "append", "mkdir", "unlink", "rmdir", "symlink", "chmod", "wipe"]), PATHS),
    st.tuples(st.sampled_from(["rename", "link", "exchange", "rename"]), PATHS, PATHS),
)
LOWER = st.lists(st.tuples(st.sampled_from(["write", "mkdir", "symlink", "mkdir"]), PATHS), max_size=10)


class Plain:
    """The calls on a plain directory."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def path(self, name: str) -> str:
        return f"{self.top}/{name}"

    def write(self, path: str, data: bytes, flags: int) -> None:
        with open(os.open(path, os.O_WRONLY | flags, 0o644), "wb") as file:
            file.write(data)

    def exchange(self, old: str, new: str) -> None:
        kernel.rename2(-100, old, -100, new, kernel.RENAME_EXCHANGE)

    def wipe(self, path: str) -> None:
        """rm -r, name by name."""
        for name in os.listdir(path):
            below = f"{path}/{name}"
            if os.path.isdir(below) and not os.path.islink(below):
                self.wipe(below)
            else:
                os.unlink(below)
        os.rmdir(path)

    mkdir, unlink, rmdir, symlink, chmod, rename = os.mkdir, os.unlink, os.rmdir, os.symlink, os.chmod, os.rename

    def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)


class Merged(Plain):
    """The calls on a view."""

    def __init__(self, view: View, top: Path) -> None:
        super().__init__(top)
        self.view = view
        for name in ("mkdir", "unlink", "rmdir", "chmod", "rename", "link", "write"):
            setattr(self, name, getattr(view, name))

    def symlink(self, target: str, path: str) -> None:  # type: ignore[override]
        self.view.symlink(target, path)

    def exchange(self, old: str, new: str) -> None:
        self.view.rename(old, new, kernel.RENAME_EXCHANGE)

    def wipe(self, path: str) -> None:
        for name in self.view.list(path):
            below = f"{path}/{name}"
            if self.view.stat(below).is_dir:
                self.wipe(below)
            else:
                self.view.unlink(below)
        self.view.rmdir(path)


def do(place: Any, operation: tuple[str, ...], number: int) -> int:
    """One call; its errno, 0 when it went well."""
    name, *names = operation
    paths = [place.path(path) for path in names]
    try:
        if name in ("write", "append"):
            flags = os.O_CREAT | os.O_TRUNC if name == "write" else os.O_APPEND
            place.write(paths[0], f"{number}\n".encode(), flags | os.O_NOFOLLOW)
        elif name == "mkdir":
            place.mkdir(paths[0], 0o755)
        elif name == "symlink":
            place.symlink(f"to-{number}", paths[0])
        elif name == "chmod":
            place.chmod(paths[0], 0o700 + number % 64)
        else:
            getattr(place, name)(*paths)
    except OSError as error:
        return error.errno or -1
    return 0


@contextmanager
def layers(below: Sequence[tuple[str, ...]]) -> Iterator[tuple[Sandbox, Path]]:
    """A layer over a lower that these calls have made, and a plain copy of the lower."""
    area = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm"))
    try:
        for name in ("lower", "upper", "work"):
            (area / name).mkdir()
        for number, operation in enumerate(below):
            do(Plain(area / "lower"), operation, 1000 + number)
        shutil.copytree(area / "lower", area / "plain", symlinks=True)
        lower = str(area / "lower")
        yield Sandbox(Metadata("", [lower], lower), str(area / "upper"), str(area / "work")), area
    finally:
        remove_tree(str(area))


def of_view(view: View, top: str) -> dict[str, tuple[object, ...]]:
    """What a view shows: mode, and contents or target."""
    found: dict[str, tuple[object, ...]] = {}
    todo = [top]
    while todo:
        here = todo.pop()
        for name in view.list(here):
            path = f"{here}/{name}"
            status = view.stat(path)
            content = view.read(path) if status.is_file else view.readlink(path) if status.is_link else ""
            found[path.removeprefix(f"{top}/")] = oct(status.mode), content
            todo += [path] if status.is_dir else []
    return found


def of_directory(top: Path) -> dict[str, tuple[object, ...]]:
    """The same of a plain directory."""
    with View() as view:
        view.lay([top], None, None, top)
        return of_view(view, str(top))


def make_plain(view: View, top: str, target: Path) -> None:
    """A plain copy of what a view shows."""
    for path, (mode, content) in sorted(of_view(view, top).items()):
        place = target / path
        if isinstance(content, bytes):
            place.write_bytes(content)
            place.chmod(int(str(mode), 8) & 0o7777)
        elif content:
            place.symlink_to(str(content))
        else:
            place.mkdir()
            place.chmod(int(str(mode), 8) & 0o7777)


def shown(top: Path) -> dict[str, tuple[object, ...]]:
    """The tree without the attributes of the file system itself."""
    return {path: entry[:3] for path, entry in tree(top).items()}


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(below=LOWER, operations=st.lists(OPERATIONS, min_size=1, max_size=14))
def test_random_changes(below: list[tuple[str, str]], operations: list[tuple[str, ...]]) -> None:
    """After the commit nothing is left in the layer either."""
    with layers(below) as (sandbox, area):
        plain = Plain(area / "plain")
        with sandbox.view(writable=True) as view:
            merged = Merged(view, area / "lower")
            for number, operation in enumerate(operations):
                results = do(plain, operation, number), do(merged, operation, number)
                assert results[0] == results[1], f"{operation}: {results}"
        outcome = commit(sandbox)
        assert not outcome.refused
        assert shown(area / "lower") == shown(area / "plain")
        assert os.listdir(sandbox.upper) == []
        with sandbox.view() as view, sandbox.base() as base:
            assert changes(view, base, sandbox.mount) == []


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@settings(max_examples=EXAMPLES // 2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(below=LOWER, operations=st.lists(OPERATIONS, min_size=1, max_size=14), data=st.data())
def test_random_choices(below: list[tuple[str, str]], operations: list[tuple[str, ...]], data: st.DataObject) -> None:
    """Committed in two parts: the view shows the same after the first, the lower is right after the second."""
    with layers(below) as (sandbox, area):
        plain = Plain(area / "plain")
        with sandbox.view(writable=True) as view:
            merged = Merged(view, area / "lower")
            for number, operation in enumerate(operations):
                do(plain, operation, number)
                do(merged, operation, number)
        with sandbox.view() as view, sandbox.base() as base:
            paths = [change.path for change in changes(view, base, sandbox.mount)]
        if paths:
            chosen = data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3, unique=True))
            assert not commit(sandbox, chosen).refused
            with sandbox.view() as view:
                assert of_view(view, sandbox.mount) == of_directory(area / "plain")
        assert not commit(sandbox).refused
        assert shown(area / "lower") == shown(area / "plain")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(below=LOWER, top=st.lists(OPERATIONS, max_size=8), operations=st.lists(OPERATIONS, min_size=1, max_size=12))
def test_random_changes_to_a_layer(below: list[tuple[str, str]], top: list[tuple[str, ...]],
                                   operations: list[tuple[str, ...]]) -> None:
    """Over a layer that calls have made: after the commit that layer shows it, and the lower below is untouched."""
    with layers(below) as (sandbox, area):
        (area / "top").mkdir()
        (area / "top-work").mkdir()
        lower = Sandbox(Metadata("", list(sandbox.lowers), sandbox.mount), str(area / "top"), str(area / "top-work"))
        with lower.view(writable=True) as view:
            for number, operation in enumerate(top):
                do(Merged(view, area / "lower"), operation, 500 + number)
            remove_tree(str(area / "plain"))
            (area / "plain").mkdir()
            make_plain(view, sandbox.mount, area / "plain")
        sandbox.metadata.lowers.insert(0, str(area / "top"))
        before = shown(area / "lower")
        with sandbox.view(writable=True) as view:
            for number, operation in enumerate(operations):
                do(Plain(area / "plain"), operation, number)
                do(Merged(view, area / "lower"), operation, number)
            expected = of_view(view, sandbox.mount)
        assert not commit(sandbox).refused
        assert os.listdir(sandbox.upper) == []
        assert shown(area / "lower") == before
        with lower.view() as view:
            assert of_view(view, sandbox.mount) == expected


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@pytest.mark.parametrize(("operations", "chosen"), [
    ([("exchange", "d/e", "e/a")], "e/a"),
    ([("exchange", "d/e", "e/a")], "d/e"),
    ([("exchange", "b", "d")], "b/e/b"),
    ([("exchange", "d/a", "b")], "b"),
    ([("exchange", "d/e", "e/a"), ("exchange", "e/a/b", "d")], "e/a/b"),
    ([("exchange", "e/l", "d/e/b"), ("append", "d/a")], "e/l"),
    ([("rename", "b", "e/a"), ("exchange", "e/a", "e/l")], "e/a"),
    ([("append", "d/a"), ("unlink", "e/l")], "d/a"),
    ([("exchange", "d", "e"), ("exchange", "d/l", "e/e")], "d/l"),
    ([("exchange", "d/e", "e"), ("exchange", "d/e/l", "e"), ("link", "d/e/l/b", "d/e/e")], "d/e/l"),
])
def test_a_part_and_then_the_rest(operations: list[tuple[str, ...]], chosen: str) -> None:
    """What has changed places is committed together: afterwards nothing is refused as changed by somebody else."""
    with layers(TREE) as (sandbox, area):
        (area / "plain/e/l").unlink()  # copytree has made two files of it
        os.link(area / "plain/d/a", area / "plain/e/l")
        with sandbox.view(writable=True) as view:
            for number, operation in enumerate(operations):
                assert do(Plain(area / "plain"), operation, number) == do(Merged(view, area / "lower"), operation,
                                                                          number) == 0
        assert not commit(sandbox, [f"{sandbox.mount}/{chosen}"]).refused
        with sandbox.view() as view:
            assert of_view(view, sandbox.mount) == of_directory(area / "plain")
        assert not commit(sandbox).refused
        assert shown(area / "lower") == shown(area / "plain")
        assert os.listdir(sandbox.upper) == []


TREE = [("mkdir", "d"), ("mkdir", "d/e"), ("write", "d/a"), ("write", "d/e/b"), ("mkdir", "e"), ("write", "e/a"),
        ("write", "b"), ("link", "d/a", "e/l")]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@pytest.mark.parametrize("operations", [
    [("rename", "d", "f"), ("link", "f/a", "g")],
    [("link", "d/a", "g"), ("rename", "d", "f")],
    [("rename", "d", "f"), ("link", "f/e/b", "f/g"), ("rename", "f", "h")],
    [("link", "d/e/b", "d/g"), ("rename", "d/e", "x"), ("rename", "d", "f")],
    [("rename", "b", "e/f"), ("link", "e/f", "e/g")],
    [("rename", "d", "e/g"), ("rename", "e/g/e", "e/f"), ("link", "e/f/b", "e/f/e")],
    [("rename", "e", "d/e/e"), ("exchange", "d", "b")],
    [("rename", "e/a", "e/d"), ("unlink", "d/e/b"), ("exchange", "e/d", "d")],
    [("unlink", "d/e/b"), ("exchange", "b", "d")],
    [("exchange", "d", "e")],
    [("exchange", "e/l", "d/e")],
    [("exchange", "d/e/b", "d/a"), ("rename", "e", "d/d")],
    [("append", "d/a"), ("rename", "d/a", "f")],
    [("link", "e/a", "d/e/a"), ("chmod", "d/a"), ("unlink", "d/a")],
])
def test_links_and_renames(operations: list[tuple[str, ...]]) -> None:
    """Each of these was refused, or lost a name or that two names are one file."""
    links_and_renames(lambda _: None, operations)


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@pytest.mark.parametrize("seed", range(4))
def test_random_links_and_renames(seed: int) -> None:
    """Of what is there at the time, so that nearly every call does something."""
    for number in range(EXAMPLES // 4):
        random = Random(f"{seed} {number}")
        links_and_renames(lambda top: call_of(top, random), [()] * random.randint(2, 9))  # noqa: B023


def call_of(top: Path, random: Random) -> tuple[str, ...]:
    """A call on something that is there."""
    paths = sorted(str(path.relative_to(top)) for path in top.rglob("*"))
    files = [path for path in paths if not (top / path).is_dir()] or ["none"]
    places = ["", *(f"{path}/" for path in paths if (top / path).is_dir())]
    new = f"{random.choice(places)}{random.choice('abdefg')}"
    name = random.choice(["rename", "rename", "rename", "link", "link", "link", "exchange", "append", "unlink", "mkdir",
                          "chmod"])
    any_one = random.choice(paths or ["none"])
    return {"rename": (name, any_one, new), "link": (name, random.choice(files), new), "mkdir": (name, new),
            "exchange": (name, any_one, random.choice(paths or ["none"]))}.get(name, (name, random.choice(files)))


def links_and_renames(choose: Callable[[Path], tuple[str, ...] | None], operations: list[tuple[str, ...]]) -> None:
    """Plays them, or what `choose` says, on a view and a plain copy, and commits."""
    with layers(TREE) as (sandbox, area):
        (area / "plain/e/l").unlink()  # copytree has made two files of it
        os.link(area / "plain/d/a", area / "plain/e/l")
        played = []
        with sandbox.view(writable=True) as view:
            for number, given in enumerate(operations):
                operation = choose(area / "plain") or given
                played.append(operation)
                results = [do(place, operation, number)
                           for place in (Plain(area / "plain"), Merged(view, area / "lower"))]
                assert results[0] == results[1], played
        outcome = commit(sandbox)
        assert not outcome.refused, played
        assert shown(area / "lower") == shown(area / "plain"), played
        assert os.listdir(sandbox.upper) == [], played
