"""fsck: what the kernel refuses or misreads is found, and what is repaired the kernel reads.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Who
from support.tool import Tool
from support.trees import Node, whiteout
from support.world import World

MakeWorld = Callable[[Who, str], World]

NODES = [
    Node("d", "dir", 0o755),
    Node("d/low", content=b"low\n"),
    Node("d/sub", "dir", 0o755),
    Node("d/sub/y", content=b"y\n"),
    Node("e", "dir", 0o755),
    Node("f", content=b"f\n"),
]


class Broken:
    """A layer that is being spoiled, as the world's user would have it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.upper = world.upper

    def own(self, path: Path) -> Path:
        os.chown(path, *self.world.owner, follow_symlinks=False)
        return path

    def mkdir(self, name: str, **marks: bytes) -> None:
        path = self.upper / name
        path.mkdir()
        self.own(path)
        self.mark(name, **marks)

    def file(self, name: str, **marks: bytes) -> None:
        path = self.upper / name
        path.touch()
        self.own(path)
        self.mark(name, **marks)

    def whiteout(self, name: str) -> None:
        whiteout(self.upper / name, self.world.owner)

    def mark(self, name: str, **marks: bytes) -> None:
        for mark, value in marks.items():
            os.setxattr(self.upper / name, f"{self.world.who.prefix}.overlay.{mark}", value)


def _pure_whiteout(layer: Broken) -> None:
    layer.mkdir("new")
    layer.whiteout("new/gone")


def _opaque_whiteout(layer: Broken) -> None:
    layer.mkdir("d", opaque=b"y")
    layer.whiteout("d/low")


def _marked(layer: Broken) -> None:
    layer.mkdir("d")
    layer.file("d/low", whiteout=b"y")


def _image_whiteouts(layer: Broken) -> None:
    layer.file(".wh.f")
    layer.mkdir("d")
    layer.file("d/.wh..wh..opq")


def _redirect(value: bytes) -> Callable[[Broken], None]:
    return lambda layer: layer.mkdir("r", redirect=value)


def _shown_twice(layer: Broken) -> None:
    layer.mkdir("r", redirect=b"/d")


def _shown_twice_inside(layer: Broken) -> None:
    layer.mkdir("d")
    layer.mkdir("r", redirect=b"/d/sub")


def _both(layer: Broken) -> None:
    layer.whiteout("d")
    layer.mkdir("r", redirect=b"/d", opaque=b"y")


def _origin(layer: Broken) -> None:
    layer.file("new", origin=b"\xff\xff")
    layer.mkdir("dir", origin=b"\xfb")


def _kept(layer: Broken) -> None:
    layer.file("new", **{"ptoverlay.kept": b"nonsense", "ptoverlay.base": b"1:2"})


def _volatile(layer: Broken) -> None:
    path = layer.world.work
    for name in ("work", "incompat", "volatile"):
        path = path / name
        path.mkdir()
        layer.own(path)


#: What is done to a layer, and what is said of which path.
REPAIRABLE: dict[str, tuple[Callable[[Broken], None], dict[str, str]]] = {
    "a whiteout where nothing merges": (_pure_whiteout, {"new/gone": "merges nothing"}),
    "a whiteout in an opaque directory": (_opaque_whiteout, {"d/low": "merges nothing"}),
    "a whiteout by attribute": (_marked, {"d/low": "by attribute"}),
    "whiteouts of images": (_image_whiteouts, {".wh.f": "as images", "d/.wh..wh..opq": "as images"}),
    "an empty redirect": (_redirect(b""), {"r": "is empty"}),
    "a relative path": (_redirect(b"d/sub"), {"r": "neither absolute"}),
    "dots": (_redirect(b"/d/../d"), {"r": "is no path"}),
    "a redirect to nothing": (_redirect(b"/nowhere"), {"r": "no directory"}),
    "a redirect to a file": (_redirect(b"/f"), {"r": "no directory"}),
    "a directory shown twice": (_shown_twice, {"r": "its own place"}),
    "one inside shown twice": (_shown_twice_inside, {"r": "its own place"}),
    "opaque and redirected": (_both, {"r": "at the same time"}),
    "an opaque mark that means nothing": (lambda layer: layer.mkdir("d", opaque=b"z"), {"d": "means nothing"}),
    "origins": (_origin, {"new": "no file handle", "dir": "no file handle"}),
    "what is kept": (_kept, {"new": "cannot be read"}),
    "volatile": (_volatile, {"volatile": "not ended cleanly"}),
}


