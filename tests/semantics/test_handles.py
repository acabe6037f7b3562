"""name_to_handle_at and open_by_handle_at: what the kernel's overlayfs answers.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import pytest
from support.world import World


@pytest.mark.root_only
def test_handles(world: World) -> None:
    """Objects can be told apart by handles (AT_HANDLE_FID), which a copy-up does not change, and none can be opened."""
    world.lay_out_standard()
    program = [world.subjects.path("handles"), world.mount]
    kernel = world.kernel().check(program, env=world.env)
    assert "file 200 128 = 0\n" in kernel
    assert world.box().check(program, env=world.env) == kernel
