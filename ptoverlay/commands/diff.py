"""What a sandbox has changed: added, modified, removed and renamed objects, and those of which only metadata changed.

Contents are compared: a file that was copied up and holds what it held before is no change, unless its metadata differ.
A PATH stands for everything below it; wildcards are * ? [...], and * takes slashes too.

Exit status: 0 nothing has changed, 1 something has, 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ptoverlay import errors
from ptoverlay.commit.carry import pending
from ptoverlay.console.progress import bar
from ptoverlay.console.terminal import Painter, count, human, named, sizes, width, write
from ptoverlay.layer.changes import TYPE_NAMES, Change, Kind, changes, nowhere, select
from ptoverlay.layer.patch import Patch, patches
from ptoverlay.layer.view import View
from ptoverlay.sandboxes import sandbox
from ptoverlay.sandboxes.sandbox import Sandbox

_COLOURS = {Kind.ADDED: "green", Kind.MODIFIED: "yellow", Kind.REMOVED: "red", Kind.RENAMED: "cyan",
            Kind.METADATA: "dim"}
_PATCH_COLOURS = {b"+": "green", b"-": "red", b"@": "cyan"}  # by the first byte of a line below the head of a file
_RANGE = re.compile(r"([0-9]{0,9})\.\.([0-9]{0,9})")
_GRAPH = 40  # characters of the longest bar of --stat
_SMALLEST = 10  # characters that a name, and the longest bar, have at least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sandbox.add_arguments(parser, "[A..B] [PATH…]", "between steps A and B; only what is there and below")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-p", "--patch", action="store_true", help="a unified diff, for git apply or patch -p1")
    how.add_argument("--stat", action="store_true", help="lines added and removed, file by file")
    how.add_argument("--json", action="store_true", help="a list of objects, one a change")
    parser.add_argument("--no-ignore", action="store_true", help="also what the ignore list leaves out")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    box = Sandbox.open(options)
    paint = Painter(options.color)
    if pending(box.work):
        errors.report(f"{box}: a commit of it was interrupted: ptoverlay commit -n shows what is left to do")
    with views(box, options.words) as (view, base):
        with bar("diff", 0) as advance:
            found = changes(view, base, box.mount, expand=options.patch or options.stat, advance=advance)
        if options.words:
            show_nowhere(nowhere(options.words, box.mount, view, base))
            found = select(found, options.words, box.mount)
        found = without_noise(found, options, box.mount)
        if options.json:
            write(json.dumps([change.as_json() for change in found], indent=1) + "\n")
        elif options.patch:
            show_patch(found, view, base, box.mount, paint)
        elif options.stat:
            show_stat(list(patches(found, view, base, box.mount)), paint)
        else:
            for change in found:
                write(line(change, view, paint) + "\n")
    return 1 if found else 0


def without_noise(found: list[Change], options: argparse.Namespace, mount: str) -> list[Change]:
    """What is left of the changes when the ignore list was asked, and a line if that is not all."""
    if options.no_ignore or not found:
        return found
    from ptoverlay.settings.ignore import Ignore

    ignore = Ignore.of_settings()
    left = ignore.without(found, options.words, mount)
    ignore.tell()
    return left


@contextmanager
def views(box: Sandbox, words: list[str]) -> Iterator[tuple[View, View]]:
    """What is compared: the view and what it lies on, or what two steps left, which A..B as the first word names; it is
    taken off the words."""
    match = _RANGE.fullmatch(words[0]) if words and box.directory is not None else None
    if match is None:
        with box.view() as view, box.base() as base:
            yield view, base
        return
    del words[0]
    from ptoverlay.history.states import between, history_of

    last = history_of(box).last
    newer = int(match[2]) if match[2] else last.number if last else 0
    with between(box, int(match[1] or 0), newer) as (view, base):
        yield view, base


def show_nowhere(paths: Sequence[str]) -> None:
    """One line on standard error for each of the given paths at which nothing is or was."""
    for path in paths:
        errors.report(f"{named(path)}: nothing is there, and nothing was")


def line(change: Change, view: View | None, paint: Painter) -> str:
    """One change in one line; without a view, not where a symlink leads."""
    kind = paint(_COLOURS[change.kind], f"{change.kind:<9}")
    name = named(change.path + "/" * (change.type == stat.S_IFDIR and change.path != "/"))
    if change.kind is Kind.RENAMED and change.old_path is not None:
        name = f"{named(change.old_path)} -> {name}"
    notes = list(_notes(change, view))
    return f"{kind} {name}" + (paint("dim", f"  ({', '.join(notes)})") if notes else "")


def _notes(change: Change, view: View | None) -> list[str]:
    notes = []
    if change.kind is Kind.REMOVED and change.entries:
        notes.append(f"{count(change.entries, 'entry')}, {human(change.bytes)}")
    if view is not None and change.new is not None and change.new.is_link:
        notes.append(f"-> {named(view.readlink(change.path))}")
    if change.link_to is not None:
        notes.append(f"hard link of {named(change.link_to)}")
    if change.new is not None and change.old is not None:
        notes += _differences(change)
    if view is not None:
        notes += _privileges(change, view)
    written = change.new if change.old is not None and change.content else None
    if written is not None and not written.is_dir and written.nlink > 1:
        notes.append(f"one of {written.nlink} names")
    return notes


def _privileges(change: Change, view: View) -> list[str]:
    """What a commit would set that lets somebody do more, unless it is told as a difference already."""
    told = change.privileges(view, os.geteuid())
    if change.old is not None and not change.type_changed:
        told = [note for note in told if not note.startswith("owner")]
    return told


def _differences(change: Change) -> list[str]:
    new, old = change.new, change.old
    assert new is not None
    assert old is not None
    notes = []
    if change.type_changed:
        notes.append(f"{TYPE_NAMES.get(old.type)} -> {TYPE_NAMES.get(new.type)}")
    elif change.content and new.is_file and new.size != old.size:
        notes.append(sizes(old.size, new.size))
    elif change.content and change.kind is Kind.RENAMED:
        notes.append("modified")
    values = {"mode": (f"{stat.S_IMODE(old.mode):04o}", f"{stat.S_IMODE(new.mode):04o}"),
              "owner": (old.uid, new.uid), "group": (old.gid, new.gid)}
    for name in change.metadata:
        if name in values:
            notes.append(f"{name} {values[name][0]} -> {values[name][1]}")
        elif name != "mtime" or (change.kind is Kind.METADATA and change.metadata == ("mtime",)):
            notes.append(name)
    return notes


def show_patch(found: Sequence[Change], view: View, base: View, mount: str, paint: Painter) -> None:
    """The unified diff; what it cannot say is a line that begins with #."""
    sys.stdout.flush()
    out = sys.stdout.buffer
    for of_one in patch_lines(found, view, base, mount):
        for colour, text in of_one:
            out.write(paint.bytes(colour, text))


