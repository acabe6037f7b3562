"""What a run's time and calls went into: what --stats prints and a sandbox keeps of its last run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import asdict, dataclass, field, replace
from typing import Any

VERDICTS = ("pass", "return", "open", "substitute")


@dataclass(frozen=True)
class Call:
    """One row: calls by verdict (in the order of `VERDICTS`); nanoseconds: what the supervisor spent on them."""

    name: str
    counts: tuple[int, ...]
    nanoseconds: int

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Statistics:
    """Of one run.  calls: the most time first; supervisor_memory: its peak, in KiB; seconds: from start to end;
    cpu_seconds: of CMD and all that it started, as far as it was waited for; repointed, left_lower: descriptors of
    files that were copied up, which now lead to the copy, and which could not be replaced; memory: the peak of the
    largest process that was waited for, in KiB; inside_calls: not trapped, but answered inside of inside_programs;
    inside_compared, inside_different: with PTOVERLAY_INJECT=check; closed: times that a fake root met what only
    root may read."""

    calls: tuple[Call, ...] = ()
    copy_ups: int = 0
    copied_bytes: int = 0
    whiteouts: int = 0
    refused: int = 0
    processes: int = 0
    trap: str = ""
    supervisor_memory: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    repointed: int = 0
    left_lower: int = 0
    memory: int = 0
    inside_programs: int = 0
    inside_calls: int = 0
    inside_compared: int = 0
    inside_different: int = 0
    closed: int = 0
    totals: Call = field(init=False)

    def __post_init__(self) -> None:
        counts = tuple(sum(call.counts[i] for call in self.calls) for i in range(len(VERDICTS)))
        object.__setattr__(self, "totals", Call("total", counts, sum(call.nanoseconds for call in self.calls)))

    @classmethod
    def of(cls, result: Any, seconds: float = 0.0) -> Statistics:
        """From a struct pto_result."""
        from ptoverlay.core import ffi, lib
        from ptoverlay.reports.names import call_name

        stats, width = result.stats, lib.PTO_VERDICTS
        calls = []
        every = ffi.unpack(stats.calls[0], lib.PTO_CALLS * width)
        for nr in range(lib.PTO_CALLS):
            counts = tuple(every[nr * width:(nr + 1) * width])
            if any(counts):
                calls.append(Call(call_name(nr), counts, int(stats.nanoseconds[nr])))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            tuple(sorted(calls, key=lambda call: (-call.nanoseconds, call.name))),
            int(stats.copy_ups), int(stats.copied_bytes), int(stats.whiteouts), int(stats.refused),
            int(stats.processes), "notify" if result.trap == lib.PTO_TRAP_NOTIFY else "ptrace",
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, seconds, used.ru_utime + used.ru_stime,
            int(stats.repointed), int(stats.left_lower), used.ru_maxrss, int(stats.inside_programs),
            int(stats.inside_calls), int(stats.inside_compared), int(stats.inside_different), int(stats.closed))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Statistics:
        """From what `as_json` made; ValueError or KeyError for what it has not."""
        from ptoverlay.sandboxes import state

        rows = state.of(dict[str, dict[str, int]], data["calls"])
        calls = tuple(Call(name, tuple(row[verdict] for verdict in VERDICTS), row["nanoseconds"])
                      for name, row in rows.items())
        made: Statistics = state.of(cls, {name: value for name, value in data.items() if name != "calls"})
        return replace(made, calls=calls)

    def as_json(self) -> dict[str, Any]:
        """As json.dumps takes it: calls by name, with their counts by verdict."""
        out = asdict(self)
        del out["totals"]
        out["calls"] = {call.name: {**dict(zip(VERDICTS, call.counts, strict=True)), "nanoseconds": call.nanoseconds}
                        for call in self.calls}
        return out

    def table(self, width: int | None = None) -> str:
        """The text: one row a call, then the run's totals.  width: columns of the terminal; the verdicts are left out
        where they do not fit."""
        rows = [["call", "calls", *VERDICTS, "ms", "us/call"], *map(_row, (*self.calls, self.totals))]
        if width is not None and max(map(len, lines := _aligned(rows))) > width:
            rows = [[row[0], row[1], *row[-2:]] for row in rows]
        lines = [*_aligned(rows), ""]
        told = [
            f"{_count(self.copy_ups, 'copy-up')} of {_count(self.copied_bytes, 'byte')}, "
            f"{_count(self.whiteouts, 'whiteout')}, {_count(self.refused, 'call')} refused",
            f"{_count(self.repointed, 'open descriptor')} replaced at copy-ups, {self.left_lower} left with the lower "
            "file",
            *[f"{_count(self.inside_calls, 'call')} answered inside of {_count(self.inside_programs, 'program')}"
              + f", {self.inside_compared} of them compared, {self.inside_different} different"
              * bool(self.inside_compared)] * bool(self.inside_programs),
            *[f"{_count(self.closed, 'time')} something was met that only root may read: it stayed closed, or shows as "
              "empty"] * bool(self.closed),
            f"{_count(self.processes, 'process')} over the {self.trap} trap; peak memory: the largest {self.memory} "
            f"KiB, the supervisor {self.supervisor_memory} KiB"]
        return "\n".join([*lines, *(_wrapped(text, width) for text in told)]) + "\n"


def _count(number: int, what: str) -> str:
    return f"{number} {what if number == 1 else what + 'es' if what.endswith('s') else what + 's'}"


def _wrapped(text: str, width: int | None) -> str:
    if width is None or len(text) <= width:
        return text
    from textwrap import fill

    return fill(text, max(width, 20), subsequent_indent="  ")


def _row(call: Call) -> list[str]:
    each = call.nanoseconds / call.total / 1e3 if call.total else 0.0
    return [call.name, str(call.total), *map(str, call.counts), f"{call.nanoseconds / 1e6:.1f}", f"{each:.1f}"]


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first cells to the left, the numbers to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) if i else cell.ljust(width)
                      for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]


def print_table(result: Any) -> None:
    """Writes the table for a struct pto_result to standard error."""
    try:
        width = os.get_terminal_size(2).columns if os.isatty(2) else None
        sys.stderr.write(Statistics.of(result).table(width))
        sys.stderr.flush()
    except (OSError, AttributeError):
        pass  # standard error is closed: nobody is reading
