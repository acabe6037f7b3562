"""Run CMD, or do again what it did the last time that all its inputs were the same.

CMD runs over a layer of its own, which is applied to the host at the end, as commit does it. Everything that it asked
the file system for is remembered with what it changed, its output and its status. When the same command, in the same
directory and environment, would find all of that as it was (files that were missing, too), it is not run: its changes
are done again, its output is written, and its status returned.

OPTIONS are those of run that say how CMD runs. CMD reads nothing from a terminal. It is run each time, and not
remembered, if its standard input is a pipe (--stdin reads it to its end first), if it asks for the time of day
(--epoch, --ignore-clock) or uses the network. Its random bytes are always the same: make no keys with it.

Exit status: CMD's; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os

from ptoverlay import cli, errors, options
from ptoverlay.builds.build import seconds
from ptoverlay.cached.run import Cached
from ptoverlay.cached.store import DEFAULT_SIZE, Store
from ptoverlay.commands.words import first
from ptoverlay.run import die_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--explain] [--cache-size SIZE] [OPTIONS of run] [--] CMD [ARG…]"
    parser.add_argument("--explain", action="store_true",
                        help="say on standard error whether CMD runs, and which input makes the difference")
    parser.add_argument("--cache-size", metavar="SIZE", default="",
                        help="most that is kept of all runs; what was not used for long goes (default: 5G)")
    parser.add_argument("--ignore-times", action="store_true",
                        help="files whose bytes are the same are the same, whenever they were written")
    parser.add_argument("--stdin", action="store_true", help="read standard input to its end: it is an input")
    clock = parser.add_mutually_exclusive_group()
    clock.add_argument("--epoch", metavar="SECONDS", help="the time of day at the start, since 1970; it goes on by use")
    clock.add_argument("--ignore-clock", action="store_true",
                       help="CMD may ask for the time of day, and is remembered all the same")
    parser.add_argument("--close-descriptors", action="store_true",
                        help="CMD gets no descriptors but the standard ones")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


parse = first


def run(parsed: argparse.Namespace) -> int:
    size = options.parse_size(parsed.cache_size, "--cache-size") if parsed.cache_size else DEFAULT_SIZE
    epoch = None if parsed.epoch is None else seconds(parsed.epoch, "--epoch")
    request, store = cli.parse(parsed.words), Store(size=size)

    def tell(text: str) -> None:
        if parsed.explain:
            errors.report(f"cached: {text}")

    try:
        status = Cached(request, store, tell, times=not parsed.ignore_times, whole=parsed.stdin,
                        closes=parsed.close_descriptors, epoch=epoch, clock=not parsed.ignore_clock).run()
    finally:
        store.close()
    return die_of(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
