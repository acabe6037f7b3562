"""Serve a sandbox to programs that drive it: run, changes, log, checkpoint, undo, redo, commit, cancel.

OPTIONS are those of run, for every command; NAME is made if there is none of this name. One JSON object a line is
spoken, on a socket of the sandbox whose path is printed, until a signal ends it; docs/serve.rst says what.

  ptoverlay serve --stdio NAME   on standard input and output, until their end
  ptoverlay serve --mcp NAME     the same verbs as tools of the Model Context Protocol (pip install ptoverlay[mcp])

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay import cli, errors, extras

_OWN = ("-h", "--help", "--stdio", "--mcp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [--stdio | --mcp] [OPTIONS of run] NAME"
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--stdio", action="store_true", help="on standard input and output")
    how.add_argument("--mcp", action="store_true", help="as an MCP server, on standard input and output")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Our own options stand anywhere; NAME is the first word, or the last one."""
    options = parser.parse_args([word for word in words if word in _OWN])
    rest = [word for word in words if word not in _OWN]
    if rest and not rest[0].startswith("-"):
        rest = [*rest[1:], rest[0]]
    named = cli.parse(rest).argv if rest else []
    if len(named) != 1:
        raise errors.usage(named[-1] if named else "serve", "one word too many" if named else "no NAME given",
                           prog=parser.prog)
    options.name, options.words = named[0], rest[:-1]
    return options


def run(options: argparse.Namespace) -> int:
    if options.mcp:
        extras.need("serve --mcp", "mcp")
    from ptoverlay.serve.engine import Engine

    engine = Engine(options.name, options.words)
    if options.mcp:
        from ptoverlay.serve.mcp import serve_mcp

        serve_mcp(engine)
        return 0
    from ptoverlay.serve.server import serve_socket, serve_stdio

    (serve_stdio if options.stdio else serve_socket)(engine)
    return 0
