"""Layers with something of everything, to be committed: what a test that kills somebody begins with, again and again.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ptoverlay.history import steps
from ptoverlay.history.record import HistoryStep
from ptoverlay.layer.view import View
from ptoverlay.sandboxes.sandbox import Metadata, Sandbox

BIG = 300_000  # bytes: more than one call copies, fewer than take long


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


def change(box: Sandbox, action: Callable[[View, str], None]) -> None:
    """Makes a change a step of the sandbox; it is told where the view appears."""
    with box.lock():
        steps.begin(box, HistoryStep(0))
        os.makedirs(box.upper, exist_ok=True)
        with box.view(writable=True) as view:
            action(view, box.mount)
        steps.finish(box, 0)
