"""Let the settings of a project, .ptoverlay.toml here or above, add to what a run may do.

That is what its profiles say by direct, lower, environment and network = true; all else in it counts without. It holds
for the file as it is: once it is changed it has to be said again.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import sys

from ptoverlay.console.question import ask
from ptoverlay.console.terminal import named, shown, write
from ptoverlay.settings import files
from ptoverlay.settings.profile import widens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what it would let")
    parser.add_argument("--revoke", action="store_true", help="trust it no more")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    settings = files.read_project()
    if options.revoke:
        files.trust(settings, yes=False)
        return 0
    path = named(str(settings.path))
    write("".join(f"{path}:{shown(text)}\n" for text in widens(settings)) or f"{path}: nothing in it adds to a run\n")
    if options.dry_run:
        return 0
    asked = not options.yes and sys.stdin.isatty() and sys.stdout.isatty()
    if asked and (ask("let it? [y,n] ") or "").lower()[:1] != "y":
        return 0
    files.trust(settings, yes=True)
    return 0
