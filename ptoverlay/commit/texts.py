"""Texts that both the host and the layer have changed become one (`commit --merge`).

What a text was when the layer took its name over is kept by the core, in sandboxes with a name
(csrc/view/upper/base.c): WORK/bases/HASH holds its path in the lower, a NUL, and the text.

Rules: what was merged is written into the layer first and committed from there, so that whoever is killed in between
has lost nothing and merges again; a host's file that changes once more meanwhile is a conflict as ever.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from ptoverlay.commit.layout import FileIdentity, Layout, MergedTexts
from ptoverlay.history.fold import BASES
from ptoverlay.layer.changes import Change
from ptoverlay.layer.text import LARGEST, merged
from ptoverlay.layer.view import Stat

_FNV, _PRIME = 0xCBF29CE484222325, 0x100000001B3


def merge_texts(layout: Layout, conflict: Callable[[Layout, Change], str], *, dry_run: bool) -> MergedTexts:
    """Merges what is chosen and of which `conflict` says why it cannot be committed as it is.  dry_run: nothing is
    written."""
    found = MergedTexts()
    for path, change in layout.chosen.items():
        if change.new is None or change.old is None or change.old_path is None or not conflict(layout, change):
            continue
        host = layout.base.entry(change.old_path).lower_path
        now = os.lstat(host)
        text = _merged(layout, change, host, now)
        if isinstance(text, str):
            found.why[path] = text
            continue
        found.hosts[path] = identity(now)
        if not dry_run and text != layout.view.read(path):
            layout.view.write(path, text, os.O_TRUNC)
            found.written = True
    return found


def identity(status: os.stat_result) -> FileIdentity:
    """What no change of a file leaves as it is."""
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def kept_text(work: str, path: str) -> bytes | None:
    """What was kept of the text at a path of the lower; None: nothing."""
    name = os.fsencode(path)
    try:
        with open(os.path.join(work, BASES, _hash(name)), "rb") as file:
            there, _, text = file.read().partition(b"\0")
    except OSError:
        return None
    return text if there == name else None


def forget_texts(work: str, upper: str) -> None:
    """Throws away what was kept of names that the upper has not any more."""
    try:
        names = os.listdir(os.path.join(work, BASES))
    except FileNotFoundError:
        return
    for name in names:
        real = os.path.join(work, BASES, name)
        with open(real, "rb") as file:
            path, _, _ = file.read(LARGEST).partition(b"\0")
        if not os.path.lexists(os.path.join(os.fsencode(upper), path)):
            os.unlink(real)


def _merged(layout: Layout, change: Change, host: str, now: os.stat_result) -> bytes | str:
    """The text of both sides, or why there is none."""
    assert change.new is not None
    assert change.old_path is not None
    if not (stat.S_ISREG(now.st_mode) and change.new.is_file):
        return "only texts can be merged"
    if not _same_attributes(layout, change, change.new, now):
        return "both have changed its attributes"
    base = kept_text(layout.sandbox.work, layout.relative(change.old_path))
    if base is None:
        return "what it was before is not kept, so it cannot be merged"
    if max(now.st_size, change.new.size) > LARGEST:
        return "it is too large to be merged"
    with open(host, "rb") as file:
        ours = file.read()
    text = merged(base, ours, layout.view.read(change.path))
    return "both have changed the same lines" if text is None else text


def _same_attributes(layout: Layout, change: Change, new: Stat, now: os.stat_result) -> bool:
    """Whether the host's attributes are what they were, or the layer's."""
    has = now.st_mode, now.st_uid, now.st_gid
    base = layout.base_of(change.path)
    return has == (new.mode, new.uid, new.gid) or (base is not None and has == (base.mode, base.uid, base.gid))


def _hash(name: bytes) -> str:
    value = _FNV
    for byte in name:
        value = (value ^ byte) * _PRIME & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"
