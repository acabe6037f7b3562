"""The table of tools/programs is of all its programs, and they are as it reads them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from support.box import ROOT_DIRECTORY

pytestmark = pytest.mark.quick

PROGRAMS = sorted((ROOT_DIRECTORY / "tools/programs.d").glob("*.sh"))
KEYS = {"what", "packages", "commands", "env", "users", "traps", "ignore", "timeout"}


def test_the_table_names_each_program_and_a_date() -> None:
    text = (ROOT_DIRECTORY / "docs/programs.inc").read_text()
    assert re.match(r"Run on 20\d\d-\d\d-\d\d by ``tools/programs``", text)
    for path in PROGRAMS:
        assert re.search(rf"^{re.escape(path.stem)} |[ (]{re.escape(path.stem)} \(", text, re.MULTILINE), path.stem


def test_a_program_is_a_script_with_a_head() -> None:
    for path in PROGRAMS:
        head, run, work = path.read_text().partition("# run\n")
        keys = dict(line[2:].split(": ", 1) for line in head.partition("# prepare\n")[0].splitlines())
        assert (run, bool(work.strip())) == ("# run\n", True), path
        assert {"what", "packages"} <= keys.keys() <= KEYS, path
        assert subprocess.run(["sh", "-n", path], check=False).returncode == 0, path


def test_an_unknown_program_is_refused_in_words() -> None:
    done = subprocess.run([sys.executable, ROOT_DIRECTORY / "tools/programs.py", "no-such-program"], check=False,
                          capture_output=True, text=True)
    assert done.returncode == 2
    assert "no such program: no-such-program" in done.stderr
