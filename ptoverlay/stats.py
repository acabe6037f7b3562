"""The table that --stats prints when a run is over.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import resource
import sys
from typing import Any

from ptoverlay._core import lib
from ptoverlay.names import call_name

_VERDICTS = ("pass", "return", "open", "substitute")


def table(result: Any) -> str:
    """The text for a struct pto_result: one row a call, the most time first, then the run's totals."""
    stats = result.stats
    rows = []
    for nr in range(lib.PTO_CALLS):
        counts = [int(stats.calls[nr][verdict]) for verdict in range(lib.PTO_VERDICTS)]
        if any(counts):
            rows.append((int(stats.nanoseconds[nr]), call_name(nr), counts))
    rows.sort(key=lambda row: (-row[0], row[1]))
    total = [sum(row[2][verdict] for row in rows) for verdict in range(lib.PTO_VERDICTS)]
    lines = [_line("call", ["calls", *_VERDICTS], "ms", "us/call")]
    lines += [_row(name, counts, nanoseconds) for nanoseconds, name, counts in rows]
    lines += [_row("total", total, sum(row[0] for row in rows)), "", *_totals(stats, result)]
    return "\n".join(lines) + "\n"


def _row(name: str, counts: list[int], nanoseconds: int) -> str:
    calls = sum(counts)
    each = nanoseconds / calls / 1e3 if calls else 0.0
    return _line(name, [str(calls), *map(str, counts)], f"{nanoseconds / 1e6:.1f}", f"{each:.1f}")


def _line(name: str, counts: list[str], milliseconds: str, each: str) -> str:
    return f"{name:<20}" + "".join(f"{count:>11}" for count in counts) + f"{milliseconds:>11}{each:>9}"


def _totals(stats: Any, result: Any) -> list[str]:
    trap = "notify" if result.trap == lib.PTO_TRAP_NOTIFY else "ptrace"
    return [
        f"{int(stats.copy_ups)} copy-ups of {int(stats.copied_bytes)} bytes, {int(stats.whiteouts)} whiteouts, "
        f"{int(stats.refused)} calls refused",
        f"{int(stats.processes)} processes over the {trap} trap, supervisor's peak memory "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} KiB",
    ]


def print_table(result: Any) -> None:
    """Writes the table to standard error."""
    try:
        sys.stderr.write(table(result))
        sys.stderr.flush()
    except (OSError, AttributeError):
        pass  # standard error is closed: nobody is reading
