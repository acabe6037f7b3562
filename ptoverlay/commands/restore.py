"""Bring back what is at the given PATHs, and below them, as it was after a step, or as what the sandbox lies on has it.

That is a step, too: ptoverlay undo takes it back. PATHs may have wildcards (* ? [...], and * takes slashes too).

Exit status: 0; 125 trouble, and nothing was brought back.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json

from ptoverlay import errors
from ptoverlay.commands.diff import line, show_nowhere
from ptoverlay.console.terminal import Painter, write
from ptoverlay.errors import Failure
from ptoverlay.history.restore import differences, restore
from ptoverlay.history.states import after, history_of
from ptoverlay.layer.changes import nowhere
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "PATH…", "what is to be brought back")
    parser.add_argument("--from", metavar="N", dest="number",
                        help="as it was after step N (default: as what lies below all steps has it)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what has changed since, and would go")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is taken back")
    parser.add_argument("--json", action="store_true", help="a list of objects: the changes that are taken back")


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    history_of(box)
    if not options.words:
        raise errors.usage("restore", "no PATH given", prog=options.prog)
    number = _number(options.number)
    with box.change():
        chosen = differences(box, number, options.words)
        with box.view() as view, after(box, number) as old:
            show_nowhere(nowhere(options.words, box.mount, view, old))
        if not options.dry_run:
            try:
                restore(box, number, chosen, ["ptoverlay", "restore", *options.words])
            except OSError as error:
                raise errors.from_os_error(f"{error.filename or box}", error) from error
    if options.json:
        write(json.dumps([change.as_json() for change in chosen], indent=1) + "\n")
    elif options.dry_run or options.verbose:
        write("".join(line(change, None, Painter("never")) + "\n" for change in chosen))
    return 0


def _number(word: str | None) -> int:
    if word is None:
        return 0
    if not word.isdecimal() or int(word) >= 1 << 31:
        raise Failure(f"--from {word}", "the number of a step is meant", "ptoverlay log shows them")
    return int(word)
