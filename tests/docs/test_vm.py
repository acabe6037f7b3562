"""tools/vm, tools/pythons and tools/wheels: their tables say what was found, and those in docs/ name all that there is;
packages that are left for another machine to configure.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY as TOP

sys.path.insert(0, str(TOP / "tools"))

import pythons
import wheels
from guest import Trouble, matrix, packages

pytestmark = pytest.mark.quick

SAID = """2026-01-02
6.1.0-50-arm64
auto ptrace
....F
PASSED tests/a/test_a.py::test_one[root-ptrace]
PASSED tests/a/test_a.py::test_one[user-ptrace]
PASSED tests/a/test_a.py::test_two[ptrace]
PASSED tests/a/test_a.py::test_three[a word - and more]
FAILED tests/a/test_a.py::test_one[root-notify] - AssertionError: not 5 - 3
1 failed, 4 passed in 9.99s
"""


def test_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column has its tests; what failed is named; nothing where a trap is refused."""
    monkeypatch.setattr(matrix, "CACHE", tmp_path)
    (tmp_path / "matrix-6.1-arm64.txt").write_text(SAID)
    row = matrix.row_of("6.1", "arm64")
    assert row.failed == ["tests/a/test_a.py::test_one[root-notify]"]
    lines = matrix.table([row]).splitlines()
    cells = [line.split("  ") for line in (lines[1], lines[3])]
    told = dict(zip(*([word.strip() for word in line if word.strip()] for line in cells), strict=True))
    assert told == {"Linux": "6.1", "release": "6.1.0-50-arm64", "machine": "arm64", "run on": "2026-01-02",
                    "``auto`` takes": "``ptrace``", "ptrace, root": "all 2", "ptrace, user": "all 1",
                    "notify, root": "0 of 1", "notify, user": "refused", "other tests": "all 1"}
    assert lines[-1] == "* 6.1.0-50-arm64, arm64: ``tests/a/test_a.py::test_one[root-notify]``"


def test_a_guest_that_ran_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no row."""
    monkeypatch.setattr(matrix, "CACHE", tmp_path)
    (tmp_path / "matrix-6.1-arm64.txt").write_text("2026-01-02\n6.1.0\nauto ptrace\nno tests ran\n")
    with pytest.raises(Trouble, match="the tests did not run:\nauto ptrace\nno tests ran"):
        matrix.row_of("6.1", "arm64")


def test_the_table_of_pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the root has and how many passed; a suite that was not run says so."""
    monkeypatch.setattr(pythons, "CACHE", tmp_path)
    (tmp_path / "said-sid.txt").write_text("2026-01-02\nhas 3.14.1\nhas gcc 15.2.0\nhas glibc 2.42\n" + SAID)
    assert pythons.row_of("trixie")[0] == ("3.13", "trixie", "-", "-", "not run", "-")
    assert pythons.row_of("sid") == (("3.14.1", "sid", "gcc 15.2.0", "glibc 2.42", "2026-01-02", "4 of 5"),
                                       ["tests/a/test_a.py::test_one[root-notify]"])
    assert pythons.table().splitlines()[-1] == "* 3.14.1: ``tests/a/test_a.py::test_one[root-notify]``"


def test_the_table_of_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes, when it was made, and where it was tried."""
    monkeypatch.setattr(wheels, "CACHE", tmp_path)
    (tmp_path / "said-musllinux_1_2_x86_64.txt").write_text("600,001\n2026-01-02\nmusl 1.2, Python 3.11\n")
    lines = [re.split("  +", line.rstrip()) for line in wheels.table().splitlines()]
    assert ["musllinux_1_2_x86_64", "600,001", "2026-01-02", "musl 1.2, Python 3.11"] in lines
    assert ["musllinux_1_2_aarch64", "-", "-", "-"] in lines


def test_the_tables_of_the_page() -> None:
    """Each wheel and each Python is there, with a date or as not run."""
    text = (TOP / "docs/wheels.inc").read_text()
    made = re.findall(r"^(\w+linux\w+) +(?:[\d,]+ +20\d\d-\d\d-\d\d|- +-) ", text, re.MULTILINE)
    assert made == [target.platform for target in wheels.TARGETS]
    text = (TOP / "docs/pythons.inc").read_text()
    suites = re.findall(r"^3\.\d[\d.]* +(\w+) .*(?:20\d\d-\d\d-\d\d|not run) ", text, re.MULTILINE)
    assert suites == [*pythons.SUITES]


def test_unpacked(tmp_path: Path) -> None:
    """What dpkg reads of a package is there, by the names that it has for those of several machines."""
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True)
    (source / "usr/share/some").mkdir(parents=True)
    (source / "usr/share/some/file").write_text("content\n")
    (source / "DEBIAN/postinst").write_text("#!/bin/sh\n")
    (source / "DEBIAN/postinst").chmod(0o755)
    (source / "DEBIAN/control").write_text("Package: some\nVersion: 1-1\nArchitecture: arm64\nMulti-Arch: same\n"
                                           "Maintainer: N <n@example.org>\nDescription: some\n of it\n")
    deb, root = tmp_path / "some.deb", tmp_path / "root"
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", source, deb], check=True, capture_output=True)
    packages.unpack([deb], root)
    info = root / "var/lib/dpkg/info"
    assert (root / "usr/share/some/file").read_text() == "content\n"
    assert (info / "some:arm64.list").read_text() == "/.\n/usr\n/usr/share\n/usr/share/some\n/usr/share/some/file\n"
    assert (info / "some:arm64.postinst").exists()
    assert not (info / "some:arm64.control").exists()
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version} ${Status}"]
    done = subprocess.run(query, capture_output=True, text=True, check=True)
    assert done.stdout == "some 1-1 install ok unpacked"
