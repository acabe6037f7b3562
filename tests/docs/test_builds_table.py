"""The builds of tools/builds are as it reads them, and their table is of a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.box import ROOT_DIRECTORY

pytestmark = pytest.mark.quick

BUILDS = ROOT_DIRECTORY / "tools/builds.d"


def builds() -> list[list[str]]:
    lines = (BUILDS / "packages").read_text().splitlines()
    return [line.split() for line in lines if not line.startswith("#")]


def test_each_build_is_of_a_kind() -> None:
    """And each kind is a script that says what it does and needs."""
    kinds = {kind for _, kind, *_ in builds()}
    assert {path.stem for path in BUILDS.glob("*.sh")} == kinds
    for kind in kinds:
        what, packages, *_ = (BUILDS / f"{kind}.sh").read_text().splitlines()
        assert (what[:8], packages[:12]) == ("# what: ", "# packages: ")
        assert subprocess.run(["sh", "-n", BUILDS / f"{kind}.sh"], check=False).returncode == 0
    names = [(source, kind) for source, kind, *_ in builds()]
    assert len(names) == len(set(names)) >= 30


def test_the_table_is_of_a_run_of_these() -> None:
    text = (ROOT_DIRECTORY / "docs/builds.inc").read_text()
    assert re.match(r"Run on 20\d\d-\d\d-\d\d by ``tools/builds``", text)
    rows = [line.split() for line in text.split("\n=")[2].splitlines()[1:]]
    assert rows
    assert [row[:2] for row in rows if (row[0], row[1]) not in {(one, kind) for one, kind, *_ in builds()}] == []


def test_an_unknown_package_is_refused_in_words() -> None:
    done = subprocess.run([sys.executable, ROOT_DIRECTORY / "tools/builds.py", "no-such-package"], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such package or kind: no-such-package" in done.stderr
