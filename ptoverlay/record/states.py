"""What is at a path: what an input was, and is.

Rules: a state says all that an answer to the questions could have told, but for what differs between any two copies of
a tree (inode numbers, times of access and of change, sizes and times of directories).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ptoverlay.layer.changes import TYPE_NAMES
from ptoverlay.record.asked import READING, Question
from ptoverlay.record.digests import Digests

ABSENT = "absent"
UNREADABLE = "unreadable"  # what is there, or whether, is not for us to know


@dataclass(frozen=True, slots=True)
class State:
    """mode: permission bits; size, mtime (nanoseconds): of a file; digest: sha256 of a file's bytes, or of a list of
    names, "" where nobody asked for it; target: of a symlink; device: of a device node."""

    type: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    digest: str = ""
    target: str = ""
    device: int = 0


Real = Callable[[str], str]  # the real path of a path of the view; OSError where there is nothing
Names = Callable[[str], list[str]]  # what a directory of the view holds


class States:
    """Looks at the layers that a run began with.  real, names: where they have a path and what they list; None: as the
    host has it."""

    def __init__(self, digests: Digests, real: Real | None = None, names: Names | None = None) -> None:
        self._digests = digests
        self._real = real
        self._names = names

    def real(self, path: str) -> str:
        """Where the layers have it; OSError where they have nothing."""
        return self._real(path) if self._real is not None else path

    def of(self, path: str, questions: Collection[Question]) -> State:
        """What is there, as far as these questions tell."""
        reads = not READING.isdisjoint(questions)
        try:
            real = self.real(path)
            status = os.lstat(real)
            return self._state(path, real, status, reads)
        except OSError as error:
            return State(ABSENT if error.errno in (errno.ENOENT, errno.ENOTDIR) else UNREADABLE)

    def _state(self, path: str, real: str, status: os.stat_result, reads: bool) -> State:
        kind = stat.S_IFMT(status.st_mode)
        size = mtime = device = 0
        digest = target = ""
        if kind == stat.S_IFREG:
            size, mtime = status.st_size, status.st_mtime_ns
            digest = self._digest(real, status) if reads else ""
        elif kind == stat.S_IFDIR:
            digest = self._listing(path, real) if reads else ""
        elif kind == stat.S_IFLNK:
            target = os.readlink(real)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            device = status.st_rdev
        mode = 0 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
        return State(TYPE_NAMES.get(kind, "unknown"), mode, status.st_uid, status.st_gid, size, mtime, digest, target,
                     device)

    def _digest(self, real: str, status: os.stat_result) -> str:
        try:
            return self._digests.sha256(real, status)
        except PermissionError:
            return UNREADABLE

    def _listing(self, path: str, real: str) -> str:
        try:
            names = self._names(path) if self._names is not None else sorted(os.listdir(real))
        except PermissionError:
            return UNREADABLE
        return hashlib.sha256(b"\0".join(map(os.fsencode, names))).hexdigest()
