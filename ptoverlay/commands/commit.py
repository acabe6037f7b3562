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
import shlex
import sys
from functools import partial

from ptoverlay import errors
from ptoverlay.commands.diff import line, show_nowhere, without_noise
from ptoverlay.commit.carry import HOST, Outcome, commit
from ptoverlay.commit.choice import ONLY_ROOT
from ptoverlay.commit.parts import finish_parts
from ptoverlay.console.progress import bar
from ptoverlay.console.question import ask
from ptoverlay.console.terminal import Painter, count, named, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox

_WHERE_HELP = "h: to the host, with what the sandboxes below it have changed; p: to its parent; q: not at all"
_HELP = "y: commit this one; n: leave it; a: this one and all that follow; q: neither this one nor those that follow"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "[PATH…]", "commit only what is there and below")
    parser.add_argument("--to", metavar="host|PARENT", help="of a fork: to the host, with all that is below it, or to "
                        "the sandbox that it was forked from (default: asked on a terminal, else host)")
    parser.add_argument("-i", "--interactive", action="store_true", help="ask for each change")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be done, and refused")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--merge", action="store_true",
                     help="texts that both the host and the sandbox have changed become what both have made of them, "
                     "where they have changed other lines")
    how.add_argument("-f", "--force", action="store_true",
                     help="also where the host has changed since, and as this user's where an owner cannot be given")
    parser.add_argument("--trust", action="store_true",
                        help="also what only you may set, in a layer that another user has made: owners, set-id bits, "
                        "capabilities, devices, renamed directories of the host's, and what is left of an interrupted "
                        "commit")
    parser.add_argument("--no-ignore", action="store_true", help="also what the ignore list leaves out")
    parser.add_argument("--no-keep", action="store_true",
                        help="do not keep what is replaced and removed; ptoverlay undo --host cannot take it back then")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is committed")
    parser.add_argument("--json", action="store_true", help="an object: committed and refused changes")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    parent = box.metadata.parent
    if options.interactive and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Failure("--interactive", "there is no terminal to ask on", "name the PATHs instead")
    paint = Painter(options.color)
    to = options.to if options.to is not None else where(box, options)
    if to is None:
        return 0
    if not options.dry_run:
        finish_parts(box)
    outcome = commit(box, options.words, force=options.force, trust=options.trust, dry_run=options.dry_run,
                     progress=partial(bar, "commit"),
                     ask=Asking(paint) if options.interactive else None, to=to,
                     keep=not options.no_keep and to == HOST, merge=options.merge,
                     leave_out=lambda found: without_noise(found, options, box.mount))
    if outcome.finished:
        errors.report(f"{box}: finished a commit that was interrupted")
    if options.json:
        write(json.dumps({"to": to, **as_json(outcome)}, indent=1) + "\n")
    elif options.verbose or options.dry_run:
        write("".join(f"interrupted {errors.one_line(text)}\n" for text in outcome.pending))
        write("".join(f"{line(change, None, paint)}\n" for change in outcome.done))
    if outcome.merged and not options.json:
        verb = "would be merged" if options.dry_run else "merged"
        write("".join(f"{verb}: {named(path)}\n" for path in outcome.merged))
    if parent and not options.json:
        verb = "would go" if options.dry_run else "went"
        write(f"{count(len(outcome.done), 'change')} {verb} to {_place(box, to)}\n")
    show_nowhere(outcome.nowhere)
    show_refused(outcome)
    show_ways_out(box, outcome)
    return 1 if outcome.refused else 0


def where(box: Sandbox, options: argparse.Namespace) -> str | None:
    """Where a fork goes, which is asked where somebody can be; None: nowhere."""
    parent = box.metadata.parent
    if not parent or options.json or options.dry_run or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return HOST
    while True:
        answer = ask(f"{box} is a fork: commit it to {_place(box, HOST)} or to {_place(box, parent)}? [h,p,q,?] ")
        word = "q" if answer is None else answer.lower()[:1]
        if word in ("h", "p", "q"):
            return {"h": HOST, "p": parent, "q": None}[word]
        write(_WHERE_HELP + "\n")


def _place(box: Sandbox, to: str) -> str:
    """As a person knows it."""
    return f"the host ({named(box.chain()[0].lowers[0])})" if to == HOST else f"sandbox {to}"


def show_refused(outcome: Outcome) -> None:
    """One line on standard error for each, but one for all that belongs to others than this user."""
    others = [path for path, why in outcome.refused.items() if why.startswith(ONLY_ROOT)]
    for path, why in outcome.refused.items():
        if path not in others[1:]:
            errors.report(f"{named(path)}: not committed: {why}")
    if others:
        more = f"{count(len(others) - 1, 'more change')} not committed for that: " if len(others) > 1 else ""
        errors.report(f"{more}root's commit --trust gives it these owners, export keeps them, commit --force makes it "
                      "yours")


def show_ways_out(box: Sandbox, outcome: Outcome) -> None:
    """What can be done about what the host has changed since."""
    if outcome.conflicts:
        one = shlex.join([box.name, outcome.conflicts[0]] if box.name else ["…", outcome.conflicts[0]])
        errors.report(f"where the host has changed since: ptoverlay diff -p {one} shows the sandbox's side, commit "
                      f"--merge makes one text of both, discard {one} gives the sandbox's up, commit --force puts it "
                      "in the place of the host's, which undo --host brings back")


def as_json(outcome: Outcome) -> dict[str, object]:
    """As json.dumps takes it."""
    return {"committed": [change.as_json() for change in outcome.done], "merged": outcome.merged,
            "pending": outcome.pending,
            "refused": [{"path": path, "why": why} for path, why in outcome.refused.items()]}


class Asking:
    """Asks for one change after the other on the terminal."""

    def __init__(self, paint: Painter) -> None:
        self.paint = paint
        self.rest: bool | None = None

    def __call__(self, change: Change) -> bool:
        while self.rest is None:
            answer = ask(f"{line(change, None, self.paint)}  commit? [y,n,a,q,?] ")
            word = "q" if answer is None else answer.lower()[:1]
            if word in ("y", "n"):
                return word == "y"
            if word in ("a", "q"):
                self.rest = word == "a"
            else:
                write(_HELP + "\n")
        return self.rest
