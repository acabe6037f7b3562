r"""--depfile: what a rule of make or ninja depends on, as compilers write it.

The targets are the files that were made; where none was, the depfile itself.  Paths below the directory that CMD began
in are told from there, as a Makefile has them.

Rules: what was made is no prerequisite, though it may have been read, too; a name is written so that GNU make and ninja
both read it: "\ ", "\#", "$$", and "\:" in names with a colon; what neither can be told (a line feed, which ends the
line) is left out, and that is said.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

from ptoverlay import errors
from ptoverlay.console.terminal import shown
from ptoverlay.record.asked import Question
from ptoverlay.record.record import RunRecord
from ptoverlay.record.states import States

_ESCAPED = {" ": "\\ ", "#": "\\#", "$": "$$", ":": "\\:", "\t": "\\\t"}


def escaped(name: str) -> str:
    """A name as make and ninja read it.  Backslashes count only before what they protect."""
    out, slashes = [], 0
    for character in name:
        if character in _ESCAPED:
            out.append("\\" * slashes + _ESCAPED[character])  # twice as many, and the one that protects
        else:
            out.append(character)
        slashes = slashes + 1 if character == "\\" else 0
    return "".join(out)


def _from(cwd: str, path: str) -> str:
    below = cwd.rstrip("/") + "/"
    return path[len(below):] if path.startswith(below) and len(path) > len(below) else path


def rule(targets: list[str], dependencies: list[str]) -> str:
    """One rule, a dependency a line."""
    head = " ".join(map(escaped, targets)) + ":"
    return " \\\n  ".join([head, *map(escaped, dependencies)]) + "\n"


def _direct(record: RunRecord) -> list[str]:
    """Files that were made where no layer is: --direct."""
    return [used.path for used in record.inputs
            if used.host and used.state.type == "file" and Question.CHANGED in used.questions]


def text(record: RunRecord, _states: States, path: str) -> bytes:
    """The file; path: its own."""
    cwd = os.path.abspath(record.cwd)
    made = [one.path for one in record.outputs if one.state.type == "file"]
    targets = [_from(cwd, name) for name in (*made, *_direct(record))]
    names = [name for name in (_from(cwd, used.path) for used in record.files()) if name not in targets]
    odd = [name for name in (*targets, *names) if "\n" in name]
    for name in odd:
        errors.report(f"--depfile: {shown(name)}: neither make nor ninja can read such a name: it is left out")
    targets = [name for name in targets if name not in odd] or [_from(cwd, os.path.abspath(path))]
    return os.fsencode(rule(targets, [name for name in names if name not in odd]))
