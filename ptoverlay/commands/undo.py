"""Take the last step of a sandbox back, or the last N: its view is what it was before.

Nothing is lost: ptoverlay redo brings them back, until something else is changed.

Exit status: 0; 125 trouble, and nothing was undone.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay.commands.log import add_counted, counted, show_done
from ptoverlay.history.steps import undo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_counted(parser, "how many steps (default: 1)")


def run(options: argparse.Namespace) -> int:
    box, count = counted(options)
    with box.change():
        done = undo(box, 1 if count is None else count)
    show_done("undone", done, options)
    return 0
