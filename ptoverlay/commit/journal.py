"""The journal of a commit: what is to be done, written down before it is done, so that a killed commit can be finished.

It is one JSON file, WORK/commit/journal, replaced as a whole:

    staging   new objects are being made under names of their own; taking these away again undoes everything
    placing   every new object is complete and on the disk; the steps are carried out, each by a rename
    placed    every step was carried out or left out; what is left is to clean up, and to empty the upper

Paths in it are relative to the lower that is changed, except those in `drops`, which are relative to the upper.

Rules: a step names what it expects to find and what it puts there, by identity, so that carrying it out twice does no
harm; nothing is put where something unexpected is; a journal is an order, so that only one of our own is believed
(`distrust`), and what it says is checked as what anybody says.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ptoverlay import errors
from ptoverlay.errors import Failure
from ptoverlay.layer import private
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.state import write_whole

STAGING = "staging"
PLACING = "placing"
PLACED = "placed"

#: How the names of objects begin that a commit makes on the way.
PREFIX = ".ptoverlay-"
#: What a commit is known by.
NUMBER = re.compile("[0-9a-f]{12}")

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
    staged: where that name is made before the first step; source: where in the upper it is until then, if it is moved;
    found: what is expected at `path` (`signature`), None: nothing; made: identity of what comes there; before: the
    attributes that it has had, where that is to be known; ctime: when what is renamed, replaced, removed or given other
    attributes was last changed, in nanoseconds, where that is to be known."""

    kind: str
    path: str
    temporary: str = ""
    staged: str = ""
    source: str = ""
    found: str | None = None
    made: Identity | None = None
    attributes: Attributes | None = None
    before: Attributes | None = None
    ctime: int = 0


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
    prefix: of the overlay's own attributes; any_owner: owners that cannot be given are let be; keep: what is replaced
    or removed is kept (`kept.py`), and of the directories in `times` times_before and ctimes are known; name: whose
    changes these are."""

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
    keep: bool = False
    times_before: dict[str, int] = field(default_factory=dict)
    ctimes: dict[str, int] = field(default_factory=dict)
    name: str = ""

    # ---- on the disk

    @staticmethod
    def path(work: str) -> Path:
        return Path(work, "commit", "journal")

    def save(self, work: str) -> None:
        """Replaces the journal; it is on the disk when this returns."""
        path = self.path(work)
        path.parent.mkdir(0o700, exist_ok=True)
        status = path.parent.lstat()
        if not stat.S_ISDIR(status.st_mode) or (status.st_uid != os.geteuid() and not path.exists()):
            raise Failure(str(path.parent), "not a directory of ours", "remove it")
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
            journal = cls(**data)
            wrong = next(journal.wrong(), "")  # which meets what has another type in its own way
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Failure(str(path), "not the journal of a commit", "ptoverlay fsck tells more") from error
        if wrong:
            raise Failure(str(path), f"not the journal of a commit: {wrong}", "ptoverlay fsck tells more")
        return journal

    @classmethod
    def distrust(cls, work: str) -> str:
        """Why somebody else than we and root can have written it, "" if nobody can."""
        return errors.who_can_change(str(cls.path(os.path.realpath(work))))

    def wrong(self) -> Iterator[str]:
        """What cannot be from a commit: kinds, types, and paths that would lead out of the lower."""
        head = self.phase in (STAGING, PLACING, PLACED) and self.prefix in (private.TRUSTED, private.USER)
        if self.keep is not False and not (self.keep is True and NUMBER.fullmatch(self.id)):
            yield "what it keeps"
        if not isinstance(self.name, str):
            yield "its name"
        if not (head and isinstance(self.lower, str) and isinstance(self.id, str) and isinstance(self.any_owner, bool)):
            yield "its head"
        yield from (f"the step {step.path!r}" for step in self.steps if not self.is_sound(step))
        yield from (f"the entry {drop.path!r}" for drop in self.drops if not (
            is_inside(drop.path) and _are_numbers(drop.found, 3) and isinstance(drop.directory, bool)))
        times = (*self.times.items(), *self.times_before.items(), *self.ctimes.items())
        yield from (f"the time of {path!r}" for path, mtime in times
                    if not (_is_top_or_inside(path) and isinstance(mtime, int)))
        yield from (f"what was left out: {path!r}" for path, why in self.left_out.items()
                    if not (_is_top_or_inside(path) and isinstance(why, str)))
        yield from (f"the shared {path!r}" for path, _ in self.shared if not is_inside(path))
        yield from (f"the removed link {pair!r}" for pair in self.removed_links if not _are_numbers(pair, 2))

    def is_sound(self, step: Step) -> bool:
        """Whether a commit can have made this step."""
        ours = [name for name in (step.temporary, step.staged) if name != ""]
        moves = step.kind in (TAKE, PUT, REMOVE)
        return ((moves and is_inside(step.path) and step.temporary != "") or
                (step.kind == ATTRIBUTES and _is_top_or_inside(step.path) and not ours)) and \
            all(is_inside(name) and self.is_ours(name) for name in ours) and \
            (step.source == "" or (step.kind == PUT and is_inside(step.source))) and \
            (step.made is None or _are_numbers(step.made, 2)) and \
            isinstance(step.found, str | None) and isinstance(step.ctime, int) and \
            all(given is None or _are_attributes(given) for given in (step.attributes, step.before))

    def is_ours(self, name: str) -> bool:
        """Whether an object that waits bears a name that only a commit gives."""
        return name.rpartition("/")[2].startswith(f"{PREFIX}{self.id}-")

    def shown(self) -> list[str]:
        """What finishing it would still do, a line each."""
        if self.phase == STAGING:
            return [f"takes back {step.staged}" for step in self.steps if step.staged]
        lines = [f"{step.kind:<10} {step.path}{_shown(step.attributes)}" for step in self.steps]
        return lines + [f"{'empties':<10} {drop.path} in the upper" for drop in self.drops]

    @classmethod
    def remove(cls, work: str) -> None:
        """The commit has come to its end."""
        path = cls.path(work)
        path.unlink(missing_ok=True)
        _sync(path.parent)
        remove_tree(str(path.parent))  # also what is left of a journal that was never whole


def is_inside(path: Any) -> bool:
    """Whether a path stays below where it begins: relative, and made of names alone."""
    return isinstance(path, str) and "\0" not in path and all(name not in ("", ".", "..") for name in path.split("/"))


def _are_numbers(found: Any, count: int) -> bool:
    return isinstance(found, list) and len(found) == count and all(
        isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in found[:2])


def _is_top_or_inside(path: Any) -> bool:
    return path == "" or is_inside(path)


def _are_attributes(found: Attributes) -> bool:
    ids = (found.mode, found.uid, found.gid)
    return all(isinstance(number, int) and 0 <= number < 1 << 32 for number in ids) and found.mode < 0o10000 and \
        all(isinstance(time, int | None) for time in (found.atime, found.mtime)) and \
        all(bytes.fromhex(value) is not None for value in (found.xattrs or {}).values())


def _shown(attributes: Attributes | None) -> str:
    if attributes is None:
        return ""
    return f" (mode {attributes.mode:04o}, owner {attributes.uid}:{attributes.gid})"


def _step(data: dict[str, Any]) -> Step:
    given = {name: data.pop(name, None) for name in ("attributes", "before")}
    step = Step(**data)
    for name, found in given.items():
        if found is not None:
            setattr(step, name, Attributes(**found))
    return step


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
