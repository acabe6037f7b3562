"""What an upper has on the disk: each object's status and the names of its extended attributes, read once.

    with Tree(sandbox.upper) as tree:
        survey = Survey.of(tree)
        survey["a/b"].status.st_size, survey["a/b"].names

Whoever looks through a whole layer for something of its own (fsck, a commit) asks this in place of the disk; a layer of
many small files takes most of its time in being asked again.

Rules: it is true only as long as nobody changes the layer, whose lock is held meanwhile; no symlink is followed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple, Self

from ptoverlay.commit.tree import Tree
from ptoverlay.layer.private import is_private

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Seen(NamedTuple):
    """An object.  names: of all its attributes; private: of those that an overlay keeps for itself."""

    status: os.stat_result
    names: tuple[str, ...] = ()
    private: tuple[str, ...] = ()

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)


class Survey(dict[str, Seen]):
    """Objects by their paths in the layer, "" for its top; a directory before what is in it, names in order.

    inside: the names in each directory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inside: dict[str, list[str]] = {}

    @classmethod
    def of(cls, tree: Tree) -> Self:
        """Reads all.  OSError when something cannot be read."""
        survey = cls()
        status = tree.lstat("")
        if status is None:
            return survey
        survey[""] = _seen(status, tree.real(""))
        todo = [""]
        while todo:
            path = todo.pop()
            todo += survey._directory(tree, path)
        return survey

    def seen(self, path: str, real: str) -> Seen:
        """An object, which the layer has at `real`: elsewhere for a name that only stands for it, in a view that makes
        no names (csrc/view/upper/links.c)."""
        found = self.get(path)
        return found if found is not None else _seen(os.lstat(real), real)

    def _directory(self, tree: Tree, path: str) -> list[str]:
        """Takes in what is in a directory; returns the paths of directories there."""
        parent, name = tree.at(path)
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        real, below = f"/proc/self/fd/{fd}/", f"{path}/" if path else ""
        try:
            with os.scandir(fd) as entries:
                names = sorted(entries, key=lambda entry: entry.name)
            for entry in names:
                self[below + entry.name] = _seen(entry.stat(follow_symlinks=False), real + entry.name)
        finally:
            os.close(fd)
        self.inside[path] = [entry.name for entry in names]
        return [below + entry.name for entry in names if entry.is_dir(follow_symlinks=False)]


def _seen(status: os.stat_result, real: str) -> Seen:
    try:
        names = os.listxattr(real, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        names = []
    if not names:
        return Seen(status)
    return Seen(status, tuple(names), tuple(name for name in names if is_private(name)))
