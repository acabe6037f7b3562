"""After a kill at any call of the view the next run finds the old state or the new one, and nothing stray.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support import faults
from support.oracle import Who


def test_killed_at_every_call(fault_points: Path, who: Who) -> None:
    """Each scenario of faults.c ends at each of its calls."""
    faults.check(fault_points, [], "crash", who=who)


@pytest.mark.root_only
def test_killed_with_user_attributes(fault_points: Path) -> None:
    """The same for root with user.overlay.* attributes."""
    faults.check(fault_points, ["-u"], "crash", "rename", "chmod", "unlink")


@pytest.mark.root_only
def test_killed_with_metacopy(fault_points: Path) -> None:
    """Changes of attributes and names that leave the data in the lower."""
    faults.check(fault_points, ["-m"], "crash", "chmod", "rename")
