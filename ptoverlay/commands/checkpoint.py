"""Give the last step of a sandbox a name, as ptoverlay log shows it.

Every run that changes something is a step by itself. What was changed in another way since, as from Python, becomes
one.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os

from ptoverlay.commands.log import as_json, name_of
from ptoverlay.console.terminal import shown, write
from ptoverlay.errors import Failure, InUse
from ptoverlay.history.steps import checkpoint
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME",
                        help="the sandbox (default: PTOVERLAY_NAME of the environment)")
    parser.add_argument("-m", "--message", metavar="TEXT", default="", help="what the step is called")
    parser.add_argument("--json", action="store_true", help="an object")


def run(options: argparse.Namespace) -> int:
    name = options.name or os.environ.get("PTOVERLAY_NAME")
    if name is None:
        raise Failure("checkpoint", "no NAME given", "ptoverlay checkpoint -h shows the options")
    box = Sandbox.open(name)
    try:
        with box.change():
            step = checkpoint(box, options.message)
    except InUse as failure:
        raise InUse(failure.what, failure.why, "what runs is a step at its end") from failure
    if step is None:
        raise Failure(str(box), "nothing has changed in it yet")
    if options.json:
        write(json.dumps(as_json(step), indent=1) + "\n")
    else:
        write(f"step {step.number}: {shown(name_of(step))}\n")
    return 0
