"""Bring back the last step that ptoverlay undo took, or the last N.

Exit status: 0; 125 trouble, and nothing was brought back.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay.commands.log import add_counted, counted, show_done
from ptoverlay.history.steps import redo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_counted(parser, "how many steps (default: 1)")
    parser.add_argument("--host", action="store_true",
                        help="do again the last commit that was taken back (of NAME alone)")
    parser.add_argument("-f", "--force", action="store_true",
                        help="with --host: also where the host has changed since; what is there now is kept")


def run(options: argparse.Namespace) -> int:
    if options.host:
        from ptoverlay.commands import host

        return host.redo(options)
    box, count = counted(options)
    with box.change():
        done = redo(box, 1 if count is None else count)
    show_done("redone", done, options)
    return 0
