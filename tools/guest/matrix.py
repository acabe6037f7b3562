"""The quick tests under each kernel, and the table of what they said.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import collections
import datetime
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from guest import CACHE, Trouble

#: Kernel and machine of each guest.
ROWS = (("5.10", "amd64"), ("6.1", "amd64"), ("6.12", "amd64"), ("unstable", "amd64"), ("6.1", "arm64"),
        ("6.12", "arm64"))
PYTEST = ".venv/bin/python -m pytest -q --color=no -p no:cacheprovider"
#: Of the files that have any: to collect all tests takes a guest longer than to run these.
QUICK = "-n 2 -m quick $(grep -rlF mark.quick tests --include='test_*.py')"
TRAPS = ("ptrace", "notify")
COLUMNS = (*(f"{trap}, {who}" for trap in TRAPS for who in ("root", "user")), "other tests")
#: Runs a command under a kernel on a machine, for so many seconds at most; its exit status and output.
Boot = Callable[[str, str, str, float], tuple[int, str]]


@dataclass(frozen=True)
class Row:
    """What the tests said under a kernel: how many passed by column, and which did not."""

    kernel: str
    release: str
    arch: str
    date: str
    auto: str
    passed: collections.Counter[str]
    failed: list[str]


_PROBE = """uname -r
.venv/bin/python -m ptoverlay -v -- true 2>&1 | sed -n 's/.*with the \\(.*\\) trap/auto \\1/p'
"""


def cell(test: str) -> str:
    """The column of a test by its parameters: who runs the command, and by which trap; the tests are root."""
    words = set(re.split(r"[\[\]-]", test.rpartition("::")[2])[1:])
    trap = words & {*TRAPS}
    return f"{trap.pop()}, {'user' if 'user' in words else 'root'}" if trap else "other tests"


def examine(boot: Boot, kernel: str, arch: str, timeout: float) -> None:
    """What the guest printed stays in a file, below the date."""
    _, out = boot(kernel, arch, f"{_PROBE}{PYTEST} -rpfE {QUICK}", timeout)
    said(kernel, arch).write_text(f"{datetime.date.today().isoformat()}\n{out}")


def said(kernel: str, arch: str) -> Path:
    return CACHE / f"matrix-{kernel}-{arch}.txt"


def row_of(kernel: str, arch: str) -> Row:
    """From what its guest printed the last time."""
    if not said(kernel, arch).exists():
        return Row(kernel, "-", arch, "not run", "-", collections.Counter(), [])
    date, release, out = said(kernel, arch).read_text().split("\n", 2)
    outcomes = re.findall(r"^(PASSED|FAILED|ERROR) (tests/.*?)(?: - .*)?$", out, re.MULTILINE)
    if not any(word == "PASSED" for word, _ in outcomes):
        raise Trouble(f"Linux {kernel}, {arch}: the tests did not run:\n" + "\n".join(out.splitlines()[-15:]))
    failed = sorted({test for word, test in outcomes if word != "PASSED"})
    passed = collections.Counter(cell(test) for word, test in outcomes if word == "PASSED" and test not in failed)
    told = re.search(r"^auto (\w+)$", out, re.MULTILINE)
    return Row(kernel, release, arch, date, told[1] if told else "none", passed, failed)


def shown(row: Row, column: str) -> str:
    passed, failed = row.passed[column], sum(cell(test) == column for test in row.failed)
    if not passed + failed:
        return "refused" if row.passed else "-"
    return f"{passed} of {passed + failed}" if failed else f"all {passed}"


def table(rows: list[Row]) -> str:
    """As reStructuredText."""
    cells = [("Linux", "release", "machine", "run on", "``auto`` takes", *COLUMNS)]
    cells += [(row.kernel, row.release, row.arch, row.date, f"``{row.auto}``",
               *(shown(row, column) for column in COLUMNS)) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    failed = [f"* {row.release}, {row.arch}: ``{test}``" for row in rows for test in row.failed]
    if failed:
        failed = ["Not passed:", "", *failed, ""]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, "", *failed])


def matrix(boot: Boot, chosen: list[str], record: Path, timeout: float, jobs: int) -> int:
    """Runs the chosen rows, or all, and records the table with what the others said the last time; 1 where a test
    failed."""
    names = {f"{kernel}-{arch}": (kernel, arch) for kernel, arch in ROWS}
    if unknown := set(chosen) - names.keys():
        raise Trouble(f"no such row: {' '.join(sorted(unknown))} (there are {' '.join(names)})")
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda name: examine(boot, *names[name], timeout), chosen or names))
    rows = [row_of(kernel, arch) for kernel, arch in ROWS]
    for row in rows:
        print(" ".join((row.release, row.arch, *(f"{name}: {shown(row, name)};" for name in COLUMNS))))
        print("".join(f"    {test}\n" for test in row.failed), end="")
    record.write_text(table(rows))
    return int(any(row.failed for row in rows))
