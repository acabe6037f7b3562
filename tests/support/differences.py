"""Deliberate differences from the kernel's overlayfs, in one place: what tests let pass, and what docs/differences.rst
is made of (test_differential.py compares).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .sequences import Step

Result = tuple[str, Any]


@dataclass(frozen=True)
class Difference:
    """title, kernel, view, why: as the documentation tells it; row: of the issue's table, 0 for none.

    call, object: whether a difference that a differential test met is this one."""

    title: str
    kernel: str
    view: str
    why: str
    row: int = 0
    call: Callable[[Step, Result, Result], bool] = lambda step, kernel, view: False
    object: Callable[[Any, Any], bool] = lambda kernel, view: False


def _only_fifo_time(kernel: Any, view: Any) -> bool:
    both = [o for o in (kernel, view) if hasattr(o, "attributes") and stat.S_ISFIFO(o.attributes.mode)]
    return len(both) == 2 and replace(kernel.attributes, mtime=0) == replace(view.attributes, mtime=0)


DIFFERENCES = (
    Difference(
        "Times of fifos",
        "writing to a fifo changes the times of an inode of its own",
        "writing to a fifo changes the times of the layer's fifo, of a lower one too",
        "fifos, sockets and devices are used in place, so that programs in and outside of the view meet at them",
        object=_only_fifo_time,
    ),
)

_LONG = "a path in the view, from its root on, is at most PATH_MAX bytes long"
_TIMES = "the kernel's overlayfs changes the ctime when neither owner nor group is given; it need not"
_TIMED = (1054, 1058, 1064, 1069, 1073, 1079, 1084, 1088, 1094, 1099, 1103, 1109, 1114, 1118, 1124, 1129, 1133, 1139,
          1144)
_LONG_PATHS = ("chmod/03.t", "chown/03.t", "ftruncate/03.t", "link/03.t", "mkdir/03.t", "mkfifo/03.t", "mknod/03.t",
               "open/03.t", "rename/02.t", "rmdir/03.t", "symlink/03.t", "truncate/03.t", "unlink/03.t")

#: pjdfstest's cases (TEST:NUMBER, or TEST for all of them) that pass on the kernel's overlayfs and not in a view, or
#: the other way round.
PJDFSTEST: dict[str, str] = {
    **dict.fromkeys(_LONG_PATHS, _LONG),
    **dict.fromkeys((f"chown/00.t:{number}" for number in _TIMED), _TIMES),
}


def known_call(step: Step, kernel: Result, view: Result) -> bool:
    """Whether the results of a call may differ so."""
    return any(difference.call(step, kernel, view) for difference in DIFFERENCES)


def known_object(kernel: Any, view: Any) -> bool:
    """Whether what two views show under a name may differ so."""
    return any(difference.object(kernel, view) for difference in DIFFERENCES)
