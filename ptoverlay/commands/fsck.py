"""Check the layer of a sandbox for what the kernel's overlayfs would refuse or misread.

Found are: redirects that lead nowhere, or where another directory is; whiteouts where they show as names of nothing;
whiteouts and opaque marks as images have them; marks whose value means nothing, or of the other prefix; files whose
data is missing; a work directory on another file system; runs and commits that did not end.

Exit status: 0 nothing is wrong, 1 everything that was wrong is repaired, 4 something still is, 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
from contextlib import nullcontext

from ptoverlay.console.terminal import named, shown, write
from ptoverlay.errors import Failure
from ptoverlay.layer.fsck import Problem, check
from ptoverlay.sandboxes import sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    parser.add_argument("--repair", action="store_true", help="put right what can be; contents are never removed")
    parser.add_argument("--json", action="store_true", help="a list of objects, one a problem")


def run(options: argparse.Namespace) -> int:
    box = sandbox.the_only_word(options)
    if not os.path.isdir(box.upper):
        return 0  # nothing ran yet
    with box.change() if options.repair else nullcontext():
        if options.repair and box.directory is None and box.running():
            raise Failure(str(box), "in use", "end the run first")
        problems = check(box, repair=options.repair)
    if options.json:
        write(json.dumps([as_json(problem) for problem in problems], indent=1) + "\n")
    else:
        write("".join(line(problem) + "\n" for problem in problems))
    if not problems:
        return 0
    return 1 if all(problem.repaired for problem in problems) else 4


def line(problem: Problem) -> str:
    """One problem in one line."""
    end = " (repaired)" if problem.repaired else "" if problem.repair is not None else " (cannot be repaired)"
    return f"{named(problem.path or '.')}: {shown(problem.what)}{end}"


def as_json(problem: Problem) -> dict[str, object]:
    """As json.dumps takes it."""
    return {"path": problem.path, "what": problem.what, "repairable": problem.repair is not None,
            "repaired": problem.repaired}
