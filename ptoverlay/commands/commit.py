"""Apply what a sandbox has changed to the lower it lies on; the sandbox holds it no more then.

All changes, or those at the given PATHs and below them. PATHs may have wildcards (* ? [...], and * takes slashes too).
A change that needs another one brings it along: a new file its directory, a name of a file its other names, one end
of a rename the other end.

What the host has changed since the sandbox took it over is refused, with the reason, and so is what this user may not
do, and what sets an owner, set-id bits, capabilities or a device in a layer that another user has made; all other
changes are made. A commit that is killed leaves nothing half-written; the next one finishes it.

Exit status: 0 all was committed, 1 some changes were refused, 125 trouble, and then nothing was committed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial

from ptoverlay import errors
from ptoverlay.commands.diff import line, show_nowhere
from ptoverlay.commit.carry import Outcome, commit
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import Painter, named, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox

_HELP = "y: commit this one; n: leave it; a: this one and all that follow; q: neither this one nor those that follow"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "[PATH…]", "commit only what is there and below")
    parser.add_argument("-i", "--interactive", action="store_true", help="ask for each change")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be done, and refused")
    parser.add_argument("-f", "--force", action="store_true",
                        help="also where the host has changed since, and as this user's where an owner cannot be given")
    parser.add_argument("--trust", action="store_true",
                        help="also what only you may set, in a layer that another user has made: owners, set-id bits, "
                        "capabilities, devices, renamed directories of the host's, and what is left of an interrupted "
                        "commit")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is committed")
    parser.add_argument("--json", action="store_true", help="an object: committed and refused changes")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    if options.interactive and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("--interactive", "there is no terminal to ask on", "name the PATHs instead")
    paint = Painter(options.color)
    outcome = commit(box, options.words, force=options.force, trust=options.trust, dry_run=options.dry_run,
                     progress=partial(bar, "commit"),
                     ask=Asking(paint) if options.interactive else None)
    if outcome.finished:
        errors.report(f"{box}: finished a commit that was interrupted")
    if options.json:
        write(json.dumps(as_json(outcome), indent=1) + "\n")
    elif options.verbose or options.dry_run:
        write("".join(f"interrupted {errors.one_line(text)}\n" for text in outcome.pending))
        write("".join(f"{line(change, None, paint)}\n" for change in outcome.done))
    show_nowhere(outcome.nowhere)
    show_refused(outcome)
    return 1 if outcome.refused else 0


def show_refused(outcome: Outcome) -> None:
    """One line on standard error for each."""
    for path, why in outcome.refused.items():
        errors.report(f"{named(path)}: not committed: {why}")


def as_json(outcome: Outcome) -> dict[str, object]:
    """As json.dumps takes it."""
    return {"committed": [change.as_json() for change in outcome.done], "pending": outcome.pending,
            "refused": [{"path": path, "why": why} for path, why in outcome.refused.items()]}


class Asking:
    """Asks for one change after the other on the terminal."""

    def __init__(self, paint: Painter) -> None:
        self.paint = paint
        self.rest: bool | None = None

    def __call__(self, change: Change) -> bool:
        while self.rest is None:
            write(f"{line(change, None, self.paint)}  commit? [y,n,a,q,?] ")
            sys.stdout.flush()
            answer = sys.stdin.readline()
            word = answer.strip().lower()[:1] if answer else "q"
            if word in ("y", "n"):
                return word == "y"
            if word in ("a", "q"):
                self.rest = word == "a"
            else:
                write(_HELP + "\n")
        return self.rest
