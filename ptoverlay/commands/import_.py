"""Make a sandbox of a layer that is in a tar archive: one that export wrote, or a layer of an image.

FILE may be compressed with gzip or zstd; - is standard input. NAME must be new; --lower and --mount say where the new
sandbox lies (default: /). With --upper the layer is put into that directory, which must be empty or missing.

An ordinary user cannot give files to others: they become his own, and a line says how many.

Exit status: 0; 125 trouble, and then there is no such sandbox.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from typing import IO

from ptoverlay import errors, options, private, sandbox
from ptoverlay.errors import Failure
from ptoverlay.progress import bar
from ptoverlay.remove import remove_tree
from ptoverlay.sandbox import Sandbox
from ptoverlay.ship import importing
from ptoverlay.ship.output import decompressed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "FILE", "the archive; - is standard input")


def run(given: argparse.Namespace) -> int:
    box = _make(given)
    if len(given.words) != 1:
        _undo(box)
        raise errors.usage("import", "one FILE is meant")
    name = given.words[0]
    try:
        with ExitStack() as stack:
            stack.enter_context(box.lock())
            os.makedirs(box.upper, exist_ok=True)
            source = stack.enter_context(_open(name))
            shown = "standard input" if name == "-" else name
            prefix = private.prefix(userxattr=bool(box.flags & options.USERXATTR))
            advance = stack.enter_context(bar("import", os.fstat(source.fileno()).st_size))
            stream = stack.enter_context(decompressed(source, shown))
            outcome = importing.read(stream, shown, box.upper, prefix, advance)
    except OSError as error:
        _undo(box)
        raise errors.from_os_error(f"{box}: import: {error.filename or name}", error) from error
    except BaseException:
        _undo(box)
        raise
    for path in outcome.devices:
        errors.report(f"{path}: a device, left out: only root can make it")
    if outcome.owners:
        errors.report(f"{box}: {outcome.owners} of {outcome.entries} entries belong to others, and became yours")
    return 0


def _make(given: argparse.Namespace) -> Sandbox:
    """A sandbox without anything in it."""
    if given.upper is not None and given.name is None:
        if os.path.isdir(given.upper) and os.listdir(given.upper):
            raise Failure(f"--upper {given.upper}", "there is something in it", "give an empty or a new directory")
        os.makedirs(given.upper, exist_ok=True)
        return Sandbox.open(given)
    if given.name is None:
        if not given.words:
            raise errors.usage("sandbox", "no NAME and no --upper given")
        given.name = given.words.pop(0)
    lowers, n_data = options.parse_lowers(given.lower, "--lower") if given.lower is not None else (["/"], 0)
    lowers = [os.path.realpath(lower) for lower in lowers]
    mount = os.path.realpath(given.mount if given.mount is not None else lowers[0])
    return Sandbox.create(given.name, lowers, mount, n_data=n_data,
                          flags=options.USERXATTR * (os.geteuid() != 0))


def _open(name: str) -> IO[bytes]:
    return sys.stdin.buffer if name == "-" else open(name, "rb")


def _undo(box: Sandbox) -> None:
    """The sandbox is gone again, and of a directory that was given all that is in it."""
    if box.directory is not None:
        box.remove()
    elif os.path.isdir(box.upper):
        remove_tree(box.upper)
        os.mkdir(box.upper)
