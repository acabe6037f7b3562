"""Names of the attributes that an overlay keeps for itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

TRUSTED = "trusted.overlay."
USER = "user.overlay."
#: How the names begin of those that only ptoverlay reads, after the prefix.
OWN = "ptoverlay."


def prefix(directory: str, *, userxattr: bool) -> str:
    """The prefix that the core uses for layers in this directory: trusted.overlay. where the kernel lets this user,
    else user.overlay. (choose_prefix() of csrc/view/super.c)."""
    if userxattr or os.geteuid() != 0:
        return USER
    try:
        os.setxattr(directory, f"{TRUSTED}probe", b"y")
        os.removexattr(directory, f"{TRUSTED}probe")
    except PermissionError:
        return USER  # root of a user namespace
    except OSError:
        pass
    return TRUSTED


def is_private(name: str) -> bool:
    """Whether an attribute is an overlay's own, under either prefix."""
    return name.startswith((TRUSTED, USER))
