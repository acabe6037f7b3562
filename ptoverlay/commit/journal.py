"""The journal of a commit: what is to be done, written down before it is done, so that a killed commit can be finished.

It is one JSON file, WORK/commit/journal, replaced as a whole:

    staging   new objects are being made under names of their own; taking these away again undoes everything
    placing   every new object is complete and on the disk; the steps are carried out, each by a rename
    placed    every step was carried out or left out; what is left is to clean up, and to empty the upper

Paths in it are relative to the lower that is changed, except those in `drops`, which are relative to the upper.

Rules: a step names what it expects to find and what it puts there, by identity, so that carrying it out twice does no
harm; nothing is put where something unexpected is.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptoverlay.errors import Failure
from ptoverlay.remove import remove_tree
from ptoverlay.sandbox import write_whole

STAGING = "staging"
PLACING = "placing"
PLACED = "placed"

#: How the names of objects begin that a commit makes on the way.
PREFIX = ".ptoverlay-"

# Kinds of steps.
TAKE = "take"  # a renamed object leaves its old place and waits at `temporary`
PUT = "put"  # what waits at `temporary` comes to `path`, in the place of what is there
REMOVE = "remove"  # what is at `path` goes away
ATTRIBUTES = "attributes"  # what is at `path` gets other attributes

Identity = list[int]  # [st_dev, st_ino]
Shared = tuple[str, int]  # path, st_ino


@dataclass
class Attributes:
    """What an object gets.  mode: permission bits; times in nanoseconds, None to leave them; xattrs: name → value in
    hexadecimal, None to leave them."""

    mode: int
    uid: int
    gid: int
    atime: int | None = None
    mtime: int | None = None
    xattrs: dict[str, str] | None = None


@dataclass
class Step:
    """One step.  path: where, after the steps before it; temporary: the name it waits under, or is put away under;
    staged: where that name is made before the first step; found: what is expected at `path` (`signature`), None:
    nothing; made: identity of what comes there."""

    kind: str
    path: str
    temporary: str = ""
    staged: str = ""
    found: str | None = None
    made: Identity | None = None
    attributes: Attributes | None = None


@dataclass
class Drop:
    """An entry of the upper that is of no use any more.  found: [st_ino, st_size, mtime in nanoseconds], the last two 0
    for a directory, so that what was changed meanwhile stays."""

    path: str
    directory: bool
    found: list[int]


@dataclass
class Journal:
    """What one commit does.  staged_in: directories in which new objects are made, with their mtimes before;
    shared: files that are the upper's own, with one more name: [path, st_ino]; their private attributes go at the end;
    times: modification times that directories get at the end; left_out: paths of steps that
    found something unexpected; removed_links: identities of files with more names of which one goes;
    prefix: of the overlay's own attributes; any_owner: owners that cannot be given are let be."""

    id: str
    lower: str
    phase: str = STAGING
    steps: list[Step] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    staged_in: dict[str, int] = field(default_factory=dict)
    shared: list[Shared] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    removed_links: list[Identity] = field(default_factory=list)
    prefix: str = ""
    any_owner: bool = False

    # ---- on the disk

    @staticmethod
    def path(work: str) -> Path:
        return Path(work, "commit", "journal")

    def save(self, work: str) -> None:
        """Replaces the journal; it is on the disk when this returns."""
        path = self.path(work)
        path.parent.mkdir(0o700, exist_ok=True)
        write_whole(path, json.dumps(vars(self), default=vars).encode("utf-8", "surrogateescape"))
        _sync(path.parent)

    @classmethod
    def load(cls, work: str) -> Journal | None:
        """The journal of a commit that did not end, None when there is none."""
        path = cls.path(work)
        try:
            data = json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
            data["steps"] = [_step(step) for step in data["steps"]]
            data["shared"] = [(str(shared), int(ino)) for shared, ino in data.get("shared", [])]
            data["drops"] = [Drop(**drop) for drop in data["drops"]]
            return cls(**data)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise Failure(str(path), "not the journal of a commit", "ptoverlay fsck tells more") from error

    @classmethod
    def remove(cls, work: str) -> None:
        """The commit has come to its end."""
        path = cls.path(work)
        path.unlink(missing_ok=True)
        _sync(path.parent)
        remove_tree(str(path.parent))  # also what is left of a journal that was never whole


def _step(data: dict[str, Any]) -> Step:
    given = data.pop("attributes")
    step = Step(**data)
    if given is not None:
        step.attributes = Attributes(**given)
    return step


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