def problems(world: World, *words: str, status: int) -> dict[str, str]:
    """Path → what, as fsck tells it."""
    out = json.loads(Tool(world).check("fsck", "--json", *words, status=status))
    return {problem["path"].removeprefix(f"{world.work}/work/incompat/"): problem["what"] for problem in out}


def kernel_agrees(world: World) -> None:
    """Every name that the kernel's overlayfs lists on this layer can be read, and the view has the same."""
    kernel = world.kernel_on_upper()
    done = kernel.run(["find", ".", "-type", "f", "-exec", "cat", "{}", "+", "-o", "-ls"])
    assert done.status == 0, done.err
    assert "?" not in done.out
    assert set(kernel.snapshot()) == set(world.box().snapshot())


@pytest.mark.parametrize("name", REPAIRABLE)
def test_found_and_repaired(make_world: MakeWorld, who: Who, name: str) -> None:
    """Told without changing anything; then repaired, and the kernel reads the layer as the view does."""
    spoil, expected = REPAIRABLE[name]
    world = make_world(who, "ptrace")
    world.lay_out(NODES)
    spoil(Broken(world))
    before = world.raw_snapshot(world.upper)
    found = problems(world, status=4)
    assert found.keys() == expected.keys()
    for path, what in expected.items():
        assert what in found[path]
    assert world.raw_snapshot(world.upper) == before
    assert problems(world, "--repair", status=1).keys() == expected.keys()
    assert problems(world, status=0) == {}
    kernel_agrees(world)


@pytest.mark.parametrize(("spoil", "path", "what"), [
    (lambda layer: layer.file("new", metacopy=b""), "new", "metacopy"),
    (lambda layer: (layer.whiteout("d"), layer.mkdir("r", redirect=b"/d"), layer.mkdir("s", redirect=b"/d")), "s",
     "the same lower directory as r"),
])
def test_what_cannot_be_repaired(make_world: MakeWorld, who: Who, spoil: Callable[[Broken], None], path: str,
                                 what: str) -> None:
    """Contents are nowhere, or it cannot be told what was meant."""
    world = make_world(who, "ptrace")
    world.lay_out(NODES)
    spoil(Broken(world))
    before = world.raw_snapshot(world.upper)
    out = Tool(world).check("fsck", "--repair", status=4)
    assert f"{path}: " in out
    assert what in out
    assert "cannot be repaired" in out
    assert world.raw_snapshot(world.upper) == before


@pytest.mark.root_only
def test_marks_of_the_other_prefix(make_world: MakeWorld) -> None:
    """A layer of an ordinary user, looked at by root without --userxattr."""
    world = make_world(ROOT, "ptrace")
    world.lay_out(NODES)
    (world.upper / "d").mkdir()
    os.setxattr(world.upper / "d", "user.overlay.opaque", b"y")
    assert "--userxattr" in problems(world, status=4)["d"]
    assert problems(world, "--userxattr", status=0) == {}


def test_a_layer_of_real_work_is_clean(make_world: MakeWorld, who: Who) -> None:
    """What a run leaves has nothing wrong with it."""
    world = make_world(who, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("rm f; mv d dd; echo 1 >dd/low; rm -r dd/sub; mkdir d; echo 2 >d/2; rm -r e; mkdir -p e/f; "
                       "ln e/../d/2 e/3; mv e/f .; chmod 700 dd")
    assert problems(world, status=0) == {}


def test_an_interrupted_commit_is_told(make_world: MakeWorld) -> None:
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("rm f")
    journal = world.work / "commit/journal"
    journal.parent.mkdir()
    journal.write_text("{")
    for path in (journal, journal.parent):
        os.chown(path, *world.owner)
    assert "ptoverlay commit finishes it" in problems(world, status=4)[str(journal)]
    done = Tool(world).run("commit")
    assert done.status == 125
    assert "not the journal" in done.err


def test_nothing_to_check(make_world: MakeWorld) -> None:
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    assert problems(world, status=0) == {}
    done = Tool(world).run("fsck", "too", "many")
    assert done.status == 125
