"""What undo, redo and log do with --host: commits, which changed the host, are taken back, done again, and shown.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
import time

from ptoverlay import errors
from ptoverlay.commit import kept, takeback
from ptoverlay.commit.kept import HostCommit
from ptoverlay.commit.tree import join
from ptoverlay.console.terminal import count, named, shown, write
from ptoverlay.errors import Failure


def undo(options: argparse.Namespace) -> int:
    """Takes back the last commit, or the last N."""
    return _turn(options, "undo", undone=False)


def redo(options: argparse.Namespace) -> int:
    return _turn(options, "redo", undone=True)


def log(options: argparse.Namespace) -> int:
    """The newest first."""
    name, number = _words(options)
    if options.forget is not None:
        if options.forget < 0:
            raise Failure(f"--forget {options.forget}", "a number of commits is meant", "--forget 0 forgets all")
        with takeback.alone():
            if not options.forget:
                kept.forget_broken()
            known = kept.commits(name)
            kept.forget(known[:max(len(known) - options.forget, 0)])
        return 0
    chosen = kept.commits(name)[::-1][:number]
    if options.json:
        write(json.dumps([as_json(commit) for commit in chosen], indent=1) + "\n")
        return 0
    write("\n".join(_head(commit) for commit in chosen))
    return 0


def _turn(options: argparse.Namespace, what: str, *, undone: bool) -> int:
    name, number = _words(options)
    done: list[HostCommit] = []
    refused: dict[str, str] = {}
    with takeback.alone() as finished:
        for commit in finished:
            errors.report(f"{_title(commit)}: finished taking it back, which was interrupted" if commit.undone else
                          f"{_title(commit)}: finished doing it again, which was interrupted")
        for _ in range(number or 1):
            next_one = takeback.last_undone(name) if undone else takeback.last_done(name)
            if next_one is None:
                if not done:
                    raise takeback.nothing(what)
                break
            try:
                refused = takeback.turn(next_one, force=options.force)
            except OSError as error:
                raise errors.from_os_error(f"{next_one.lower}: {what}: {error.filename or ''}".removesuffix(": "),
                                           error) from error
            if refused and not options.force:
                break
            done.append(next_one)
    if options.json:
        write(json.dumps({"commits": [as_json(commit) for commit in done],
                          "refused": [{"path": path, "why": why} for path, why in refused.items()]}, indent=1) + "\n")
    else:
        write("".join(f"{'redone' if undone else 'undone'} {_title(commit)}\n" for commit in done))
    for path, why in refused.items():
        errors.report(f"{named(path)}: {why}")
    if refused and not options.force:
        errors.report(f"nothing was {'done again' if undone else 'taken back'} (--force does so all the same, and "
                      "keeps what is there now)")
    return 1 if refused else 0


def _title(commit: HostCommit) -> str:
    where = shown(commit.lower)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(commit.when / 1e9))
    return f"commit {commit.id[:7]} of {shown(commit.name)}, {when}: {count(len(commit.done), 'change')} in {where}"


def _head(commit: HostCommit) -> str:
    lines = [_title(commit) + "  (undone)" * commit.undone]
    lines += [f"    {_what(done.made is None, done.kept is not None, done.old is not None, done.now is not None):<9} "
              f"{named(join(commit.lower.rstrip('/'), done.path))}" for done in commit.done]
    return "".join(line + "\n" for line in lines)


def _what(gone: bool, kept_one: bool, renamed: bool, attributes: bool) -> str:
    if attributes:
        return "metadata"
    if renamed:
        return "renamed"
    return "removed" if gone else "replaced" if kept_one else "added"


def as_json(commit: HostCommit) -> dict[str, object]:
    """As json.dumps takes it."""
    return {"id": commit.id, "name": commit.name, "lower": commit.lower, "when": commit.when / 1e9,
            "undone": commit.undone, "changes": [
                {"path": join(commit.lower.rstrip("/"), done.path),
                 "kind": _what(done.made is None, done.kept is not None, done.old is not None, done.now is not None),
                 **({"old_path": join(commit.lower.rstrip("/"), done.old)} if done.old is not None else {})}
                for done in commit.done]}


def _words(options: argparse.Namespace) -> tuple[str | None, int | None]:
    """A name and a number, in this order, where they are given; layers by their directories are named by the upper."""
    words = list(options.words)
    name = options.name if options.name is not None else os.path.abspath(options.upper) if options.upper else None
    number = None
    if name is None and words and not words[0].isdecimal():
        name = words.pop(0)
    if words and words[0].isdecimal() and 0 < int(words[0]) < 1 << 31:
        number = int(words.pop(0))
    if words:
        raise Failure(words[0], "a NAME and a number of commits are meant", f"{options.prog} -h shows the options")
    return name, number
