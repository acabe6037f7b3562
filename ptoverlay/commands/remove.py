"""Throw sandboxes away, with all that they have changed.

A sandbox that is in use, or that another one was forked from, is left as it is.

Exit status: 0 all are gone; 125 at least one is not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay import errors
from ptoverlay.errors import OWN_ERROR, Failure
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME")


def run(options: argparse.Namespace) -> int:
    status = 0
    for name in options.names:
        try:
            box = Sandbox.open(name, damaged=True)
            with box.change():
                box.remove()
        except Failure as failure:
            errors.report(str(failure))
            status = OWN_ERROR
    return status
