"""``python -m ptoverlay`` and the command ``ptoverlay``.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os
import sys

from ptoverlay import cli, errors
from ptoverlay.errors import Failure


def main() -> int:
    """The command line of this process; the return value is its exit status."""
    return command(sys.argv[1:])


def _not_found(word: str) -> str:
    """The remedy where a CMD that was the first word is not there: it may have been meant for a subcommand."""
    if word == "help":
        return "ptoverlay -h shows the options"
    return errors.did_you_mean(word, cli.SUBCOMMANDS, "ptoverlay ").rstrip()


def _print(text: str) -> int:
    try:
        os.write(1, text.encode())
    except OSError as error:
        raise errors.from_os_error("standard output", error) from error
    return 0


def command(words: list[str]) -> int:
    """Runs the command line `words`; returns the exit status, or dies of the signal that ended CMD."""
    try:
        try:
            if words and (words[0] in cli.SUBCOMMANDS or words[0] == "--check"):
                from ptoverlay.commands import dispatch
                return dispatch.command(words[0], words[1:])
            request = cli.parse(words)
        except cli.Answer as answer:  # also of a subcommand, which takes the options of run
            return _print(str(answer))
        if request.name is not None or request.report is not None:
            from ptoverlay.sandboxes.keep import run_kept
            return run_kept(request)
        from ptoverlay.run import run_and_exit
        return run_and_exit(request)
    except Failure as failure:
        if failure.status == errors.NOT_FOUND and failure.what == words[0]:
            failure.remedy = _not_found(words[0])
        errors.report(str(failure))
        return failure.status


if __name__ == "__main__":
    sys.exit(main())
