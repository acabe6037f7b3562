"""What this machine allows: one line each, and what is lost without it.

ok: it is there; no: it is not, and what is lost, with a way to get it in parentheses; NO: no run works without it.

Exit status: 0 a run will work, 1 none will, 125 trouble.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from ptoverlay.check import Finding, check
from ptoverlay.console.terminal import Painter, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-u", "--upper", metavar="DIR", help="where layers are to be (default: $TMPDIR, /tmp)")
    parser.add_argument("--json", action="store_true", help="an object with all findings")
    Painter.add_argument(parser)


def run(options: argparse.Namespace) -> int:
    report = check(options.upper)
    if options.json:
        told = {"works": report.works, "trap": report.trap or None, "directory": report.directory,
                "findings": [asdict(finding) for finding in report.findings]}
        write(json.dumps(told, indent=1) + "\n")
    else:
        paint = Painter(options.color)
        write("".join(line(finding, paint) + "\n" for finding in report.findings))
        write(f"a run will work, with the {report.trap} trap\n" if report.works else "no run will work\n")
    return 0 if report.works else 1


def line(finding: Finding, paint: Painter) -> str:
    """One finding, as people read it."""
    if finding.ok:
        return f"{paint('green', 'ok')}  {finding.name}: {finding.found}"
    word = paint("red", "NO") if finding.needed else paint("yellow", "no")
    remedy = f" ({finding.remedy})" if finding.remedy else ""
    return f"{word}  {finding.name}: {finding.found}; lost: {finding.lost}{remedy}"
