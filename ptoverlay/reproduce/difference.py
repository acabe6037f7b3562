"""Where two things that were made differ first.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import shutil
import stat
import subprocess

from ptoverlay.layer.changes import TYPE_NAMES
from ptoverlay.reproduce.trial import Item

_CHUNK = 1 << 16
_BEFORE = 16  # bytes that are shown before the first that differs
_SHOWN = 32
_PATIENCE = 120  # seconds for diffoscope
_MOST = 100_000  # characters of what it says


def first_difference(old: Item | None, new: Item | None) -> str:
    """In words."""
    if old is None or new is None:
        return "only without the variation" if new is None else "only with the variation"
    if old.type != new.type:
        return f"{TYPE_NAMES.get(old.type, '?')}, then {TYPE_NAMES.get(new.type, '?')}"
    if old.target != new.target:
        return f"leads to {old.target}, then to {new.target}"
    if old.digest != new.digest:
        return _bytes(old.real, new.real)
    return f"mode {old.mode:04o}, then {new.mode:04o}"


def _bytes(old: str, new: str) -> str:
    at = _first_byte(old, new)
    return f"byte {at}: {_around(old, at)} / {_around(new, at)}"


def _first_byte(old: str, new: str) -> int:
    at = 0
    with open(old, "rb") as a, open(new, "rb") as b:
        while True:
            left, right = a.read(_CHUNK), b.read(_CHUNK)
            if left != right or not left:
                same = next((i for i, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]),
                            min(len(left), len(right)))
                return at + same
            at += len(left)


def _around(path: str, at: int) -> str:
    """What is there, as text where it is text."""
    begin = max(at - _BEFORE, 0)
    with open(path, "rb") as file:
        file.seek(begin)
        data = file.read(_SHOWN)
    if at - begin >= len(data):
        return "the end"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in data):
        return repr(data.decode("ascii"))
    return data[at - begin:].hex(" ")


def diffoscope(old: Item | None, new: Item | None) -> str:
    """What diffoscope says of two files; "" where it is not there, or says nothing."""
    program = shutil.which("diffoscope")
    if program is None or old is None or new is None or stat.S_IFMT(old.type) != stat.S_IFREG or old.type != new.type:
        return ""
    try:
        done = subprocess.run([program, "--text", "-", "--no-progress", old.real, new.real], capture_output=True,
                              timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")[:_MOST]
