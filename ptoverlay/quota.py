"""``--limit``: what the layers of a run may take together, and what is told when they would have taken more.

The core counts what comes to be and what goes (csrc/view/upper/quota.c); here is what it begins with.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import stat

from ptoverlay import errors
from ptoverlay.core import lib
from ptoverlay.options import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_BLOCK = 4096


def taken(layers: "Iterable[str]") -> int:
    """Bytes that count in directories of layers: each object by its length in blocks, and for one at least."""
    total = 0
    seen: set[tuple[int, int]] = set()
    todo = list(layers)
    while todo:
        try:
            entries = list(os.scandir(todo.pop()))
        except OSError:
            continue  # what may not be read is not there, or counts as nothing
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += _counts(status)
            if entry.is_dir(follow_symlinks=False):
                todo.append(entry.path)
    return total


def _counts(status: os.stat_result) -> int:
    if stat.S_ISREG(status.st_mode):
        return max(1, -(-status.st_size // _BLOCK)) * _BLOCK
    whiteout = stat.S_ISCHR(status.st_mode) and not status.st_rdev
    return 0 if whiteout or stat.S_ISSOCK(status.st_mode) else _BLOCK


def bound(view: "Any", limit: int, layers: "Iterable[str]") -> None:
    """view: the core's.  Its uppers may take `limit` bytes together with what these layers hold by now."""
    if lib.pto_view_set_limit(view, limit, taken(layers)):
        raise errors.Failure("--limit", "out of memory")


def tell(request: Request, result: "Any") -> None:
    """After a run: that there was no room, why, and what gives some."""
    if not request.limit or not result.stats.no_room or request.verbose < 0:
        return
    calls = "one call" if result.stats.no_room == 1 else f"{result.stats.no_room} calls"
    what = f"sandbox {request.name}" if request.name is not None else "the layer"
    remedy = "a larger --limit gives room"
    if request.name is not None:
        remedy += f"; so do ptoverlay commit, discard and undo {request.name}"
    errors.report(f"{what}: full at --limit {words(request.limit)}: {calls} got ENOSPC ({remedy})")


def words(size: int) -> str:
    """As `options.parse_size` reads it."""
    for unit in ("", "K", "M", "G"):
        if size % 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}T"
