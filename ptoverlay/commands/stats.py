"""What a sandbox holds, and where the time of its last run went.

The run is known for named sandboxes only: the calls by name, by verdict and by the time that the supervisor spent on
them. "pass" ran as it stood, "return" was carried out by the supervisor, "open" got a descriptor from it, "substitute"
ran with other arguments.

Exit status: 0; 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict

from ptoverlay import errors, extras
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import ago, human, shown, width, write
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change, Kind, changes
from ptoverlay.reports.stats import Statistics
from ptoverlay.sandboxes import sandbox, state
from ptoverlay.sandboxes.sandbox import Sandbox, size_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one object")
    parser.add_argument("--report", metavar="FILE.html", help="write a page about it")


def run(options: argparse.Namespace) -> int:
    box = sandbox.the_only_word(options)
    statistics = last_statistics(box)
    if options.report is not None:
        write_report(box, statistics, options.report)
        return 0
    with box.view() as view, box.base() as base:
        with bar("stats", 0) as advance:
            found = changes(view, base, box.mount, advance=advance)
        entries, _ = view.index_size()
    layer = {"entries": entries, "size_on_disk": sum(map(size_of, (box.upper, *box.steps))),
             "bytes": sum(change.size for change in found),
             **{str(kind): sum(change.kind is kind for change in found) for kind in Kind}}
    if options.json:
        last = box.metadata.last_run
        write(json.dumps({"name": box.name or None, "upper": box.upper, "lower": box.lowers, "layer": layer,
                          "last_run": asdict(last) if last else None,
                          "statistics": statistics.as_json() if statistics else None}, indent=1) + "\n")
        return 0
    write(_text(box, layer, found, statistics))
    return 0


def last_statistics(box: Sandbox) -> Statistics | None:
    """Of the last run of a named sandbox; None when none is known."""
    if box.directory is None:
        return None
    path = box.directory / "stats.json"
    try:
        return Statistics.from_json(state.read(path))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError) as error:
        raise Failure(str(path), "not the statistics of a run", "run the sandbox again") from error


def write_report(box: Sandbox, statistics: Statistics | None, path: str) -> None:
    """Writes the page of report.py."""
    from ptoverlay.reports.report import page

    extras.need("--report", "report")
    text = page([box], box.metadata.last_run, statistics)
    try:
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as error:
        raise errors.from_os_error(f"--report {path}", error) from error


def _text(box: Sandbox, layer: dict[str, int], found: list[Change], statistics: Statistics | None) -> str:
    counts = ", ".join(f"{layer[str(kind)]} {kind}" for kind in Kind if layer[str(kind)]) or "no changes"
    lines = [f"{box}: {counts}",
             f"{human(layer['bytes'])} in changed files, {human(layer['size_on_disk'])} on disk in {shown(box.upper)}"]
    last = box.metadata.last_run
    if last is not None:
        lines += ["", f"last run, {ago(last.started)} ago: {shown(shlex.join(last.argv))}"]
    if statistics is not None:
        lines += [f"{statistics.seconds:.2f} s, of which {statistics.totals.nanoseconds / 1e9:.2f} s in trapped calls "
                  f"and {statistics.cpu_seconds:.2f} s on a processor", "", statistics.table(width()).rstrip("\n")]
    return "\n".join(lines) + "\n"
