"""Tells whether the host changed something since a layer took it over.

The core keeps beside a copied-up object what the lower was then: identity, mode, owner, size, mtime.  Where nothing is
kept (whiteouts, layers of other makers) the birth time of the upper's object, or what a copy says of its original's,
tells when it was taken over, and the lower's ctime, which nobody can set, when it was last changed.

Rules: in doubt it has changed; what the host and the layer have in common is no conflict, whatever the times say.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ptoverlay.commit import kernel
from ptoverlay.commit.tree import Tree
from ptoverlay.layer import private
from ptoverlay.layer.view import Entry


@dataclass(frozen=True, slots=True)
class Base:
    """What a lower object was at its copy-up (store_base() of csrc/view/upper/copy_up.c); mtime in nanoseconds."""

    ino: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int


#: When a layer that others lie on is changed: what is done with it, as to copy it with its files' names, is no change.
NEVER = 1 << 63
#: What counts instead of what is kept beside an object, by its inode number.
_instead: dict[int, bytes | None] = {}


@contextmanager
def counting(instead: dict[int, bytes | None]) -> Iterator[None]:
    """Meanwhile this counts: of a copy that shares its files with layers that lie on each other."""
    _instead.update(instead)
    try:
        yield
    finally:
        _instead.clear()


def base_of(upper: str, prefix: str) -> Base | None:
    """What is kept beside an object of the upper; prefix: of the private attributes.  None when nothing is."""
    try:
        kept = _instead.get(os.lstat(upper).st_ino, b"") if _instead else b""
        if kept == b"":
            kept = os.getxattr(upper, f"{prefix}ptoverlay.base", follow_symlinks=False)
        if kept is None:
            return None
        text = kept.decode("ascii")
        _, ino, mode, uid, gid, size, seconds, nanoseconds = text.split(":")
        return Base(int(ino), int(mode, 8), int(uid), int(gid), int(size), int(seconds) * 10**9 + int(nanoseconds))
    except (OSError, ValueError):
        return None


def since(entry: Entry, upper: str, prefix: str) -> int | None:
    """When the upper took the path over, in nanoseconds; None when that cannot be told.  prefix: of the private
    attributes."""
    try:
        status = os.lstat(entry.upper_path)
        if entry.whiteout:
            return status.st_mtime_ns  # one inode may be the whiteout of many names: its first use
        born = kernel.birth_time(entry.upper_path)
        if born is None:
            return None
        names = os.listxattr(entry.upper_path, follow_symlinks=False)
        if prefix + private.SINCE in names:
            told = os.getxattr(entry.upper_path, prefix + private.SINCE, follow_symlinks=False)
            return min(born, int(told))
        bare = not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))
        return min(born, status.st_mtime_ns) if bare and prefix + private.COPIED in os.listxattr(upper) else born
    except (OSError, ValueError):
        return None


def file_changed(base: Base | None, now: os.stat_result, taken: int | None) -> str:
    """Why a lower object that is no directory must be taken as changed, "" if it has not."""
    if base is not None and base.ino != now.st_ino:
        # Another object: the host has put it there, or the layer has put a copy of something else in its place.
        return "replaced on the host since" if taken is None or now.st_ctime_ns > taken else ""
    if base is not None:
        if (base.size, base.mtime) != (now.st_size, now.st_mtime_ns):
            return "modified on the host since"
        if (base.mode, base.uid, base.gid) != (now.st_mode, now.st_uid, now.st_gid):
            return "its attributes were changed on the host since"
    if taken is None:
        return "" if base is not None else "cannot be told from what the host has had before"
    return "changed on the host since" if now.st_ctime_ns > taken else ""


def directory_changed(base: Base | None, now: os.stat_result, taken: int | None) -> str:
    """The same for the attributes of a directory, whose times say nothing about them."""
    if base is not None and base.ino == now.st_ino:
        same = (base.mode, base.uid, base.gid) == (now.st_mode, now.st_uid, now.st_gid)
        return "" if same else "its attributes were changed on the host since"
    return "changed on the host since" if taken is None or now.st_ctime_ns > taken else ""


def tree_changed(tree: Tree, path: str, taken: int | None, left_out: Callable[[str], bool]) -> str:
    """The same for what is about to be removed, with all that is below it; left_out: what is not removed with it."""
    for here, status in tree.walk(path):
        if left_out(here):
            continue
        if taken is None:
            return "cannot be told from what the host has had before"
        if status.st_ctime_ns > taken:
            return "changed on the host since" if here == path else f"{here} was changed on the host since"
    return ""


def removable(tree: Tree, path: str) -> str:
    """Why a tree cannot be removed by this user, "" if it can."""
    for here, status in tree.walk(path):
        if stat.S_ISDIR(status.st_mode) and status.st_uid != os.geteuid() and not tree.writable(here):
            return f"no permission to remove what is in {here or '.'}"
    return ""


def signature(tree: Tree, path: str, left_out: Callable[[str], bool]) -> str | None:
    """What is there, so that any change shows; None: nothing.  Renaming it does not show."""
    digest = hashlib.sha256()
    found = False
    for here, status in tree.walk(path):
        if left_out(here):
            continue
        found = True
        contents = () if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
        shown = (here[len(path):], status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), *contents)
        digest.update(repr(shown).encode("utf-8", "surrogateescape"))
    return digest.hexdigest() if found else None
