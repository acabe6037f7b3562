"""Undo what a sandbox has changed: everything, or what is at the given PATHs and below them.

PATHs may have wildcards (* ? [...], and * takes slashes too). The names of one file are undone together.

Exit status: 0; 125 trouble, and then nothing was undone.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ptoverlay.commands.diff import line, show_nowhere
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import Painter, write
from ptoverlay.errors import Failure
from ptoverlay.history.fold import forget
from ptoverlay.layer.changes import changes, nowhere, select
from ptoverlay.layer.discard import discard, discard_all
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "[PATH…]", "undo only what is there and below")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would be undone")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what is undone")
    parser.add_argument("--json", action="store_true", help="a list of objects: the changes that are undone")


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    if not os.path.isdir(box.upper):
        write("[]\n" * options.json)
        return 0  # nothing ran yet
    with box.change(), _layer(box, options.dry_run), box.view(writable=True) as view, box.base() as base:
        if not (options.words or options.dry_run or options.verbose or options.json):
            discard_all(box)  # whatever is in it
            return 0
        with bar("discard", 0) as advance:
            found = changes(view, base, box.mount, advance=advance)
        show_nowhere(nowhere(options.words, box.mount, view, base))
        chosen = select(found, options.words, box.mount) if options.words else found
        told = json.dumps([change.as_json() for change in chosen], indent=1) + "\n" if options.json else ""
        lines = [line(change, view, Painter("never")) + "\n" for change in chosen]
        if not options.dry_run:
            if options.words:
                discard(box, view, base, found, chosen)
            else:
                discard_all(box)
        if options.json:
            write(told)
        elif options.verbose or options.dry_run:
            write("".join(lines))
    return 0


@contextmanager
def _layer(box: Sandbox, dry_run: bool) -> Iterator[None]:
    """What is undone is taken out of the one layer that all steps are then."""
    if os.path.exists(os.path.join(box.work, "commit", "journal")):
        raise Failure(str(box), "a commit of it was interrupted", "ptoverlay commit finishes it")
    if box.directory is not None and not dry_run:
        forget(box)
    yield