def patch_lines(found: Sequence[Change], view: View, base: View, mount: str) -> Iterator[Iterator[tuple[str, bytes]]]:
    """The lines of each change, each with its colour."""
    for patch in patches(found, view, base, mount):
        yield lines_of(patch, view)


def lines_of(patch: Patch, view: View) -> Iterator[tuple[str, bytes]]:
    """The lines of one change, each with its colour."""
    lines, head = False, True
    for text in patch.lines():
        head = head and not text.startswith(b"@@")
        yield "bold" if head else _PATCH_COLOURS.get(text[:1], ""), text
        lines = True
    said = {"mtime", "mode"} if patch.old_mode != patch.new_mode else {"mtime"}
    more = set(patch.change.metadata) - said or _privileges(patch.change, view)
    if (not lines and not patch.change.implied) or more:
        yield "dim", os.fsencode(f"# {line(patch.change, view, Painter('never'))}\n")


def show_stat(found: Sequence[Patch], paint: Painter) -> None:
    """Lines added and removed, with a bar, as git diff --stat has them."""
    rows = []
    for patch in found:
        if patch.change.type == stat.S_IFDIR or (patch.change.metadata == ("mtime",) and not patch.change.content):
            continue
        plus, minus = patch.counts()
        name = named(patch.change.path)
        if patch.change.new is not None and patch.change.old_path not in (None, patch.change.path):
            name = f"{named(patch.change.old_path or '')} => {name}"
        rows.append((name, plus, minus, patch))
    if not rows:
        return
    digits = max(len(str(row[1] + row[2])) for row in rows)
    columns = shutil.get_terminal_size().columns
    names = max(len(row[0]) for row in rows)
    if width() is not None:
        names = max(min(names, columns - digits - _SMALLEST - 6), _SMALLEST)
    bar = min(_GRAPH, max(columns - names - digits - 6, _SMALLEST))
    most = max(max(row[1] + row[2] for row in rows), bar)
    for name, plus, minus, patch in rows:
        if patch.binary:
            text = f"{'Bin':>{digits}} {patch.change.old_size} -> {patch.change.size} bytes"
        else:
            text = f"{plus + minus:>{digits}} " + paint("green", "+" * _scaled(plus, most, bar)) + paint(
                "red", "-" * _scaled(minus, most, bar))
        write(f" {_end_of(name, names):<{names}} | {text.rstrip()}\n")
    write(f" {_total(rows)}\n")


def _total(rows: Sequence[tuple[str, int, int, Patch]]) -> str:
    """As git has it."""
    plus, minus = sum(row[1] for row in rows), sum(row[2] for row in rows)
    words = [f"{count(len(rows), 'file')} changed"]
    if plus or not minus:
        words.append(f"{count(plus, 'insertion')}(+)")
    if minus or not plus:
        words.append(f"{count(minus, 'deletion')}(-)")
    return ", ".join(words)


def _end_of(name: str, width: int) -> str:
    """The name, or what fits of its end."""
    return name if len(name) <= width else f"…{name[-(width - 1):]}"


def _scaled(count: int, most: int, bar: int) -> int:
    return 0 if not count else max(count * bar // most, 1)
