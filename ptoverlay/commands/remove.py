"""Throw sandboxes away, with all that they have changed.

A sandbox that is in use, or that another one was forked from, is left as it is.

Exit status: 0 all are gone; 125 at least one is not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json

from ptoverlay import errors
from ptoverlay.console.terminal import write
from ptoverlay.errors import OWN_ERROR, Failure
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--json", action="store_true", help="an object: removed, and refused with the reason")


def run(options: argparse.Namespace) -> int:
    removed, refused = list[str](), dict[str, str]()
    for name in options.names:
        try:
            box = Sandbox.open(name, damaged=True)
            with box.change():
                box.remove()
            removed.append(name)
        except Failure as failure:
            errors.report(str(failure))
            refused[name] = str(failure)
    if options.json:
        write(json.dumps({"removed": removed, "refused": refused}, indent=1) + "\n")
    return OWN_ERROR if refused else 0
