"""Which words of a command line are a subcommand's own, and which those of run that it takes, too.

`first` and `among` are a subcommand's ``parse``: what is not its own is in ``words`` then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse

from ptoverlay import cli


def first(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Our own options stand before those of run."""
    arguments = _arguments(parser)
    count = 0
    while count < len(words):
        name, equals, _ = words[count].partition("=")
        if name not in arguments or (equals and not arguments[name]):
            break
        count += 2 if arguments[name] and not equals else 1
    return _parsed(parser, words[:count], words[count:])


def among(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """Our own options stand among those of run.  CMD begins as it does for run: behind "--", or with the first word
    that is no option."""
    arguments = _arguments(parser)
    own: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        known = name in arguments
        (own if known else others).append(word)
        if (arguments[name] and not equals) if known else cli.takes_next(word):
            (own if known else others).extend(next(([after] for after in rest), []))
        elif not known and (word in ("--", "-") or not word.startswith("-")):
            break
    return _parsed(parser, own, [*others, *rest])


def _arguments(parser: argparse.ArgumentParser) -> dict[str, bool]:
    """The parser's options, and whether each has an argument."""
    return {option: action.nargs != 0 for action in parser._actions for option in action.option_strings}


def _parsed(parser: argparse.ArgumentParser, own: list[str], others: list[str]) -> argparse.Namespace:
    options = parser.parse_args(own)
    options.words = others
    return options
