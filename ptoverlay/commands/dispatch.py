"""Runs a subcommand: one for each name in `cli.SUBCOMMANDS`, and --check, is a module of this package.

A module has a docstring (its first line is the description of its help text, the rest what follows the options),
``add_arguments(parser)`` and ``run(options) -> int``, the exit status; one whose words are not argparse's has
``parse(parser, words)`` as well.  Only the module that is asked for is imported.

Rules: a mistake in the words, and everything a user can cause, is one line and status 125; the status of an end by a
signal is the signal's; output that nobody reads any more ends a command quietly, as in other filters.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import argparse
import importlib
import keyword
import os
import signal
import sys
from typing import Any, NoReturn

from ptoverlay import errors
from ptoverlay.errors import Failure


class Parser(argparse.ArgumentParser):
    """argparse's parser, with our one line for a mistake."""

    def error(self, message: str) -> NoReturn:
        raise Failure(self.prog.partition(" ")[2] or self.prog, message, f"{self.prog} -h shows the options")


def make_parser(name: str) -> tuple[Parser, Any]:
    """The parser of a subcommand, and its module."""
    file = f"{name}_" if keyword.iskeyword(name) else name.lstrip("-")  # "try" and "import" cannot be names of modules
    module = importlib.import_module(f"ptoverlay.commands.{file}")
    description, _, epilog = (module.__doc__ or "").partition("\n\n")
    epilog = epilog.partition("SPDX-License-Identifier")[0].strip()
    parser = Parser(prog=f"ptoverlay {name}", description=description, epilog=epilog, allow_abbrev=False,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    return parser, module


def command(name: str, words: list[str]) -> int:
    """Runs a subcommand with the words that follow its name; returns the exit status."""
    try:
        parser, module = make_parser(name)
        parse = getattr(module, "parse", Parser.parse_intermixed_args)
        options = parse(parser, words)
        status = int(module.run(options))
        sys.stdout.flush()
        return status
    except SystemExit as end:  # of argparse: its help text is out
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still in a buffer must not fail again at exit
        return _die_of(signal.SIGPIPE)
    except KeyboardInterrupt:
        return _die_of(signal.SIGINT)
    except OSError as error:
        raise errors.from_os_error(os.fsdecode(error.filename or name), error) from error


def _die_of(number: int) -> int:
    from ptoverlay.run import die_of
    return die_of(number)
