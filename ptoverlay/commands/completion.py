"""Print the completions for a shell, for its start-up file where they are not installed.

bash, ~/.bashrc:                     eval "$(ptoverlay completion bash)"
zsh, ~/.zshrc, below compinit:       eval "$(ptoverlay completion zsh)"
fish, ~/.config/fish/config.fish:    ptoverlay completion fish | source

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import sys

from ptoverlay.console import completions
from ptoverlay.console.terminal import write
from ptoverlay.errors import Failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", metavar="bash|zsh|fish", choices=[*completions.FILES])


def parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """--words SUBCOMMAND WORD… is how the completions ask for paths; it is not for people."""
    if words[:1] == ["--words"] and len(words) > 2:
        return argparse.Namespace(words=words[1:], shell="")
    return parser.parse_args(words)


def run(options: argparse.Namespace) -> int:
    if options.shell:
        write(completions.text(options.shell))
        return 0
    try:
        found = completions.candidates(options.words)
    except (Failure, OSError, LookupError, ImportError):
        return 1  # a line that is not yet what it will be is no mistake, and a message would be in the way
    sys.stdout.buffer.write(b"".join(os.fsencode(each) + b"\0" for each in found))
    return 0
