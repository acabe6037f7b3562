"""What two sides have made of one text, as one: by lines, as git merge does it.

Rules: what both have changed at one place, in ways that differ, is never guessed; what is no text, or too much of it,
is not merged.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

LARGEST = 4 << 20  # bytes of a text
_LOOKED_AT = 8000  # as git tells text from other files


def is_text(data: bytes) -> bool:
    return len(data) <= LARGEST and b"\0" not in data[:_LOOKED_AT]


def merged(base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    """Both sides' changes of `base`; None where they meet, and of what is no text."""
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    if not all(map(is_text, (base, ours, theirs))):
        return None
    from merge3 import Merge3

    out: list[bytes] = []
    old, one, other = (text.splitlines(keepends=True) for text in (base, ours, theirs))
    for group in Merge3(old, one, other).merge_groups():
        if group[0] == "conflict":
            return None
        out += group[1]
    return b"".join(out)
