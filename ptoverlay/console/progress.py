"""A progress bar for what takes long: on a terminal only, on standard error.

Work is counted in bytes; an object counts as `OBJECT` of them beside its contents, so that many small files show as
well as a few large ones.

Rules: the library is imported when there is a bar to draw, and nowhere else.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ptoverlay import extras

Advance = Callable[[int], None]  # told how much was done
Progress = Callable[[int], AbstractContextManager[Advance]]  # told how much there is to do, 0: nobody knows

#: What an object counts, whatever it holds: about what is copied in the time that it takes.
OBJECT = 16 << 10
#: Less than this is done before a bar could be read, unless …
_WORTH_A_BAR = 16 << 20
_PATIENCE = 1.0  # … it takes longer than so many seconds
_AGAIN = 0.1  # seconds between two drawings


def silent(_total: int) -> AbstractContextManager[Advance]:
    """A `Progress` that shows nothing."""
    return nullcontext(lambda _done: None)


@contextmanager
def bar(what: str, total: int) -> Iterator[Advance]:
    """A bar of `total` for as long as the context lasts; with 0 it tells how many objects were seen."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = _Bar(what, total)
    try:
        yield shown.advance
    except BaseException:
        shown.stop()
        raise
    shown.finish()


class _Bar:
    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self.next = time.monotonic() + (_PATIENCE if total < _WORTH_A_BAR else 0)
        self.progress: Any = None
        self.task: Any = None

    def advance(self, done: int) -> None:
        self.done += done
        now = time.monotonic()
        if now < self.next:
            return
        self.next = now + _AGAIN
        if self.progress is None and not self.start():
            self.next = math.inf
            return
        self.progress.update(self.task, completed=self.done, seen=f"{self.done // OBJECT:,} objects")

    def start(self) -> bool:
        """False: there is nothing here that draws."""
        if extras.missing("progress"):
            return False
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        known = [TaskProgressColumn(), TimeRemainingColumn()] if self.total else [TextColumn("{task.fields[seen]}")]
        self.progress = Progress(TextColumn("{task.description}"), BarColumn(), *known, console=Console(stderr=True),
                                 transient=True)
        self.progress.start()
        self.task = self.progress.add_task(self.what, total=self.total or None, seen="")
        return True

    def finish(self) -> None:
        """All is done: what was last drawn may be older."""
        if self.progress is not None:
            self.progress.update(self.task, completed=self.total or self.done, seen=f"{self.done // OBJECT:,} objects")
        self.stop()

    def stop(self) -> None:
        if self.progress is not None:
            self.progress.stop()
