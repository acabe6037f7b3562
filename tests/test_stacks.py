"""Stacks of layers: each run's upper is the topmost lower of the next one, as a fork's is.

Directories that were renamed in one layer are renamed again in others, within their directory and out of it, so that
relative and absolute redirects follow each other; the kernel's overlayfs tells what is to be seen.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from support import host
from support.pair import Layers, Parted, compare
from support.players import play, tree
from support.sequences import Make, Stack, Step, lay_out, prefix_of, stacks

from ptoverlay.view import View

pytestmark = pytest.mark.root_only


def problems_of(base: Path, stack: Stack) -> list[str]:
    """Plays the rounds, one upon the other.  What differs in the first one in which anything does."""
    lowest = base / "lowest"
    lowest.mkdir()
    lay_out(lowest, stack.lowest, prefix_of(False))
    lowers = [lowest]
    for number, each in enumerate(stack.rounds):
        place = base / f"round{number}"
        place.mkdir()
        layers = Layers(place, lowers, each.made, user=False)
        problems = compare(layers, each.steps)
        if problems:
            return [f"round {number}", *problems]
        lowers = [place / f"{each.kept}-upper", *lowers]
    return []


def test_stacks(memory: Path, sequence_settings: settings) -> None:
    """Two to twelve layers, each made by the kernel or by the view."""

    @settings(sequence_settings, max_examples=max(1, sequence_settings.max_examples // 20))
    @given(stacks())
    def run(stack: Stack) -> None:
        problems: list[str] = []
        with tempfile.TemporaryDirectory(dir=memory) as place, contextlib.suppress(Parted):
            problems = problems_of(Path(place), stack)
        if problems:
            pytest.fail("\n".join([*problems, "", str(stack)]), pytrace=False)

    run()


#: Redirects of d in the upper, over a lower that has a/b/f, e and the symlink a/l to its own top.
REDIRECTS = ["a", "/a", "/a/b", "e", "x", "/a/x", "", "/", "a/b", "/a/", "/a//b", "//a", "..", ".", "/..", "/a/../a/b",
             "/a/./b", "/a/..", "/../../etc", "l", "/a/l", "/a/l/a/b", "y" * 300, "/" + "y" * 300, "/a\0b", "\0"]


@pytest.mark.parametrize("redirect", REDIRECTS, ids=ascii)
def test_redirects_of_others(memory: Path, redirect: str) -> None:
    """What a redirect may say: the kernel shows as much of the lower, or gives the same error."""
    with tempfile.TemporaryDirectory(dir=memory) as place:
        lower = Path(place, "lower")
        lower.mkdir()
        lay_out(lower, [Make("file", "a/b/f", "f"), Make("file", "e", "e"), Make("link", "a/l", "..")], "")
        # A lower directory has one place in a view.
        upper = (Make("dir", "d", mode=0o755), Make("whiteout", "a"), Make("whiteout", "e"))
        layers = Layers(Path(place), [lower], upper, user=False)
        for name in ("kernel-upper", "view-upper"):
            os.setxattr(Path(place, name, "d"), "trusted.overlay.redirect", os.fsencode(redirect))
        kernel = layers.kernel("kernel")
        try:
            expected = play(kernel, Step("stat", ("d",))), tree(kernel, "d")
        finally:
            host.unmount(layers.mount)
        with View() as view:
            ours = layers.view(view, "view")
            assert (play(ours, Step("stat", ("d",))), tree(ours, "d")) == expected


def test_renamed_below_is_found_again(memory: Path) -> None:
    """Where a directory is that a lower's redirect leads to is known for as long as somebody may have it open."""
    with tempfile.TemporaryDirectory(dir=memory) as place:
        lowers = [Path(place, name) for name in ("above", "below")]
        for lower, makes in zip(lowers, ([Make("dir", "x", mode=0o755), Make("redirect", "x", "d")],
                                         [Make("file", "d/s/f", "f")]), strict=True):
            lower.mkdir()
            lay_out(lower, makes, prefix_of(False))
        layers = Layers(Path(place), lowers, (), user=False)
        with View() as view:
            layers.view(view, "view")
            assert view.real(layers.mount / "x/s/f")[1] == str(lowers[1] / "d/s/f")
            for number in range(110_000):  # more names than are remembered
                assert view.find(f"{layers.mount}/{number}") is None
            assert view.map_back(lowers[1] / "d/s/f") == str(layers.mount / "x/s/f")
