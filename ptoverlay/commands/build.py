"""Run CMD so that what it makes depends on nothing but its inputs: the same inputs, the same bytes.

OPTIONS are those of run, too. The directory that you are in lies at /build for CMD; what CMD changes there goes to
--upper DIR (without one it is thrown away), and what it changes elsewhere is thrown away.

Exit status: CMD's; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay import cli, errors
from ptoverlay.builds import sources
from ptoverlay.builds.build import Build, seconds
from ptoverlay.builds.inputs import check_digests
from ptoverlay.commands.words import among
from ptoverlay.console.terminal import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ptoverlay.api.beginning import Beginning
    from ptoverlay.options import Request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [OPTIONS] [OPTIONS of run] [--] CMD [ARG…]"
    parser.add_argument("--keep", metavar="WHAT[,WHAT…]", action="append", default=[],
                        help=f"leave as it is on this machine: {', '.join(sources.SOURCES)}; repeatable")
    parser.add_argument("--epoch", metavar="SECONDS", help="the time of day at the start, since 1970 "
                        "(default: $SOURCE_DATE_EPOCH, or 2000-01-01)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of random bytes (default: 0)")
    parser.add_argument("--listings", metavar="ORDER", default="sorted", help="of names in directories: sorted "
                        "(default), reversed or shuffled, to see what depends on it")
    parser.add_argument("--host-name", metavar="NAME", default="build", help="build (default) or other-host, to see "
                        "what depends on it")
    parser.add_argument("--input", metavar="DIR|FILE", action="append", default=[],
                        help="what there is to see beside the directory that you are in, and nothing else; @system is "
                        "/usr and what belongs to it; repeatable")
    parser.add_argument("--strict-inputs", metavar="FILE", help="refuse to run unless each file of this list is what "
                        "it says, as sha256sum writes it")
    parser.add_argument("--explain", action="store_true",
                        help="say what is made equal and what is not, and run nothing")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


parse = among


def run(options: argparse.Namespace) -> int:
    if options.explain:
        write(sources.explanation())
        return 0
    if options.strict_inputs is not None:
        check_digests(options.strict_inputs)
    epoch = None if options.epoch is None else seconds(options.epoch, "--epoch")
    return run_build(_build_of(options, epoch), cli.parse(options.words))


def _build_of(options: argparse.Namespace, epoch: int | None) -> Build:
    kept = [name for names in options.keep for name in names.split(",")]
    return Build(kept, epoch, options.seed, options.input, options.listings, options.host_name)


def run_build(build: Build, request: Request, beginning: Beginning | None = None) -> int:
    """Runs a request as a build; CMD's exit status.  beginning: as of `run`."""
    from ptoverlay.sandboxes.keep import run_kept

    build.apply(request)
    status = errors.OWN_ERROR
    try:
        status = run_kept(request, beginning)
    finally:
        build.end(status)
    return status


def of_words(words: list[str]) -> tuple[Build, Request]:
    """From what `Build.words` and options of run are put together."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    options = parse(parser, words)
    return _build_of(options, int(options.epoch)), cli.parse(options.words)
