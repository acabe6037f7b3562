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

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.calls import TREE, Merged, Plain, call_of, do, of_directory, of_view, shown

from ptoverlay.commit.carry import commit
from ptoverlay.commit.kept import commits
from ptoverlay.commit.takeback import alone, turn
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
        os.environ["XDG_STATE_HOME"] = str(area / "state")
        lower = str(area / "lower")
        yield Sandbox(Metadata("", [lower], lower), str(area / "upper"), str(area / "work")), area
    finally:
        os.environ.pop("XDG_STATE_HOME", None)
        remove_tree(str(area))


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


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a directory in memory")
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(below=LOWER, operations=st.lists(OPERATIONS, min_size=1, max_size=14))
def test_random_changes(below: list[tuple[str, str]], operations: list[tuple[str, ...]]) -> None:
    """After the commit nothing is left in the layer either; it is taken back, and done again."""
    with layers(below) as (sandbox, area):
        plain = Plain(area / "plain")
        with sandbox.view(writable=True) as view:
            merged = Merged(view, area / "lower")
            for number, operation in enumerate(operations):
                results = do(plain, operation, number), do(merged, operation, number)
                assert results[0] == results[1], f"{operation}: {results}"
        before = shown(area / "lower")
        outcome = commit(sandbox, keep=True)
        assert not outcome.refused
        assert shown(area / "lower") == shown(area / "plain")
        assert os.listdir(sandbox.upper) == []
        with sandbox.view() as view, sandbox.base() as base:
            assert changes(view, base, sandbox.mount) == []
        back_and_forth(area / "lower", before, shown(area / "plain"))


def back_and_forth(lower: Path, before: object, after: object) -> None:
    """A commit that changed the lower is taken back and done again, twice."""
    for expected in (before, after) * 2 if before != after else ():
        with alone() as interrupted:
            (one,) = commits()
            assert (interrupted, turn(one)) == ([], {})
        assert shown(lower) == expected


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
