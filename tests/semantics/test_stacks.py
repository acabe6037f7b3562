"""Stacks of layers: each run's upper is the topmost lower of the next one, as a fork's is.

Directories that were renamed in one layer are renamed again in others, within their directory and out of it, so that
relative and absolute redirects follow each other; the kernel's overlayfs tells what is to be seen.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from support import host
from support.box import command
from support.oracle import ROOT, USER, Who
from support.pair import Layers, Parted, compare
from support.players import Object, ViewPlayer, play, tree
from support.sequences import Make, Stack, Step, lay_out, prefix_of, stacks
from support.snapshot import TREE, assert_equal
from support.trees import Node
from support.world import World

from ptoverlay.layer.view import View

pytestmark = pytest.mark.root_only


def problems_of(base: Path, stack: Stack, *, metacopy: bool) -> list[str]:
    """Plays the rounds, one upon the other.  What differs in the first one in which anything does."""
    lowest = base / "lowest"
    lowest.mkdir()
    lay_out(lowest, stack.lowest, prefix_of(False))
    lowers = [lowest]
    for number, each in enumerate(stack.rounds):
        place = base / f"round{number}"
        place.mkdir()
        layers = Layers(place, lowers, each.made, user=False, metacopy=metacopy)
        problems = compare(layers, each.steps)
        if problems:
            return [f"round {number}", *problems]
        lowers = [place / f"{each.kept}-upper", *lowers]
    return not_found_again(lowers, base / "lowest")


def not_found_again(lowers: list[Path], mount: Path) -> list[str]:
    """Files of a stack that a new view does not find by their real paths."""
    problems = []
    with View() as view:
        view.lay(lowers, None, None, mount)
        shown = tree(ViewPlayer(view, mount, ()))
        real = {str(mount / path): view.real(mount / path)[1] for path, found in shown.items()
                if isinstance(found, Object) and not stat.S_ISDIR(found.attributes.mode)}
    for path, where in sorted(real.items())[:6]:
        with View() as view:
            view.lay(lowers, None, None, mount)
            try:
                found = view.map_back(where)
            except OSError as error:
                found = str(error)
            if found != path:
                problems.append(f"{where}, which is {path}, is found as {found}")
    return problems


@pytest.mark.parametrize("metacopy", [False, True], ids=["whole", "metacopy"])
def test_stacks(memory: Path, sequence_settings: settings, metacopy: bool) -> None:
    """Two to twelve layers, each made by the kernel or by the view."""

    @settings(sequence_settings, max_examples=max(1, sequence_settings.max_examples // 40))
    @given(stacks())
    def run(stack: Stack) -> None:
        problems: list[str] = []
        with tempfile.TemporaryDirectory(dir=memory) as place, contextlib.suppress(Parted):
            problems = problems_of(Path(place), stack, metacopy=metacopy)
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


#: What each run does to what the runs before have left.
RUNS = (
    "mv a/d a/dx; mv a/k e/k; echo n >a/dx/n; chmod 711 e",
    "mv a/dx e/d2; mv e/k e/k2; echo m >e/d2/s/m; rm e/d2/f",
    "mv e/d2/s g/s; mv e g/e; mkdir e; echo e >e/e; cd g/e/d2; mv n ../nn; pwd; ls ..",
    "mv g/e/d2 g/s a; mv g/e e/g; rm -r a/s/deep; find . | sort; cd e/g/k2; cat k; mv ../../g ../../gg; pwd; ls ../..",
)


def one_more(world: World) -> None:
    """What the last run left becomes the topmost lower."""
    number = len(world.lowers)
    world.lowers.insert(0, world.upper)
    world.upper, world.work = (world.area / f"{name}{number}" for name in ("upper", "work"))
    for path in (world.upper, world.work):
        path.mkdir()
        os.chown(path, *world.owner)
    times = world.lowers[0].stat()
    os.utime(world.upper, ns=(times.st_atime_ns, times.st_mtime_ns))  # the top is the upper's own
    world.freeze()


@pytest.mark.parametrize("who", [ROOT, USER], ids=lambda who: who.name)
def test_runs_upon_runs(make_world: Callable[[Who, str], World], who: Who, trap: str) -> None:
    """By real programs: after each run the view, and the kernel on its layers, is a plain copy's tree."""
    world = make_world(who, trap)
    names = ("a", "a/d", "a/d/s", "a/d/s/deep", "a/k", "e", "g")
    files = ("a/d/f", "a/d/s/t", "a/d/s/deep/x", "a/k/k")
    world.lay_out([*(Node(name, "dir", 0o755) for name in names), *(Node(name, content=b"x") for name in files)])
    for script in RUNS:
        world.same_run(["sh", "-ec", script])
        assert_equal(script, world.plain().snapshot(), world.box().snapshot(), TREE)
        if who is ROOT:
            world.assert_kernel_agrees()
        one_more(world)
    world.assert_lowers_untouched()


def test_runs_upon_runs_inside(make_world: Callable[[Who, str], World], trap: str) -> None:
    """The same by runs inside a run, on layers that were made in it."""
    world = make_world(ROOT, trap)
    directories = [Node(name, "dir", 0o755) for name in ("a", "a/d", "a/d/s", "e", "up")]
    world.lay_out([*directories, Node("a/d/f", content=b"f"), Node("a/d/s/t", content=b"t")])
    inner = [*command(), "run", "-m", "."]
    first, second = "mv a/d a/dx; echo n >a/dx/n", "mv a/dx e/dy; mv e/dy/s a/s; find a e | sort; cd e/dy; pwd; cat n f"
    script = f"""
    mkdir up/1 up/2
    {shlex.join([*inner, "-l", ".", "-u", "up/1", "--", "sh", "-ec", first])}
    {shlex.join([*inner, "-l", "up/1:.", "-u", "up/2", "--", "sh", "-ec", second])}
    {shlex.join([*inner, "-l", "up/2:up/1:.", "--", "sh", "-ec", "find a e | sort; cat e/dy/n a/s/t"])}
    """
    found = world.box().check(["sh", "-ec", script], env=world.env)
    tree_ = "a\na/s\na/s/t\ne\ne/dy\ne/dy/f\ne/dy/n\n"
    assert found == f"{tree_}{world.mount}/e/dy\nn\nf{tree_}n\nt"
    world.assert_lowers_untouched()


def test_whiteouts_with_nothing_below(make_world: Callable[[Who, str], World], trap: str) -> None:
    """A layer without the one that it was made over: its whiteouts are no names in what was copied up."""
    world = make_world(ROOT, trap)
    for lower in (world.add_lower(), world.add_lower()):
        (lower / "both").mkdir()
    directory = world.lowers[0] / "both/a"
    directory.mkdir()
    (directory / "there").touch()
    os.mknod(directory / "gone", stat.S_IFCHR, 0)
    os.setxattr(directory, "trusted.overlay.origin", b"")
    world.freeze()
    assert world.kernel().check(["ls", "both/a"], env=world.env) == "there\n"
    assert world.box().check(["sh", "-c", "ls both/a; rm -r both/a; ls both"], env=world.env) == "there\n"
