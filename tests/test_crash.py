"""After a kill at any call of the view the next run finds the old state or the new one, and nothing stray.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import faults


@pytest.fixture(scope="module")
def program(base: Path) -> Path:
    """The fault points."""
    return faults.build(base / "crash-points")


@pytest.mark.parametrize("options", [[], ["-u"]], ids=["trusted", "user"])
def test_killed_at_every_call(program: Path, options: list[str]) -> None:
    """Each scenario of faults.c ends at each of its calls, with both kinds of private attributes."""
    faults.check(program, options, "crash")
