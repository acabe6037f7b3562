"""The sandbox of a name for who is to change it: opened or made, locked, and compared with what was asked for.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ptoverlay.errors import Failure, Missing, Taken
from ptoverlay.options import USERXATTR, OverlaySpec
from ptoverlay.sandboxes.names import check_name
from ptoverlay.sandboxes.sandbox import Sandbox

_TRIES = 20  # of opening and making a sandbox


@contextmanager
def sandbox_of(name: str, asked: OverlaySpec, *, keep: bool = False, parent: str = "") -> Iterator[Sandbox]:
    """The sandbox of a name, locked, made if it is missing; Failure when other layers are asked for than it has.
    keep: also when nothing ran in it; parent: of one that is made, whose layers the first lowers are."""
    with ExitStack() as stack:
        sandbox, made = _hold(stack, check_name(name), asked, parent)
        try:
            if not made:
                sandbox.metadata = Sandbox.open(name).metadata  # as it is since we have the lock; so are its layers
                check_asked(sandbox, asked)
            yield sandbox
        finally:
            if made and not keep and not os.path.isdir(sandbox.upper):
                sandbox.remove()  # CMD never ran


def _hold(stack: ExitStack, name: str, asked: OverlaySpec, parent: str) -> tuple[Sandbox, bool]:
    """Opens or makes it, and locks it; others may make and remove it meanwhile.  Returns also whether it was made."""
    for tries in range(_TRIES):
        try:
            sandbox = Sandbox.open(name)
            stack.enter_context(sandbox.change(goes_on=True))
            return sandbox, False
        except Missing:
            pass
        try:
            sandbox = _make(name, asked, parent)
            stack.enter_context(sandbox.change(goes_on=True))
            return sandbox, True
        except Taken:
            if tries == _TRIES - 1:
                raise
    raise AssertionError


def _make(name: str, asked: OverlaySpec, parent: str) -> Sandbox:
    lowers = [os.path.realpath(lower) for lower in asked.layers()]
    for lower in lowers:
        if not os.path.isdir(lower):
            raise Failure(lower, "lower: no such directory")
    return Sandbox.create(name, lowers, os.path.realpath(asked.mount_point()), n_data=asked.n_data,
                          flags=asked.flags | USERXATTR * (os.geteuid() != 0), parent=parent, image=asked.image,
                          rootfs=asked.rootfs)


def check_asked(sandbox: Sandbox, asked: OverlaySpec) -> None:
    """Failure when the options ask for other layers than the sandbox has."""
    if asked.lowers:
        sandbox.check_lowers([os.path.realpath(lower) for lower in asked.lowers], asked.n_data)
    if (asked.lowers or asked.mount is not None) and os.path.realpath(asked.mount_point()) != sandbox.mount:
        raise Failure(f"sandbox {sandbox.name}", f"it appears at {sandbox.mount}", "leave the mount point out")
    if asked.flags & ~sandbox.flags:
        raise Failure(f"sandbox {sandbox.name}", "it was made with other mount options", "leave the mount options out")
