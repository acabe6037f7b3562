"""A program that turns paths, links, descriptors and structs under its calls: the host stays what it was.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import itertools
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.adversary import VIEWS, Grounds, Result, grounds
from support.box import traps
from support.oracle import USER, Who
from support.subjects import Subjects

#: Of the whole test, spread over the users, views and traps.
CALLS = 100_000
RUNS = [*itertools.product(("root", "user"), VIEWS, traps())]
#: More than these use up what one lower holds: there is another run, with a new upper.
ONE_RUN = 50_000
#: Nothing comes of these on the host: the calls fail there, or change nothing that a tree shows; fanotify gives an
#: ordinary user no descriptors.
IDLE = {"clone-into", "contents", "fanotify", "fcntl", "requests", "send", "sync"}


@pytest.fixture(scope="module")
def give(base: Path, subjects: Subjects) -> Iterator[Callable[[Who], Grounds]]:
    """The directories of each user's runs."""
    area = Path(tempfile.mkdtemp(prefix="adversary", dir=base))  # a worker may come back to this module
    area.chmod(0o755)
    function, clean = grounds(area, subjects)
    yield function
    clean()


def test_ways_change_the_host(give: Callable[[Who], Grounds]) -> None:
    """Without a view the calls are made, and what they change is seen and told by its way: the test has teeth.

    Which race is won is a matter of luck: calls that have changed nothing so far are made again, by another seed."""
    result = give(USER).run("none", "", 7_500, 1)
    assert (result.said, result.calls) == ("", 7_500)
    assert result.changed.keys() <= result.ways.keys()
    assert len(result.changed) > len(result.ways) / 2
    missing = {way.split(".")[1] for way in result.ways} - IDLE
    for seed in range(2, 12):
        missing -= {way.split(".")[1] for way in result.changed}
        if not missing:
            break
        result = give(USER).run("none", "", 500 * len(missing), seed, [f"*.{call}" for call in sorted(missing)])
    assert missing == set()


#: What a profile may refuse, and the ways that then lead round what the kernel would do: pidfd_getfd and Landlock;
#: openat2.
PROFILES = {"notify": ("438=1,444=38,445=38,446=38", "*.bind"), "ptrace": ("437=38", "swap-*.open*")}


def test_host_stays_where_calls_are_refused(give: Callable[[Who], Grounds], trap: str) -> None:
    """Sockets are handed to the supervisor, and what is written by it: nothing is left to who makes the call."""
    forbid, ways = PROFILES[trap]
    result = give(USER).run("elsewhere", trap, 200, 1, [ways], forbid=forbid)
    assert (result.changed, result.said, result.calls) == ({}, "", 200)
    assert result.done > 50


def _message(result: Result, who: Who, view: str, trap: str, seed: int) -> str:
    lines = [f"{way}: {len(changes)}, {changes[0]}" for way, changes in sorted(result.changed.items())]
    again = f"cd tests; python -m support.adversary --who {who.name} --view {view} --trap {trap} --seed {seed} --calls"
    ways = [f"'{way}'" for way in sorted(result.changed)]
    return "\n".join(["the host changed:", *lines, " ".join([again, str(1000 * len(ways)), *ways])])


@pytest.mark.parametrize("view", VIEWS)
def test_host_stays(
    give: Callable[[Who], Grounds], who: Who, trap: str, view: str, request: pytest.FixtureRequest
) -> None:
    """Every entry of the lower, and of what the view covers; the ways and their order follow from the seed.

    `--hostile-calls N` makes N calls in all, by other seeds each time."""
    asked = request.config.getoption("--hostile-calls")
    first = secrets.randbits(32) if asked else RUNS.index((who.name, view, trap))
    left = (asked or CALLS) // len(RUNS)
    for seed in itertools.count(first):
        calls = min(left, ONE_RUN)
        result = give(who).run(view, trap, calls, seed, timeout=120 + calls / 50)
        assert not result.changed, _message(result, who, view, trap, seed)
        assert not result.said
        assert result.calls == calls
        assert result.done > calls / 4, "most calls failed: the ways lead nowhere"
        left -= calls
        if not left:
            return
