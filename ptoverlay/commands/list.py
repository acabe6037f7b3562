"""The named sandboxes: lower, size on disk, number of changes, last command, and whether it runs.

"running" means that a process holds the sandbox: a command over it, with the processes that it has started and their
memory, or a tool that changes it. Where several commands are in, each has a line: process id, words, how long.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ptoverlay import errors, extras
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import ago, columns, cut, human, named, shown, width, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import changes
from ptoverlay.sandboxes.sandbox import Sandbox, size_of
from ptoverlay.shared.asking import inside

if TYPE_CHECKING:
    from ptoverlay.sandboxes.processes import Running

_HEADS = ["NAME", "LOWER", "SIZE", "CHANGES", "LAST COMMAND", "", "STATE"]
_LONGEST = 40  # characters of a command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="a list of objects, one a sandbox")


def run(options: argparse.Namespace) -> int:
    rows = [describe(box) for box in Sandbox.all()]
    if options.json:
        write(json.dumps(rows, indent=1) + "\n")
    elif rows:
        cells = [_cells(row) for row in rows]
        lines = columns([_HEADS, *cells], right=frozenset((2, 3)))
        limit = width()
        if limit is not None and max(map(len, lines)) > limit:
            blocks = [list(_block(each)) for each in cells]
        else:
            write(lines[0] + "\n")
            blocks = [[line] for line in lines[1:]]
        lines = [cut(text, limit) for row, block in zip(rows, blocks, strict=True) for text in (*block, *_who(row))]
        write("".join(text + "\n" for text in lines))
    return 0


def _block(cells: list[str]) -> Iterator[str]:
    """A sandbox where the terminal is too narrow for a table."""
    name, lower, size, changes, command, when, state = cells
    yield f"{name}  {state}"
    yield f"  on {lower}"
    yield f"  {size}, {changes} change{'s' * (changes != '1')}"
    if when:
        yield f"  {when}: {command}"


def _who(row: dict[str, Any]) -> Iterator[str]:
    """The commands that are in, where the last one is not all of them."""
    for each in row["commands"] if len(row["commands"]) > 1 else ():
        yield f"  {each['pid']}  {cut(shown(shlex.join(each['argv'])), _LONGEST)}, for {ago(each['started'])}"


def describe(box: Sandbox) -> dict[str, Any]:
    """What is known of a named sandbox, as json.dumps takes it; changes: None when they cannot be told."""
    holder = box.running()
    guests = inside(box) if holder > 0 else []
    processes = [process for each in [holder, *(guest["pid"] for guest in guests)] if each > 0
                 for process in below(each)]
    last = box.metadata.last_run
    return {
        "name": box.name, "lower": box.lowers, "mount": box.mount, "parent": box.metadata.parent or None,
        "upper": box.upper, "work": box.work, "size": size(box), "changes": _count(box),
        "created": box.metadata.created, "runs": box.metadata.runs, "layers": 1 + len(box.steps),
        "running": holder != 0,
        "pid": holder if holder > 0 else None, "commands": guests,
        "processes": [asdict(process) for process in processes],
        "last_run": None if last is None else {
            "argv": last.argv, "cwd": last.cwd, "started": last.started, "ended": last.ended or None,
            "status": last.status},
    }


def size(box: Sandbox) -> int:
    """Bytes on disk of all its layers."""
    return sum(size_of(upper) for upper in (box.upper, *box.steps))


def below(pid: int) -> list[Running]:
    """The processes of a run; none, with a line that says so, where psutil is not there."""
    if why := extras.missing("list"):
        errors.report(f"list: processes are not shown: {why} ({extras.remedy('list')})")
        return []
    from ptoverlay.sandboxes import processes  # and psutil, when something runs

    return processes.below(pid)


def _count(box: Sandbox) -> int | None:
    try:
        with box.view() as view, box.base() as base, bar(f"list: {box.name}", 0) as advance:
            return len(changes(view, base, box.mount, content=False, advance=advance))
    except (Failure, OSError) as error:
        errors.report(str(error) if isinstance(error, Failure) else f"{box}: {error.strerror}")
        return None


def _cells(row: dict[str, Any]) -> list[str]:
    lower = f"sandbox {row['parent']}" if row["parent"] else ":".join(map(named, row["lower"]))
    last = row["last_run"]
    command = cut(shown(shlex.join(last["argv"])), _LONGEST) if last else "-"
    when = f"{ago(last['ended'] or last['started'])} ago" if last else ""
    state = _running(row["processes"], row["commands"]) if row["running"] else _status(last) if last else "never ran"
    count = "?" if row["changes"] is None else str(row["changes"])
    return [row["name"], lower, human(row["size"]), count, command, when, state]


def _running(processes: list[dict[str, Any]], commands: list[dict[str, Any]]) -> str:
    if not processes:
        return "running"
    memory = human(sum(process["memory"] for process in processes))
    several = f"{len(commands)} commands, " if len(commands) > 1 else ""
    return f"running ({several}{len(processes)} process{'es' * (len(processes) > 1)}, {memory})"


def _status(last: dict[str, Any]) -> str:
    if last["status"] is None:
        return "killed"
    return f"exit {last['status']}" if last["status"] >= 0 else f"signal {-last['status']}"
