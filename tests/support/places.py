"""Empty layers, and views of them in this process.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from ptoverlay.layer.view import View


class Place:
    """Layers below a directory, and views of them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.mount = base / "mnt"
        self.lowers = [base / "lower"]
        for name in ("lower", "upper", "work", "mnt"):
            (base / name).mkdir()

    def at(self, path: str) -> str:
        """A path of the view."""
        return f"{self.mount}/{path}"

    def lay(self, view: View, flags: int = 0, n_data: int = 0, *, upper: str = "upper") -> View:
        """Opens the view."""
        work = upper.replace("upper", "work")
        view.lay(self.lowers, self.base / upper, self.base / work, self.mount, flags, n_data)
        return view


def fails(number: int, call: Callable[..., object], *arguments: object) -> None:
    """The call has to fail with this errno."""
    with pytest.raises(OSError) as caught:
        call(*arguments)
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]
