"""Parts of a change that are committed, killed at any point: the host has all of them or none, the sandbox all it had.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.calls import of_view
from support.killing import killed_at
from support.scenes import change
from support.trees import in_memory

from ptoverlay.commit.carry import commit
from ptoverlay.commit.parts import commit_parts, finish_parts
from ptoverlay.layer.changes import changes
from ptoverlay.layer.patch import Patch
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox

OLD = b"".join(b"%d\n" % number for number in range(40))
PART = OLD.replace(b"\n3\n", b"\nthree\n")
NEW = PART.replace(b"\n30\n", b"\nthirty\n")


@pytest.fixture
def area(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with in_memory() as path:
        monkeypatch.setenv("XDG_STATE_HOME", str(path / "state"))
        yield path


def lay_out(area: Path) -> Path:
    for path in area.iterdir():
        remove_tree(str(path))
    lower = area / "lower"
    lower.mkdir()
    (lower / "text").write_bytes(OLD)
    box = Sandbox.create("one", [str(lower)], str(lower))
    change(box, lambda view, m: view.write(f"{m}/text", NEW, os.O_TRUNC))
    return lower


def first_part() -> None:
    """Commits the first of two pieces."""
    box = Sandbox.open("one")
    with box.view() as view, box.base() as base:
        (found,) = changes(view, base, box.mount)
        hunks = Patch(found, view, base, box.mount).hunks
    outcome = commit_parts(box, (), {found.path: hunks[:1]})
    assert outcome.refused == {}


def test_killed_at_any_point(area: Path) -> None:
    for n in itertools.count(1, 2):
        lower = lay_out(area)
        killed = killed_at(n, first_part)
        got = (lower / "text").read_bytes()
        assert got in (OLD, PART)
        box = Sandbox.open("one")
        with box.view() as view:
            assert view.read(f"{lower}/text") == NEW
        finish_parts(box)
        with box.view() as view:
            assert of_view(view, str(lower)).keys() == {"text"}
        assert (lower / "text").read_bytes() in (got, PART)
        assert commit(box).refused == {}
        assert (os.listdir(lower), (lower / "text").read_bytes()) == (["text"], NEW)
        assert box.directory is not None
        assert not list(box.directory.glob("parts*"))
        if not killed:
            return
