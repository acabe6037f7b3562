"""Make what has changed in a sandbox until now a step, also while commands run in it, and give that a name.

Every run that changes something is a step at its end by itself. Where nothing has changed since, the last step gets the
name. It takes milliseconds however much the sandbox holds; files that a command has open for writing are copied, so
that it goes on in the next step. Inside of the sandbox NAME can be left out.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os

from ptoverlay.commands.log import as_json
from ptoverlay.console.terminal import shown, write
from ptoverlay.errors import Failure
from ptoverlay.history.told import name_of
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.shared.asking import checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME",
                        help="the sandbox (default: PTOVERLAY_NAME of the environment)")
    parser.add_argument("-m", "--message", metavar="TEXT", default="", help="what the step is called")
    parser.add_argument("--only-new", action="store_true",
                        help="where nothing has changed since, the last step keeps its name, and that is told")
    parser.add_argument("--json", action="store_true", help="an object")


def run(options: argparse.Namespace) -> int:
    name = options.name or os.environ.get("PTOVERLAY_NAME")
    if name is None:
        raise Failure("checkpoint", "no NAME given", "ptoverlay checkpoint -h shows the options")
    box = Sandbox.open(name)
    step = checkpoint(box, options.message, only_new=options.only_new)
    if step is None:
        raise Failure(str(box), "nothing has changed in it yet")
    if options.json:
        write(json.dumps(as_json(step), indent=1) + "\n")
    else:
        write(f"step {step.number}: {shown(name_of(step))}\n")
    return 0
