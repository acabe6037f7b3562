"""Make a sandbox of a layer that is in a tar archive: one that export wrote, or a layer of an image.

FILE may be compressed with gzip or zstd; - is standard input. An image layout (a directory, as export --oci-layout
makes it) becomes one layer that holds what all layers of its image hold together. NAME must be new; --lower and --mount
say where the new sandbox lies (default: /). With --upper the layer is put into that directory, which must be empty or
missing.

An ordinary user cannot give files to others: the layer keeps whose they are, and a line says of how many it cannot.

Exit status: 0; 125 trouble, and then there is no such sandbox.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
from functools import partial

from ptoverlay import errors, options
from ptoverlay.console.progress import bar
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.ship.importing import fill, sources_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "FILE", "the archive, or an image layout; - is standard input")
    parser.add_argument("--tag", help="of the image in a layout (default: the only one, or latest)")


def run(given: argparse.Namespace) -> int:
    missing = _missing(given.upper) if given.upper is not None and given.name is None else []
    box = _make(given)
    with box.lock():
        try:
            if len(given.words) != 1:
                raise errors.usage("import", "one FILE is meant", prog=given.prog)
            outcome = fill(box, sources_of(given.words[0], given.tag), partial(bar, "import"))
        except BaseException as error:
            if box.directory is not None:
                box.remove()
            for directory in missing:
                _remove_empty(directory)
            if isinstance(error, OSError):
                if error.errno in errors.FULL:
                    error.filename = box.upper  # all that is written
                raise errors.from_os_error(f"{box}: import: {error.filename or given.words[0]}", error) from error
            raise
    for path in outcome.devices:
        errors.report(f"{path}: a device, left out: only root can make it")
    if outcome.owners:
        errors.report(f"{box}: {outcome.owners} of {outcome.entries} entries belong to others, and became yours")
    return 0


def _missing(path: str) -> list[str]:
    """The directory and those above it that are not there, the innermost first."""
    found = []
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def _remove_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # somebody else has put something into it, or it was never made


def _make(given: argparse.Namespace) -> Sandbox:
    """A sandbox without anything in it."""
    if given.upper is not None and given.name is None:
        os.makedirs(given.upper, exist_ok=True)
        return Sandbox.open(given)
    if given.name is None:
        if not given.words:
            raise errors.usage("sandbox", "no NAME and no --upper given", prog=given.prog)
        given.name = given.words.pop(0)
    lowers, n_data = options.parse_lowers(given.lower, "--lower") if given.lower is not None else (["/"], 0)
    lowers = [os.path.realpath(lower) for lower in lowers]
    mount = os.path.realpath(given.mount if given.mount is not None else lowers[0])
    return Sandbox.create(given.name, lowers, mount, n_data=n_data,
                          flags=options.USERXATTR * (os.geteuid() != 0))
