"""Questions to a person: one line of the terminal, which Ctrl-C ends whenever it comes.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import select
import signal
import sys

from ptoverlay.console.terminal import write


def ask(question: str) -> str | None:
    """The line that answers it, without its end; None at the end of the input.  Raises KeyboardInterrupt."""
    write(question)
    sys.stdout.flush()
    if sys.stdin.isatty():
        _wait()
    text = sys.stdin.readline()
    return text.strip() if text else None


def _wait() -> None:
    """Until a line can be read.  A signal between a question and read(2) would only be noted, and the read go on: its
    number is written to a pipe, and that ends the wait, whenever it comes."""
    reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    try:
        terminal = sys.stdin.fileno()
        while terminal not in select.select([terminal, reads], [], [])[0]:
            os.read(reads, 64)
    finally:
        signal.set_wakeup_fd(before)
        os.close(reads)
        os.close(writes)
