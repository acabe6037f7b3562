"""A new sandbox that goes on from what another one has changed, without a copy.

NAME's upper layer becomes the topmost lower of NEW, so it must stay as it is: NAME can be reviewed but not run,
committed or discarded until NEW is removed.  To go on in two directions, fork it twice.  While commands run in NAME the
fork has its state of this moment, and both go on apart.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os

from ptoverlay.errors import Failure
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.shared.asking import fork_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("new", metavar="NEW")


def run(options: argparse.Namespace) -> int:
    old = Sandbox.open(options.name)
    if fork_running(old, options.new):
        return 0
    with old.lock():
        if not old.steps and not os.path.isdir(old.upper):
            raise Failure(str(old), "nothing ran in it yet")
        old.fork(options.new)
    return 0
