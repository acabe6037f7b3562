"""A world with a view on it in this process, which runs as the tests' own user.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptoverlay.layer.view import View

from .oracle import ROOT, USER
from .trees import Node
from .world import World

SELF = ROOT if os.geteuid() == 0 else USER
OWNER = (os.geteuid(), os.getegid())
PREFIX = "trusted" if os.geteuid() == 0 else "user"


class Bench:
    """A world with a view on it; the view is opened again by `again`, as a later run would."""

    def __init__(self, world: World, flags: int = 0) -> None:
        self.world = world
        self.mount = world.mount
        self.upper = world.upper
        self.flags = flags
        self.closed = True
        self.view = self._open()

    def _open(self) -> View:
        world = self.world
        view = View().__enter__()
        self.closed = False
        view.lay(world.lowers, world.upper, world.work, world.mount, self.flags)
        return view

    def close(self) -> None:
        """Lets go of the layers."""
        if not self.closed:
            self.view.__exit__(None, None, None)
        self.closed = True

    def both(self) -> Iterator[View]:
        """The view as it is, then as the next run sees it."""
        yield self.view
        yield self.again()

    def again(self) -> View:
        """The view as the next run sees it."""
        self.close()
        self.view = self._open()
        return self.view


def fails(number: int, call: Callable[..., object], *arguments: object) -> None:
    """The call has to fail with this errno."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def is_whiteout(path: Path) -> bool:
    """The kernel's form: a character device 0/0."""
    st = path.lstat()
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def opaque(path: Path) -> bool:
    """Marked with the opaque attribute."""
    try:
        return os.getxattr(path, f"{PREFIX}.overlay.opaque") == b"y"
    except OSError:
        return False


DIR = Node("dir", "dir", 0o755)
