"""Your shell ($SHELL) in a sandbox: the same as ptoverlay run --name NAME -- $SHELL.

PTOVERLAY_NAME is in its environment, for a prompt that tells where one is.

Exit status: the shell's; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os

from ptoverlay.options import Request
from ptoverlay.sandboxes import sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    parser.add_argument("-C", "--chdir", metavar="DIR", help="directory to start in")


def run(options: argparse.Namespace) -> int:
    from ptoverlay.run import run_and_exit
    from ptoverlay.sandboxes.keep import run_kept

    box = sandbox.the_only_word(options)
    request = Request()
    request.argv = [os.environ.get("SHELL") or "/bin/sh"]
    request.chdir = options.chdir
    os.environ["PTOVERLAY_NAME"] = box.name or box.upper
    if box.directory is not None:
        request.name = box.name
        return run_kept(request)
    request.overlays = [box.overlay()]
    return run_and_exit(request)
