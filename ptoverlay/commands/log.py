"""The steps of a sandbox, the newest first: what ran, when, how it ended, and what it changed.

A step is a run that changed something. One that was undone is there until something else is changed.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ptoverlay import errors, extras
from ptoverlay.commands.diff import show_patch, show_stat
from ptoverlay.console.terminal import Painter, count, shown, write
from ptoverlay.errors import Failure
from ptoverlay.history.record import History, HistoryStep
from ptoverlay.history.states import before, between, history_of, step_changes
from ptoverlay.history.told import command, name_of, outcome, when
from ptoverlay.layer.changes import Change, Kind, changes
from ptoverlay.layer.patch import patches
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.shared.asking import inside

if TYPE_CHECKING:
    from ptoverlay.settings.ignore import Ignore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_counted(parser, "only the last N steps")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-p", "--patch", action="store_true", help="with the differences of each step, as diff -p")
    how.add_argument("--stat", action="store_true", help="with the lines added and removed, file by file")
    parser.add_argument("--no-ignore", action="store_true",
                        help="with -p and --stat: also what the ignore list leaves out")
    how.add_argument("--html", metavar="FILE", help="write a page about them, to be looked at in a browser")
    parser.add_argument("--host", action="store_true", help="commits, which changed the host, and can be taken back")
    parser.add_argument("--forget", metavar="N", type=int,
                        help="with --host: throw away what is kept of all but the last N")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    if options.host:
        from ptoverlay.commands import host

        return host.log(options)
    box, number = counted(options)
    history = history_of(box)
    chosen = history.steps[::-1][:number]
    if options.json:
        write(json.dumps([as_json(step, step_changes(box, step.number)) for step in chosen], indent=1) + "\n")
        return 0
    if options.html is not None:
        write_page(box, history, chosen, options.html)
        return 0
    paint = Painter(options.color)
    ignore = _ignored(options)
    running = running_steps(box, chosen)
    for at, step in enumerate(chosen):
        write("\n" * bool(at) + head(step, paint, running=step.number in running))
        _show(box, history, step, options, paint, ignore)
    if ignore is not None:
        ignore.tell()
    return 0


def _ignored(options: argparse.Namespace) -> Ignore | None:
    """What differences are not shown of; None: nothing."""
    if options.no_ignore or not (options.patch or options.stat):
        return None
    from ptoverlay.settings.ignore import Ignore

    return Ignore.of_settings()


def write_page(box: Sandbox, history: History, chosen: Sequence[HistoryStep], path: str) -> None:
    """Writes the page of reports/timeline.py."""
    extras.need("--html", "report")
    from ptoverlay.reports.timeline import page

    text = page(box, history, chosen)
    try:
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise errors.from_os_error(f"--html {path}", error) from error


def running_steps(box: Sandbox, chosen: Sequence[HistoryStep]) -> set[int]:
    """The numbers of those whose commands are in the sandbox now."""
    open_ones = [step for step in chosen if step.status is None and step.started]
    if not open_ones:
        return set()
    alive = [(guest["argv"], guest["started"]) for guest in inside(box)]
    return {step.number for step in open_ones if (step.argv, step.started) in alive}


def head(step: HistoryStep, paint: Painter, *, running: bool = False) -> str:
    """What is known of a step without a look at what it changed.  running: its command has not ended."""
    state = "  (undone)" if step.undone else ""
    lines = [paint("yellow", f"step {step.number}") + state]
    if step.message:
        lines += [f"    {shown(text)}" for text in step.message.splitlines()]
    if step.argv:
        lines.append(f"    $ {shown(command(step))}")
    if step.cwd:
        lines.append(f"    in {shown(step.cwd)}")
    if step.started:
        lines.append(f"    {when(step)}, {outcome(step, running=running)}")
    if step.folded:
        lines.append(f"    with {count(step.folded, 'older step')}, which cannot be undone any more")
    return "".join(text + "\n" for text in lines)


def _show(box: Sandbox, history: History, step: HistoryStep, options: argparse.Namespace, paint: Painter,
          ignore: Ignore | None) -> None:
    with between(box, *_range(history, step)) as (view, base):
        found = changes(view, base, box.mount, expand=options.patch or options.stat)
        if ignore is not None:
            found = ignore.without(found, (), box.mount)
        if options.patch:
            show_patch(found, view, base, box.mount, paint)
        elif options.stat:
            show_stat(list(patches(found, view, base, box.mount)), paint)
        else:
            write(f"    {summary(found)}\n")


def _range(history: History, step: HistoryStep) -> tuple[int, int]:
    return before(history, step), step.number


def summary(found: Sequence[Change]) -> str:
    """How many changes of each kind."""
    counts = [(kind, sum(change.kind is kind for change in found)) for kind in Kind]
    return ", ".join(f"{number} {kind}" for kind, number in counts if number) or "no changes"


def as_json(step: HistoryStep, found: Sequence[Change] | None = None) -> dict[str, Any]:
    """As json.dumps takes it."""
    told = {name: value for name, value in asdict(step).items() if name != "layer"}
    told["ended"] = step.ended or None
    if found is not None:
        told["changes"] = [change.as_json() for change in found]
    return told


# ---- what undo and redo share with it ----


def add_counted(parser: argparse.ArgumentParser, text: str) -> None:
    """NAME and a number."""
    sandbox.add_arguments(parser, "[N]", text)
    parser.add_argument("--json", action="store_true", help="a list of objects, one a step")


def counted(options: argparse.Namespace) -> tuple[Sandbox, int | None]:
    """The sandbox, and the number if one was given."""
    box = Sandbox.open(options)
    history_of(box)  # Failure for layers without a name
    if len(options.words) > 1:
        raise errors.usage(options.words[1], "one word too many", prog=options.prog)
    if not options.words:
        return box, None
    word = options.words[0]
    if not word.isdecimal() or not 0 < int(word) < 1 << 31:
        raise Failure(word, "a number of steps is meant", f"{options.prog} -h shows the options")
    return box, int(word)


def show_done(what: str, steps: Sequence[HistoryStep], options: argparse.Namespace) -> None:
    """What was done with steps."""
    if options.json:
        write(json.dumps([as_json(step) for step in steps], indent=1) + "\n")
    else:
        write("".join(f"{what} step {step.number}: {shown(name_of(step))}\n" for step in steps))


