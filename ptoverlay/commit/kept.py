"""What commits have replaced and removed on the host, and what takes them back.

Below the user's state directory, closed to others:

    ptoverlay/commits/ID/record.json    `HostCommit`: what it has done
                         kept/          what was there before, each under the name that it had on the way
                         commit/        the journal of taking it back, while that is going on
                      stamps.json       `Stamps`

What cannot be moved there, on another file system, is moved aside into a directory beside its place, DIR/.ptoverlay-ID,
which nobody else can enter; and what cannot be moved there either keeps the name that it had on the way.

Rules: a record is written when all of it is true; what is kept is never written to, only moved; no name here comes from
anywhere else than a commit's own number.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ptoverlay import errors
from ptoverlay.commit import attributes, kernel
from ptoverlay.commit.journal import ATTRIBUTES, NUMBER, PREFIX, PUT, REMOVE, TAKE, Attributes, Journal, Step
from ptoverlay.commit.placing import ASIDE, move
from ptoverlay.commit.tree import Tree, join, mapped, split
from ptoverlay.errors import Failure
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.sandbox import state_directory

_FILE, _KEPT, _STAMPS = "record.json", "kept", "stamps.json"
_MOST = 100_000  # stamps
_VERSION = 1
#: Commits that can be taken back, the last ones.
KEEP = 50
_COARSE = 5  # CLOCK_REALTIME_COARSE, linux/time.h: what the kernel stamps files with
_TICK = 0.001  # seconds


@dataclass
class Kept:
    """Something that was there before.  name: in kept/, or with tree in the tree; made: [st_dev, st_ino]; ctime: when
    it was last changed."""

    name: str
    tree: bool
    made: list[int]
    ctime: int = 0


@dataclass
class Done:
    """One thing that a commit has done.  path: where; old: where it was, of what was renamed; made: identity of what it
    has put there, or changed, None where something is gone; kept: what was there; before, now: attributes; ctime:
    when what was renamed, or got other attributes, was last changed before."""

    path: str
    old: str | None = None
    made: list[int] | None = None
    kept: Kept | None = None
    before: Attributes | None = None
    now: Attributes | None = None
    ctime: int = 0


@dataclass
class HostCommit:
    """What one commit has done.  when: nanoseconds since 1970, as all times; mark: when the host was as it left it;
    turned: when it was done, taken back, or done again; turns: how often; times, ctimes: of directories,
    before."""

    id: str
    name: str
    lower: str
    prefix: str
    when: int
    mark: int = 0
    undone: bool = False
    turned: int = 0
    turns: int = 0
    done: list[Done] = field(default_factory=list)
    times: dict[str, int] = field(default_factory=dict)
    ctimes: dict[str, int] = field(default_factory=dict)
    version: int = _VERSION

    @property
    def directory(self) -> Path:
        return directory_of(self.id)

    def save(self) -> None:
        """Writes it down; from now on what the host changes shows."""
        os.utime(self.directory)
        self.mark = os.stat(self.directory).st_ctime_ns
        self.turned = time.time_ns()
        text = json.dumps(vars(self), default=vars)
        state.write_whole(self.directory / _FILE, text.encode("utf-8", "surrogateescape"))
        while time.clock_gettime_ns(_COARSE) <= self.mark:
            time.sleep(_TICK)

    @classmethod
    def load(cls, number: str) -> HostCommit:
        path = directory_of(number) / _FILE
        try:
            data = state.read(path)
            if state.of(int, data["version"]) > _VERSION:
                raise Failure(str(path), "written by a newer ptoverlay")
            made: HostCommit = state.of(cls, data)
        except (ValueError, KeyError) as error:
            raise Failure(str(path), "not the record of a commit", "ptoverlay log --host --forget 0 throws all away"
                          ) from error
        made.id = number
        return made

    def forget(self) -> None:
        """What it has kept is thrown away."""
        aside = {split(done.kept.name)[0] for done in self.done if done.kept is not None and done.kept.tree}
        if aside:
            with Tree(self.lower) as tree:
                for done in self.done:
                    if done.kept is not None and done.kept.tree and tree.identity(done.kept.name) == done.kept.made:
                        tree.remove(done.kept.name)
                remove_empty(tree, aside)
        remove_tree(str(self.directory))


def commits_directory() -> Path:
    return state_directory().parent / "commits"


def directory_of(number: str) -> Path:
    return commits_directory() / number


def commits(name: str | None = None) -> list[HostCommit]:
    """All that are known, the oldest first; name: of this sandbox alone."""
    found = []
    for number in _numbers():
        try:
            found.append(HostCommit.load(number))
        except FileNotFoundError:
            continue  # one that is under way, or never came to its end
        except Failure as failure:
            errors.report(str(failure))
    return sorted((commit for commit in found if name in (None, commit.name)), key=lambda commit: commit.when)


def _numbers() -> list[str]:
    try:
        return sorted(filter(NUMBER.fullmatch, os.listdir(commits_directory())))
    except FileNotFoundError:
        return []


class Keeping:
    """Keeps what is replaced in a tree by one journal, and tells afterwards where it is."""

    def __init__(self, number: str, tree: Tree) -> None:
        self.number = number
        self.tree = tree
        self.kept = Tree(str(directory_of(number) / _KEPT))

    def close(self) -> None:
        self.kept.close()

    def __call__(self, name: str) -> None:
        """Moves what has this name in the tree to where it is kept."""
        base = split(name)[1]
        try:
            move(self.tree, name, self.kept, base)
        except OSError:
            try:
                self.aside(name)
            except OSError:
                pass  # it stays

    def place_aside(self, name: str) -> str:
        parent, base = split(name)
        above = split(parent)[1]
        return name if above == f"{PREFIX}{self.number}" else join(join(parent, f"{PREFIX}{self.number}"), base)

    def aside(self, name: str) -> None:
        target = self.place_aside(name)
        if target == name:
            return
        fd, base = self.tree.at(split(target)[0])
        try:
            os.mkdir(base, 0o700, dir_fd=fd)
        except FileExistsError:
            pass
        status = self.tree.lstat(split(target)[0])
        if status is None or status.st_uid != os.geteuid():
            return
        try:
            self.tree.rename(name, target, kernel.RENAME_NOREPLACE)
        except OSError:
            remove_empty(self.tree, [split(target)[0]])
            raise

    def find(self, step: Step) -> Kept | None:
        """Where it is what a step has replaced or removed."""
        for name in (step.temporary, step.temporary + ASIDE):
            identity = self.kept.identity(split(name)[1])
            if identity is not None:
                return Kept(split(name)[1], False, identity, step.ctime)
            for there in (self.place_aside(name), name):
                identity = self.tree.identity(there)
                if identity not in (None, step.made):
                    assert identity is not None
                    return Kept(there, True, identity, step.ctime)
        return None

    def sync(self) -> None:
        self.kept.sync("")


class Renames:
    """Where something is before the steps of a journal, and after them.  moved: new path → old one."""

    def __init__(self, moved: dict[str, str]) -> None:
        self.moved = moved
        self.places = {old: new for new, old in moved.items()}

    @classmethod
    def of(cls, journal: Journal) -> Renames:
        taken = {step.temporary: step.path for step in journal.steps if step.kind == TAKE}
        return cls({step.path: taken[step.temporary] for step in journal.steps
                    if step.kind == PUT and step.temporary in taken})

    def before(self, path: str) -> str:
        """Where what is here afterwards was before."""
        return mapped(path, self.moved)

    def after(self, path: str) -> str:
        """Where what was here before is afterwards."""
        return mapped(path, self.places)

    def place_before(self, path: str) -> str:
        """Where the name was that something gets, whatever had it."""
        return join(mapped(split(path)[0], self.moved), split(path)[1])

    def place_after(self, path: str) -> str:
        """The other way round."""
        return join(mapped(split(path)[0], self.places), split(path)[1])


class Stamps:
    """When objects were last changed by others, whom taking back a commit has renamed: the kernel takes that for a
    change too.  One file for all commits, which is only there where something was taken back."""

    def __init__(self) -> None:
        try:
            found = state.read(commits_directory() / _STAMPS)["stamps"]
            self.known = {(int(dev), int(ino), int(after)): int(before) for dev, ino, after, before in found}
        except (OSError, ValueError, KeyError, TypeError):
            self.known = {}

    def ctime(self, status: os.stat_result) -> int:
        """When it was last changed by somebody else."""
        return self.known.get((status.st_dev, status.st_ino, status.st_ctime_ns), status.st_ctime_ns)

    def add(self, status: os.stat_result, before: int) -> None:
        self.known[status.st_dev, status.st_ino, status.st_ctime_ns] = before

    def save(self) -> None:
        last = list(self.known.items())[-_MOST:]
        data = json.dumps({"stamps": [[*key, before] for key, before in last]})
        state.write_whole(commits_directory() / _STAMPS, data.encode())


def note(journal: Journal, tree: Tree, stamps: Stamps) -> None:
    """Writes into the journal what its steps are going to change."""
    renames = Renames.of(journal)
    for step in journal.steps:
        where = step.path if step.kind == TAKE else renames.before(step.path) if step.kind == ATTRIBUTES else \
            renames.place_before(step.path)
        status = tree.lstat(where)
        step.ctime = 0 if status is None else stamps.ctime(status)
        if step.attributes is not None:
            step.before = attributes.on_host(tree, where, step.attributes)
    for path in journal.times:
        status = tree.lstat(renames.before(path))
        if status is not None:
            journal.times_before[path], journal.ctimes[path] = status.st_mtime_ns, stamps.ctime(status)


def make_room(number: str) -> None:
    """A directory for a commit that begins.  OSError: there can be none."""
    top = commits_directory()
    top.parent.parent.mkdir(0o700, parents=True, exist_ok=True)
    top.parent.mkdir(0o711, exist_ok=True)
    top.mkdir(0o700, exist_ok=True)
    (top / number / _KEPT).mkdir(0o700, parents=True, exist_ok=True)


def give_up(number: str) -> None:
    """The commit was none."""
    if directory_of(number).is_dir():
        remove_tree(str(directory_of(number)))


def done_by(journal: Journal, keeping: Keeping) -> list[Done]:
    """What the steps of a journal that was carried out have done."""
    taken = {step.temporary: step for step in journal.steps if step.kind == TAKE}
    found = []
    for step in journal.steps:
        if step.kind == TAKE or any(step.path == path or step.path.startswith(f"{path}/") for path in journal.left_out):
            continue
        if step.kind == ATTRIBUTES:
            found.append(Done(step.path, made=step.made, before=step.before, now=step.attributes,
                              ctime=step.ctime))
            continue
        first = taken.get(step.temporary)
        kept = keeping.find(step)
        made = step.made if step.kind == PUT or (step.kind == REMOVE and step.staged) else None
        if made is not None or kept is not None:
            found.append(Done(step.path, first.path if first is not None else None, made, kept,
                              ctime=first.ctime if first is not None else 0))
    return found


def remember(journal: Journal, keeping: Keeping) -> None:
    """Writes down what a commit has done that came to its end; the oldest ones are forgotten."""
    keeping.sync()
    done = done_by(journal, keeping)
    if not done:
        give_up(journal.id)
        return
    HostCommit(journal.id, journal.name, journal.lower, journal.prefix, time.time_ns(), done=done,
           times=journal.times_before, ctimes=journal.ctimes).save()
    forget(_oldest())


def _oldest() -> Iterator[HostCommit]:
    """Those that are too many: a record may be long, so others are not read."""
    found = []
    for path in commits_directory().glob(f"*/{_FILE}"):
        try:
            found.append((path.stat().st_mtime_ns, path.parent.name))
        except FileNotFoundError:
            pass
    for _, number in sorted(found)[:-KEEP]:
        try:
            yield HostCommit.load(number)
        except (Failure, FileNotFoundError):
            continue


def forget(old: Iterable[HostCommit]) -> None:
    for commit in old:
        try:
            commit.forget()
        except OSError as error:
            errors.report(f"{commit.directory}: not forgotten: {error.strerror}")


def forget_broken() -> None:
    """Commits whose record is there and cannot be read."""
    for number in _numbers():
        try:
            HostCommit.load(number)
        except FileNotFoundError:
            pass  # one that is under way
        except Failure:
            give_up(number)


def remove_empty(tree: Tree, directories: Iterable[str]) -> None:
    """Directories of ours, once nothing is in them."""
    for path in directories:
        if split(path)[1].startswith(PREFIX):
            fd, name = tree.at(path)
            try:
                os.rmdir(name, dir_fd=fd)
            except OSError:
                pass
            else:
                tree.forget(path)


def under_way() -> Iterator[str]:
    """Commits of which taking back, or doing again, was begun and did not end."""
    yield from (number for number in _numbers() if Journal.path(str(directory_of(number))).exists())
