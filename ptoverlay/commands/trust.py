"""Let the settings of a project, .ptoverlay.toml here or above, add to what a run may do.

That is what its profiles say by direct, lower, environment and network = true; all else in it counts without. It holds
for the file as it is: once it is changed it has to be said again.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import sys

from ptoverlay.console.question import ask
from ptoverlay.console.terminal import named, shown, write
from ptoverlay.settings import files
from ptoverlay.settings.profile import widens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what it would let")
    parser.add_argument("--revoke", action="store_true", help="trust it no more")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="an object: the file, what it adds, and whether it counts")


def run(options: argparse.Namespace) -> int:
    settings = files.read_project()
    if options.revoke:
        files.trust(settings, yes=False)
    elif not options.json:
        path = named(str(settings.path))
        write("".join(f"{path}:{shown(text)}\n" for text in widens(settings)) or
              f"{path}: nothing in it adds to a run\n")
    let = not (options.revoke or options.dry_run) and _may(options)
    if let:
        files.trust(settings, yes=True)
    if options.json:
        write(json.dumps({"path": str(settings.path), "adds": widens(settings), "trusted": let}, indent=1) + "\n")
    return 0


def _may(options: argparse.Namespace) -> bool:
    """Whether the user says so, where one can be asked."""
    if options.yes or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return not options.json and (ask("let it? [y,n] ") or "").lower()[:1] == "y"
