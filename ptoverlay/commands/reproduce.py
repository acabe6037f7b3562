"""Run CMD several times under other circumstances, and compare what it makes bit for bit.

CMD runs in a layer over the directory that you are in, twice the same, and then at once with another time, order of
listings, time zone, locale, umask, home, path of the tree, user name, host name, number of CPUs, seed of random bytes,
address layout, kernel version and environment. If something that it has made differs, halves of these are tried until
it is known for each file what it depends on. Nothing of it is kept. diffoscope, if it is there, says in --html what
differs.

Exit status: 0 everything is the same, 1 something differs, 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

from ptoverlay import errors
from ptoverlay.console.terminal import shown, write
from ptoverlay.errors import Failure
from ptoverlay.remove import remove_tree
from ptoverlay.reproduce.difference import diffoscope, first_difference
from ptoverlay.reproduce.find import Comparison, Differing, Search
from ptoverlay.reproduce.trial import Trials
from ptoverlay.reproduce.variations import BY_NAME, VARIATIONS, Variation

_DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [OPTIONS] [--] CMD [ARG…]"
    parser.add_argument("--only", metavar="WHAT[,WHAT…]", action="append", default=[],
                        help=f"vary nothing else; of {', '.join(BY_NAME)}")
    parser.add_argument("--without", metavar="WHAT[,WHAT…]", action="append", default=[], help="do not vary these")
    parser.add_argument("--artifact", metavar="PATTERN", action="append", default=[],
                        help="files that count, by their paths from here; repeatable (default: all that was made)")
    parser.add_argument("--trap", choices=("auto", "ptrace", "notify"), default="auto", help="as of run")
    parser.add_argument("--json", action="store_true", help="the outcome as JSON")
    parser.add_argument("--html", metavar="FILE", help="a page with it")
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def parse(parser: argparse.ArgumentParser, words: list[str]) -> argparse.Namespace:
    """The first word that is no option begins CMD."""
    own, rest = [], list(words)
    takes = ("--only", "--without", "--artifact", "--trap", "--html")
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        own.append(word)
        if word in takes and rest:
            own.append(rest.pop(0))
    parsed = parser.parse_args(own)
    parsed.words = rest
    return parsed


def _chosen(option: str, names: list[str]) -> list[Variation]:
    found = []
    for name in (name for words in names for name in words.split(",")):
        if name not in BY_NAME:
            raise Failure(f"{option} {name}", f"one of {', '.join(BY_NAME)} is meant",
                          errors.did_you_mean(name, BY_NAME))
        found.append(BY_NAME[name])
    return found


def run(parsed: argparse.Namespace) -> int:
    if not parsed.words:
        raise errors.usage("reproduce", "no command given", prog="ptoverlay reproduce")
    variations = _chosen("--only", parsed.only) if parsed.only else list(VARIATIONS)
    without = _chosen("--without", parsed.without)
    variations = [one for one in variations if one not in without]
    if parsed.html:
        _check_writable(parsed.html)
    directory = Path(tempfile.mkdtemp(prefix="ptoverlay-reproduce-"))
    try:
        trials = Trials(parsed.words, os.path.realpath(os.getcwd()), directory, parsed.artifact,
                        ("--trap", parsed.trap))
        outcome = Search(trials, variations, _teller(parsed.json)).run()
        if outcome.first.status and not outcome.first.items:
            errors.report(f"{shown(parsed.words[0])}: status {_exit(outcome.first.status)}, and nothing was made: "
                          f"{shown(outcome.first.output.strip()[-200:])}")
            return errors.OWN_ERROR
        if parsed.html:
            _write_page(parsed.html, parsed.words, outcome)
        write(json.dumps(as_json(parsed.words, outcome), indent=1) + "\n" if parsed.json else table(outcome))
    finally:
        remove_tree(str(directory))
    return 0 if outcome.same else _DIFFERENT


def _teller(quiet: bool) -> Any:
    def tell(text: str) -> None:
        if not quiet and sys.stderr.isatty():
            errors.report(f"reproduce: {text}")

    return tell


# ---- what is told ----


def _difference(outcome: Comparison, finding: Differing) -> str:
    return first_difference(outcome.first.items.get(finding.path), finding.other.items.get(finding.path))


def table(outcome: Comparison) -> str:
    """For people."""
    made = len(outcome.first.items)
    lines = []
    if outcome.findings:
        width = max(len(shown(finding.path)) for finding in outcome.findings)
        for finding in outcome.findings:
            causes = ", ".join(finding.causes)
            lines.append(f"{shown(finding.path):<{width}}  {causes}: {_difference(outcome, finding)}")
    for cause, status in outcome.statuses.items():
        lines.append(f"status {_exit(outcome.first.status)}, and with another {cause} {_exit(status)}")
    differ = len(outcome.findings)
    lines.append(f"{made} made, {differ} of them not always the same" if differ else f"{made} made, all the same")
    lines.append(f"varied in {outcome.runs} runs: {', '.join(outcome.varied) or 'nothing'}")
    lines += [f"not varied: {name}: {why}" for name, why in outcome.lacking.items()]
    return "\n".join(lines) + "\n"


def _exit(status: int) -> str:
    return str(status) if status >= 0 else f"signal {-status}"


def as_json(argv: list[str], outcome: Comparison) -> dict[str, Any]:
    """For programs."""
    return {
        "command": argv, "reproducible": outcome.same, "runs": outcome.runs, "varied": outcome.varied,
        "not_varied": outcome.lacking, "status": outcome.first.status, "statuses": outcome.statuses,
        "made": {path: item.digest for path, item in sorted(outcome.first.items.items())},
        "differing": [{"path": finding.path, "depends_on": finding.causes, "difference": _difference(outcome, finding)}
                      for finding in outcome.findings],
    }


def _check_writable(path: str) -> None:
    from ptoverlay import extras

    extras.need("--html", "report")
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise Failure(f"--html {path}", f"{directory}: no directory that can be written")


def _write_page(path: str, argv: list[str], outcome: Comparison) -> None:
    from ptoverlay.reproduce.page import page

    details = {finding.path: diffoscope(outcome.first.items.get(finding.path), finding.other.items.get(finding.path))
               for finding in outcome.findings}
    differences = {finding.path: _difference(outcome, finding) for finding in outcome.findings}
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(page(shlex.join(argv), outcome, differences, details))
    except OSError as error:
        raise errors.from_os_error(f"--html {path}", error) from error
