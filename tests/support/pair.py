"""The kernel's overlayfs and a view on the same lowers, each with an upper of its own, and what differs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ptoverlay import options
from ptoverlay.layer.view import View

from . import host
from .differences import known_call, known_object
from .players import KernelPlayer, Object, Result, Tree, ViewPlayer, play, tree
from .sequences import Layer, Step, Trial, kernel_options, lay_out, prefix_of


class Layers:
    """Lowers, topmost first, and in base two uppers and a mount point.

    user: as the mount option userxattr; metacopy: as that one."""

    def __init__(self, base: Path, lowers: Sequence[Path], upper: Layer, *, user: bool, metacopy: bool = False) -> None:
        self.base = base
        self.lowers = lowers
        self.user = user
        self.metacopy = metacopy
        for name in ("kernel-upper", "kernel-work", "view-upper", "view-work", "mnt"):
            (base / name).mkdir()
        for name in ("kernel", "view"):
            lay_out(base / f"{name}-upper", upper, prefix_of(user))
        self.inodes = {os.lstat(os.path.join(d, n)).st_ino for low in lowers for d, names, files in os.walk(low)
                       for n in (*names, *files)}

    @property
    def mount(self) -> Path:
        return self.base / "mnt"

    @property
    def options(self) -> str:
        """Of the kernel's overlayfs, beside the directories."""
        options = kernel_options(self.user)
        return options.replace("metacopy=off", "metacopy=on") if self.metacopy else options

    def kernel(self, whose: str) -> KernelPlayer:
        """Mounts the kernel's overlayfs on the upper of `whose`."""
        lowers = ":".join(map(str, self.lowers))
        upper = f"upperdir={self.base / whose}-upper,workdir={self.base / whose}-work"
        host.mount_overlay(self.mount, f"lowerdir={lowers},{upper},{self.options}")
        return KernelPlayer(self.mount, self.inodes)

    def view(self, view: View, whose: str) -> ViewPlayer:
        """Opens a view on the upper of `whose`."""
        flags = options.USERXATTR | options.NO_REDIRECT if self.user else options.METACOPY if self.metacopy else 0
        view.lay(self.lowers, self.base / f"{whose}-upper", self.base / f"{whose}-work", self.mount, flags)
        return ViewPlayer(view, self.mount, self.inodes)


class Parted(Exception):
    """A known difference: what follows cannot be compared."""


def same_calls(steps: Sequence[Step], kernel: KernelPlayer, view: ViewPlayer) -> list[str]:
    """The first call whose result differs, if any."""
    for i, step in enumerate(steps):
        theirs, ours = play(kernel, step), play(view, step)
        if theirs != ours and known_call(step, theirs, ours):
            raise Parted
        if theirs != ours:
            return [f"call {i + 1}, {step.line()}: the kernel {told(theirs)}, the view {told(ours)}"]
    return []


def told(result: Result) -> str:
    return f"says {result[1]}" if result[0] == "error" else f"gives {result[1]!r}"


def same_trees(what: str, expected: Tree, found: Tree) -> list[str]:
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        one, other = expected.get(path), found.get(path)
        if one != other and not known_object(one, other):
            lines.append(f"{what}: {path}:\n      {one}\n      {other}")
    return lines


def bare(found: Tree) -> Tree:
    """Without what one implementation cannot tell from what the other left: numbers of links and of inodes."""
    return {path: o if isinstance(o, str) else Object(replace(o.attributes, nlink=0, lower=0), o.content, o.xattrs)
            for path, o in found.items()}


def compare(layers: Layers, steps: Sequence[Step]) -> list[str]:
    """Plays the steps on both.  Returns what differs: in the results, in the trees, and in what each makes of the upper
    that the other one left."""
    kernel = layers.kernel("kernel")
    try:
        with View() as view:
            ours = layers.view(view, "view")
            problems = same_calls(steps, kernel, ours)
            if problems:
                return problems
            kernel_tree, view_tree = tree(kernel), tree(ours)
    finally:
        host.unmount(layers.mount)
    problems = same_trees("the kernel and the view", kernel_tree, view_tree)
    if problems:
        return problems
    try:
        on_view = tree(layers.kernel("view"))
    finally:
        host.unmount(layers.mount)
    with View() as view:
        on_kernel = tree(layers.view(view, "kernel"))
    return [*same_trees("the view, and the kernel on its upper", bare(view_tree), bare(on_view)),
            *same_trees("the kernel, and the view on its upper", bare(kernel_tree), bare(on_kernel))]


def differences(base: Path, sequence: Trial) -> list[str]:
    """Plays the sequence in new directories below base.  Returns what differs."""
    lowers = [base / f"lower{i}" for i in range(len(sequence.lowers))]
    for path, makes in zip(lowers, sequence.lowers, strict=True):
        path.mkdir()
        lay_out(path, makes, prefix_of(sequence.user))
    return compare(Layers(base, lowers, sequence.upper, user=sequence.user), sequence.steps)
