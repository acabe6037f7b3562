"""Take the last step of a sandbox back, or the last N: its view is what it was before.

Nothing is lost: ptoverlay redo brings them back, until something else is changed.

With --host it is commits that are taken back: what they have replaced and removed on the host comes back, what they
have made goes, unless the host has changed it since; then nothing is done, and the status is 1. ptoverlay log --host
shows the commits.

Exit status: 0; 125 trouble, and nothing was undone.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay.commands.log import add_counted, counted, show_done
from ptoverlay.history.steps import undo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_counted(parser, "how many steps (default: 1)")
    parser.add_argument("--host", action="store_true",
                        help="take back the last commit, which changed the host, or the last N (of NAME alone)")
    parser.add_argument("-f", "--force", action="store_true",
                        help="with --host: also where the host has changed since; what is there now is kept")


def run(options: argparse.Namespace) -> int:
    if options.host:
        from ptoverlay.commands import host

        return host.undo(options)
    box, count = counted(options)
    with box.change():
        done = undo(box, 1 if count is None else count)
    show_done("undone", done, options)
    return 0
