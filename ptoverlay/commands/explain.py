"""Which layer each PATH comes from, and why: lower, copied up, whiteout, opaque, redirect, hidden …

A relative PATH begins in the current directory if that is in the view, else at the mount point.

Exit status: 0 every PATH is there in the view, 1 at least one is not, 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json

from ptoverlay import errors
from ptoverlay.console.terminal import shown, write
from ptoverlay.layer.changes import absolute
from ptoverlay.layer.explain import explain
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "PATH…", "paths of the view")
    parser.add_argument("--json", action="store_true", help="a list of objects, one a path")


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    if not options.words:
        raise errors.usage("explain", "no PATH given", prog=options.prog)
    with box.view() as view, box.base() as base:
        found = [explain(box, view, base, absolute(path, box.mount)) for path in options.words]
    if options.json:
        write(json.dumps([each.as_json() for each in found], indent=1) + "\n")
    else:
        for each in found:
            write("".join(shown(text) + "\n" for text in each.text().split("\n")))
    return 0 if all(each.exists for each in found) else 1
