"""A fork on its own: what the sandboxes below it hold becomes its own, and it lies on what the first of them lies on.

Its view is the same before and after.  Those below stay as they are: their files are copied, blocks are shared where
they can be.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.fold import flat_copy, fold_directories, work_of
from ptoverlay.sandboxes.elsewhere import put_on
from ptoverlay.sandboxes.sandbox import Sandbox


def stand_alone(box: Sandbox) -> None:
    """Call it with the sandbox locked; its log begins anew."""
    steps.settle(box)
    bare, lent = _below(box)
    layers = [(upper, work_of(upper)) for upper in (*_own(box), *lent)]

    def fill(new: Path) -> None:
        if layers:
            fold_directories(bare, layers, new / "fold", None, lent)
            for name in ("upper", "work"):
                os.rename(new / "fold" / name, new / name)
            os.rmdir(new / "fold")

    put_on(box, bare.lowers, "", fill)


@contextmanager
def seen_alone(box: Sandbox) -> Iterator[Sandbox]:
    """The same for who only reads: a copy, as one layer."""
    bare, lent = _below(box)
    assert box.directory is not None
    with flat_copy(bare, [(upper, work_of(upper)) for upper in (*_own(box), *lent)], box.directory) as flat:
        yield flat


def _own(box: Sandbox) -> list[str]:
    return [*([box.upper] if os.path.isdir(box.upper) else []), *box.steps]


def _below(box: Sandbox) -> tuple[Sandbox, list[str]]:
    """What it is to lie on, and the uppers of others that are between, topmost first."""
    bottom = box.chain()[0].metadata
    count = len(box.lowers) - len(bottom.lowers)
    if count < 0 or box.lowers[count:] != bottom.lowers:
        raise Failure(str(box), f"it does not lie on what sandbox {bottom.name} lies on", "--to its parent")
    return Sandbox(replace(box.metadata, lowers=bottom.lowers, parent=""), "", ""), box.lowers[:count]
