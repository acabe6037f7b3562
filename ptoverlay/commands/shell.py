"""Your shell ($SHELL) in a sandbox: as ptoverlay run --name NAME -- $SHELL, with the sandbox in the prompt.

The prompt is that of bash, zsh and fish as your own files set it, with (NAME) before it; none of your files is changed.
PTOVERLAY_NAME is in the environment.

With --steps each command line that you type is a step at its end, by the shell's own hooks: ptoverlay log shows it, and
ptoverlay undo takes it back when the shell has ended.

Exit status: the shell's; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shlex

from ptoverlay.errors import Failure
from ptoverlay.options import Request
from ptoverlay.process import plain_command
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox

_FILES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "console", "shells")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    parser.add_argument("-C", "--chdir", metavar="DIR", help="directory to start in")
    parser.add_argument("--steps", action="store_true", help="each command line is a step (bash, zsh, fish)")


def run(options: argparse.Namespace) -> int:
    from ptoverlay.run import run_and_exit
    from ptoverlay.sandboxes.keep import run_kept

    box = sandbox.the_only_word(options)
    request = Request()
    os.environ["PTOVERLAY_NAME"] = box.name or box.upper
    shell = os.environ.get("SHELL") or "/bin/sh"
    request.argv, request.told = prepare(shell, box, steps=options.steps), [shell]
    request.chdir = options.chdir
    if box.directory is not None:
        request.name = box.name
        return run_kept(request)
    request.overlays = [box.overlay()]
    return run_and_exit(request)


def prepare(shell: str, box: Sandbox, *, steps: bool) -> list[str]:
    """The command line of a shell that shows the sandbox in its prompt; what it needs is in the environment then."""
    kind = os.path.basename(shell)
    os.environ.pop("PTOVERLAY_STEPS", None)
    if steps:
        if kind not in _SHELLS or not _is_there(box):
            raise Failure("--steps", f"{shell} has no hooks that we know" if kind not in _SHELLS else
                          f"{_FILES} is not in the view", "it is for bash, zsh and fish")
        if box.directory is None:
            raise Failure("--steps", "only a sandbox with a name has steps", "ptoverlay run --name NAME makes one")
        os.environ["PTOVERLAY_STEPS"] = shlex.join(plain_command(["checkpoint", "--only-new"]))
    if not _is_there(box):
        return [shell]
    if kind == "zsh":
        if "ZDOTDIR" in os.environ:
            os.environ["PTOVERLAY_ZDOTDIR"] = os.environ["ZDOTDIR"]
        os.environ["ZDOTDIR"] = os.path.join(_FILES, "zsh")
    return [shell, *_SHELLS.get(kind, ())]


def _is_there(box: Sandbox) -> bool:
    """Whether the view has our files."""
    path = os.path.join(os.path.realpath(_FILES), "bash.rc")
    if not f"{path}/".startswith(f"{box.mount.rstrip('/')}/"):
        return os.path.exists(path)
    with box.view() as view:
        return view.find(path) is not None


#: Options of the shells that can show it.
_SHELLS = {"bash": ("--rcfile", os.path.join(_FILES, "bash.rc")), "zsh": (),
           "fish": ("--init-command", f"source {shlex.quote(os.path.join(_FILES, 'init.fish'))}")}
