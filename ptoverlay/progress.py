"""A progress bar for what takes long: on a terminal only, on standard error.

Rules: the library is imported when there is a bar to draw, and nowhere else.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Advance = Callable[[int], None]  # told how many bytes were done
Progress = Callable[[int], AbstractContextManager[Advance]]  # told how many bytes there are to do

#: Less than this many bytes is done before a bar could be read.
_WORTH_A_BAR = 16 << 20


def silent(_total: int) -> AbstractContextManager[Advance]:
    """A `Progress` that shows nothing."""
    return nullcontext(lambda _done: None)


@contextmanager
def bar(what: str, total: int) -> Iterator[Advance]:
    """A bar of `total` bytes for as long as the context lasts."""
    if total < _WORTH_A_BAR or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    progress = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
                        TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    with progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, advance=done)
