"""Merge what a fork has changed into the sandbox that it was forked from.

What one of the two alone has changed is taken; text that both have changed is merged by its lines. It is listed first,
and on a terminal asked for; then all of it is done as one step of the parent, which ptoverlay log shows, or nothing.
The fork goes on from there, empty.

Exit status: 0 all was merged; 1 there are conflicts, or the answer was no, and nothing was merged; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import sys

from ptoverlay import errors
from ptoverlay.commands.diff import line
from ptoverlay.console.question import ask
from ptoverlay.console.terminal import Painter, count, named, write
from ptoverlay.history.merge import Merge, plan
from ptoverlay.sandboxes import sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be merged, and what not")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="an object: changes, merged texts and conflicts")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    box = sandbox.the_only_word(options)
    with plan(box) as merge:
        if options.json:
            write(json.dumps(as_json(merge), indent=1) + "\n")
        else:
            show(merge, Painter(options.color))
        if merge.conflicts:
            errors.report(f"{box}: nothing was merged: {count(len(merge.conflicts), 'conflict')} (ptoverlay restore or "
                          f"discard on one side takes it out; ptoverlay commit --to host leaves {merge.parent} alone)")
            return 1
        if options.dry_run:
            return 0
        if not (options.yes or options.json) and not agreed(merge):
            return 1
        try:
            merge.carry_out(["ptoverlay", "merge", box.name])
        except OSError as error:
            raise errors.from_os_error(f"{merge.parent}: merge: {error.filename or ''}".removesuffix(": "),
                                       error) from error
    box.release()
    return 0


def agreed(merge: Merge) -> bool:
    """Whether it is wanted, where somebody can be asked."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return (ask(f"merge into {merge.parent}? [y,n] ") or "").lower()[:1] == "y"


def show(merge: Merge, paint: Painter) -> None:
    """What is merged, and what is not."""
    mixed = {each.path for each in merge.mixed}
    for change in merge.found:
        if not change.implied and change.path not in merge.conflicts:
            note = "  (with the parent's changes)" if change.path in mixed else ""
            write(f"{line(change, None, paint)}{note}\n")
    for path, why in merge.conflicts.items():
        write(f"{paint('red', 'conflict ')} {named(path)}  ({why})\n")


def as_json(merge: Merge) -> dict[str, object]:
    """As json.dumps takes it."""
    return {"into": merge.parent.name, "changes": [change.as_json() for change in merge.found],
            "merged": [mixed.path for mixed in merge.mixed],
            "conflicts": [{"path": path, "why": why} for path, why in merge.conflicts.items()]}
