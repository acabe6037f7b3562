"""A program that turns paths, links, descriptors and structs under its calls: the host stays what it was.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.adversary import Grounds, grounds
from support.oracle import USER, Who
from support.subjects import Subjects

#: Nothing comes of these on the host: the calls fail there, or change nothing that a tree shows; fanotify gives an
#: ordinary user no descriptors.
IDLE = {"clone-into", "contents", "fanotify", "fcntl", "requests", "send", "sync"}


@pytest.fixture(scope="module")
def give(base: Path, subjects: Subjects) -> Iterator[Callable[[Who], Grounds]]:
    """The directories of each user's runs."""
    area = base / "adversary"
    area.mkdir()
    area.chmod(0o755)
    function, clean = grounds(area, subjects)
    yield function
    clean()


def test_ways_change_the_host(give: Callable[[Who], Grounds]) -> None:
    """Without a view the calls are made, and what they change is seen and told by its way: the test has teeth."""
    result = give(USER).run("none", "", 7_500, 1)
    assert not result.said
    assert result.calls == 7_500
    calls = {way.split(".")[1] for way in result.ways}
    changed = {way.split(".")[1] for way in result.changed}
    assert sorted(calls - changed - IDLE) == []
    assert result.changed.keys() <= result.ways.keys()
    assert len(result.changed) > len(result.ways) / 2
