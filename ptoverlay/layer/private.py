"""Names that an overlay keeps for itself: of attributes, and of the files that are whiteouts in layers of images.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

TRUSTED = "trusted.overlay."
USER = "user.overlay."
#: How the names begin of those that only ptoverlay reads, after the prefix.
OWN = "ptoverlay."
#: Of an object that is the copy of one of a layer: when that one took the path over (commit/conflicts.py), nanoseconds.
SINCE = f"{OWN}since"
#: Of a layer's top: others' layers were copied into it, and what takes no attributes cannot say when it was made.
COPIED = f"{OWN}copied"
#: Of an upper's top: a fake root has changed it (FAKED_MARK of csrc/view/layers/layers.h).
FAKED = f"{OWN}faked"
#: Of an object: owner and mode that it shows, and that its maker could not give it (PRIVATE_SHOWN of
#: csrc/view/layers/layers.h).
KEPT = f"{OWN}kept"
#: How the names of whiteouts begin in an image's layers, and the name of the one that makes its directory opaque
#: (OCI image-spec, layer.md).
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_CAP_SYS_ADMIN = 21  # linux/capability.h


def prefix(*, userxattr: bool) -> str:
    """The prefix that the core uses: trusted.overlay. where the kernel lets this user, else user.overlay.
    (choose_prefix() of csrc/view/super/lay.c).  Nothing is written to find out."""
    return USER if userxattr or not _may_trust() else TRUSTED


def _may_trust() -> bool:
    """Whether this process has CAP_SYS_ADMIN, and not only in a user namespace."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next((int(line.split()[1], 16) for line in file if line.startswith("CapEff:")), 0)
    with open("/proc/self/uid_map", encoding="ascii") as file:
        everybody = file.read().split() == ["0", "0", "4294967295"]
    return bool(effective >> _CAP_SYS_ADMIN & 1) and everybody


def is_faked(layer: str | os.PathLike[str]) -> bool:
    """Whether a fake root has changed the layer."""
    try:
        return bool(os.getxattr(layer, USER + FAKED))
    except OSError:
        return False


def is_private(name: str) -> bool:
    """Whether an attribute is an overlay's own, under either prefix."""
    return name.startswith((TRUSTED, USER))
