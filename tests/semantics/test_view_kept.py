"""What the view keeps beside the layers: counts of names, identities, lists of names; without a tracee.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from support.bench import DIR, Bench
from support.trees import Node

pytestmark = pytest.mark.quick


# ---- hard links


@pytest.mark.parametrize("anew", [False, True], ids=["same run", "next run"])
def test_names_removed_before_the_copy(open_bench: Callable[..., Bench], anew: bool) -> None:
    """They do not count when another name of the file is copied up, and what is left stays one file."""
    b = open_bench([Node("a", content=b"one"), *(Node(n, "hard", target="a") for n in "bcd")])
    b.view.unlink(b.mount / "a")
    b.view.unlink(b.mount / "d")
    view = b.again() if anew else b.view
    assert [view.stat(b.mount / n).nlink for n in "bc"] == [2, 2]
    view.write(b.mount / "b", b"two")
    for view in b.both():
        assert [(view.stat(b.mount / n).nlink, view.read(b.mount / n)) for n in "bc"] == [(2, b"two")] * 2
    view.unlink(b.mount / "c")
    for view in b.both():
        assert (view.stat(b.mount / "b").nlink, view.read(b.mount / "b")) == (1, b"two")


def test_last_name_copied(open_bench: Callable[..., Bench]) -> None:
    """With all other names removed it is a file of one name, and nothing is kept beside it."""
    b = open_bench([Node("a", content=b"one"), Node("b", "hard", target="a")])
    b.view.unlink(b.mount / "a")
    b.view.write(b.mount / "b", b"two")
    for view in b.both():
        assert (view.stat(b.mount / "b").nlink, view.read(b.mount / "b")) == (1, b"two")
    assert (b.upper / "b").stat().st_nlink == 1


# ---- identities


def test_identities_of_many(open_bench: Callable[..., Bench]) -> None:
    """Of a thousand files that were copied up, when others of them have gone: each is still what it was."""
    names = [f"{i:04}" for i in range(1000)]
    b = open_bench([Node(name, content=name.encode()) for name in names])
    identity = {name: b.view.stat(b.mount / name).identity for name in names}
    order = random.Random(12)
    order.shuffle(names)
    for i, name in enumerate(names):
        b.view.chmod(b.mount / name, 0o600)
        if i % 3 == 0:
            b.view.mkdir(b.mount / f"between-{name}")
    order.shuffle(names)
    for at, name in enumerate(names[:700]):
        b.view.unlink(b.mount / name)
        left = names[at + 1 :: 97]
        assert [b.view.stat(b.mount / n).identity for n in left] == [identity[n] for n in left]
    assert {n: b.view.stat(b.mount / n).identity for n in names[700:]} == {n: identity[n] for n in names[700:]}


# ---- lists of names


def test_lists_after_a_rename(open_bench: Callable[..., Bench]) -> None:
    """A directory was listed and moved away: what takes its name, or what was kept for it, shows its own names."""
    b = open_bench([DIR, Node("dir/a"), Node("dir/sub", "dir", 0o755), Node("dir/sub/x"), Node("other", "dir", 0o755)])
    for name in ("dir", "dir/sub", "other", "."):
        b.view.list(b.mount / name)
    b.view.rename(b.mount / "dir", b.mount / "moved")
    for name in ("dir", "dir/sub", "other/sub", "other/sub/sub"):
        b.view.mkdir(b.mount / name)
        assert b.view.list(b.mount / name) == []
    shown = {name: b.view.list(b.mount / name) for name in (".", "moved", "moved/sub", "dir", "other", "other/sub")}
    assert shown == {".": ["dir", "moved", "other"], "moved": ["a", "sub"], "moved/sub": ["x"], "dir": ["sub"],
                     "other": ["sub"], "other/sub": ["sub"]}
