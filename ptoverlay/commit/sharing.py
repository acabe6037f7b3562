"""Which files of an upper can become the lower's as they are, by one more name, in place of a copy.

Nothing is read or written then, and nothing has to be freed when the upper's name goes.

Rules: a file is shared only if it is all that the view shows, it belongs to who commits, and nobody can write to it any
more; it has one name, so that none in the upper stays behind.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat

from ptoverlay.commit import kernel
from ptoverlay.commit.layout import Layout
from ptoverlay.layer.private import OWN, SINCE, is_private
from ptoverlay.layer.view import Stat

_OF_A_COPY = ("origin", f"{OWN}base", f"{OWN}kept", SINCE)


class Shareable:
    """Asked with a path of the view, its status there, and a descriptor of its file for reading."""

    def __init__(self, layout: Layout) -> None:
        self._held = layout.held
        self._prefix = layout.prefix
        self._root = os.geteuid() == 0

    def __call__(self, path: str, shown: Stat, fd: int) -> bool:
        held = self._held.get(path)
        if held is None or held.entry.upper != stat.S_IFREG:
            return False
        real = os.fstat(fd)
        same = (real.st_ino, real.st_mode, real.st_uid, real.st_gid, real.st_size, real.st_mtime_ns) == \
            (held.status.st_ino, shown.mode, shown.uid, shown.gid, shown.size, shown.mtime)
        ours = real.st_uid == os.geteuid() and (self._root or bool(real.st_mode & stat.S_IWUSR))
        return same and ours and real.st_nlink == 1 and self._marks_can_go(fd) and not kernel.is_written(fd)

    def _marks_can_go(self, fd: int) -> bool:
        """Whether the private attributes say nothing but whose copy it is."""
        try:
            names = os.listxattr(fd)
        except OSError:
            return False
        return all(name.removeprefix(self._prefix) in _OF_A_COPY for name in names if is_private(name))
