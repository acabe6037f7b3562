"""Takes a commit back, and does it again: the host becomes what it was before, by the steps of a commit.

    with alone():
        refused = turn(last_done())

What a commit has made goes, what it has renamed goes back, what it has replaced or removed comes from where it is kept;
attributes and times of directories are set again.  What goes is kept in turn, so that taking it back is a commit that
can be taken back itself.

Rules: what the host has changed since is found before anything is done, and then nothing is, unless that is forced;
killed anywhere, the next command finishes it first.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ptoverlay.commit import conflicts, kept
from ptoverlay.commit.journal import ATTRIBUTES, PLACED, PLACING, PREFIX, PUT, REMOVE, TAKE, Attributes, Journal, Step
from ptoverlay.commit.kept import Done, HostCommit, Keeping, Renames, Stamps
from ptoverlay.commit.placing import Placing
from ptoverlay.commit.tree import Sorted, Tree, below, join, split
from ptoverlay.errors import Failure, InUse

_ORDER = {TAKE: 0, PUT: 1, REMOVE: 2, ATTRIBUTES: 3}


@contextmanager
def alone() -> Iterator[list[HostCommit]]:
    """Nobody else takes anything back meanwhile; what was interrupted is finished first: those commits."""
    try:
        fd = os.open(kept.commits_directory(), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield []
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse("commits", "somebody else takes one back just now", "try again") from error
        yield [_finish(HostCommit.load(number)) for number in kept.under_way()]
    finally:
        os.close(fd)


def turn(commit: HostCommit, *, force: bool = False) -> dict[str, str]:
    """Takes the commit back, or does it again when it was taken back; path on the host → why something could not be.
    With such, and without force, everything is as it was.  Call it in `alone`."""
    with Tree(commit.lower) as tree:
        turning = _Turning(commit, tree)
        refused = {} if force else turning.changed()
        if refused:
            return {f"{commit.lower.rstrip('/')}/{path}": why for path, why in refused.items()}
        journal = turning.journal()
        journal.save(str(commit.directory))
        return _carry_out(commit, journal, tree)


def _finish(commit: HostCommit) -> HostCommit:
    journal = Journal.load(str(commit.directory))
    if journal is not None and journal.lower == commit.lower:
        with Tree(commit.lower) as tree:
            _carry_out(commit, journal, tree)
    return commit


def _carry_out(commit: HostCommit, journal: Journal, tree: Tree) -> dict[str, str]:
    work = str(commit.directory)
    keeping = Keeping(commit.id, tree)
    try:
        placing = Placing(journal, tree, keeping.kept, keep=keeping)
        if journal.phase == PLACING:
            placing.place()
            placing.sync()
            journal.phase = PLACED
            journal.save(work)
        placing.clean()
        placing.set_attributes()
        placing.sync()
        keeping.sync()
        _stamp(commit, journal, tree)
        if commit.turns < int(journal.name):  # else it was killed after this
            commit.done = kept.done_by(journal, keeping)
            commit.times, commit.ctimes = journal.times_before, journal.ctimes
            commit.undone, commit.turns = not commit.undone, int(journal.name)
            commit.save()
        kept.remove_empty(tree, {split(step.temporary)[0] for step in journal.steps if step.temporary})
    finally:
        keeping.close()
    Journal.remove(work)
    return {f"{commit.lower.rstrip('/')}/{path}": why for path, why in journal.left_out.items()}


def _stamp(commit: HostCommit, journal: Journal, tree: Tree) -> None:
    """What is back as it was counts as unchanged since it was put there."""
    before = {tuple(done.made): done.ctime for done in commit.done if done.made is not None and done.ctime}
    before |= {tuple(done.kept.made): done.kept.ctime for done in commit.done if done.kept is not None}
    stamps = Stamps()
    for step in journal.steps:
        status = tree.lstat(step.path) if step.kind in (PUT, ATTRIBUTES) else None
        if status is not None and [status.st_dev, status.st_ino] == step.made and tuple(step.made) in before:
            stamps.add(status, before[tuple(step.made)])
    renames = Renames.of(journal)
    for path, ctime in commit.ctimes.items():
        status = tree.lstat(renames.after(path))
        if status is not None:
            stamps.add(status, ctime)
    stamps.save()


class _Turning:
    """From what a commit has done to the steps that undo it.  Paths are those of the host now, or before the commit."""

    def __init__(self, commit: HostCommit, tree: Tree) -> None:
        self.commit = commit
        self.tree = tree
        self.renames = Renames({done.path: done.old for done in commit.done if done.old is not None})
        self.leaving = Sorted(self.renames.moved)
        self.stamps = Stamps()
        self.touched = {done.path for done in commit.done if done.now is None}
        self.ours = {tuple(done.made) for done in commit.done if done.made is not None and done.now is None}
        self.count = 0

    # ---- places ----

    def before(self, path: str) -> str:
        """Where what is here now was before the commit, or is to be after it was taken back."""
        return self.renames.before(path)

    def now(self, old: str) -> str:
        """Where the place is now that something had before the commit."""
        return self.renames.place_after(old)

    def temporary(self, directory: str) -> str:
        self.count += 1
        return join(directory, f"{PREFIX}{self.commit.id}-{self.commit.turns + 1}.{self.count}")

    def anchor(self, path: str) -> str:
        """A directory that stays where it is, above what is renamed."""
        parts = path.split("/")
        for i in range(1, len(parts)):
            if "/".join(parts[:i]) in self.touched:
                return "/".join(parts[:i - 1])
        return "/".join(parts[:-1])

    def left_out(self, path: str) -> Callable[[str], bool]:
        sources = self.leaving.below(path)
        return lambda here: any(below(here, source) for source in sources)

    # ---- what the host has changed since ----

    def changed(self) -> dict[str, str]:
        found = {}
        for done in self.commit.done:
            why = self.why(done)
            if why:
                found[done.path] = why
        return found

    def why(self, done: Done) -> str:
        if done.kept is not None and self.kept_identity(done) != done.kept.made:
            return "what it replaced is not there any more"
        if done.made is None:
            return "" if self.is_free(done.path) else "there is something again"
        status = self.tree.lstat(done.path)
        if status is None or [status.st_dev, status.st_ino] != done.made:
            return "removed since" if status is None else "replaced since"
        if done.now is not None:
            return self.attributes_changed(done.now, status)
        if done.old is not None:
            return "" if self.is_free(self.now(done.old)) else f"{done.old} is there again"
        left_out = self.left_out(done.path)
        for here, found in self.tree.walk(done.path):
            if not left_out(here) and self.stamps.ctime(found) > self.commit.mark:
                return "changed since" if here == done.path else f"{here} was changed since"
        return ""

    def attributes_changed(self, now: Attributes, status: os.stat_result) -> str:
        same = (now.mode, now.uid, now.gid) == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) or \
            stat.S_ISLNK(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return "" if same else "its attributes were changed since"
        return "" if same and self.stamps.ctime(status) <= self.commit.mark else "changed since"

    def is_free(self, path: str) -> bool:
        """Whether nothing is there that is not the commit's own."""
        identity = self.tree.identity(path)
        return identity is None or tuple(identity) in self.ours

    def kept_identity(self, done: Done) -> list[int] | None:
        assert done.kept is not None
        if done.kept.tree:
            return self.tree.identity(done.kept.name)
        with Tree(str(self.commit.directory / "kept")) as tree:
            return tree.identity(done.kept.name)

    # ---- steps ----

    def journal(self) -> Journal:
        commit = self.commit
        journal = Journal(commit.id, self.tree.root, PLACING, prefix=commit.prefix, keep=True,
                          name=str(commit.turns + 1), any_owner=True)
        filled = {done.old for done in commit.done if done.old is not None}
        filled |= {self.before(done.path) for done in commit.done if done.kept is not None}
        for done in commit.done:
            if done.now is not None:
                self.attributes(journal, done)
                continue
            if done.old is not None:
                self.rename_back(journal, done, done.old)
            if done.kept is not None:
                self.put_back(journal, done)
            elif done.old is None and self.before(done.path) not in filled:
                found = self.signature(done.path)
                if found is not None:
                    place = self.before(done.path)
                    journal.steps.append(Step(REMOVE, place, self.temporary(split(place)[0]), found=found))
        journal.steps.sort(key=lambda step: (_ORDER[step.kind], -step.path.count("/") if step.kind == TAKE else 0,
                                             step.path.split("/")))
        for path, mtime in commit.times.items():
            self.time(journal, path, mtime)
        kept.note(journal, self.tree, self.stamps)
        return journal

    def signature(self, path: str) -> str | None:
        return conflicts.signature(self.tree, path, self.left_out(path))

    def rename_back(self, journal: Journal, done: Done, old: str) -> None:
        if self.tree.identity(done.path) != done.made:
            return  # forced, and it is elsewhere
        waits = self.temporary(self.anchor(done.path))
        journal.steps.append(Step(TAKE, done.path, waits, made=done.made))
        journal.steps.append(Step(PUT, old, waits, found=self.signature(self.now(old)), made=done.made))

    def put_back(self, journal: Journal, done: Done) -> None:
        kept = done.kept
        if kept is None or self.kept_identity(done) != kept.made:
            return
        place = self.before(done.path)
        step = Step(PUT, place, found=self.signature(done.path), made=kept.made)
        if kept.tree:
            step.temporary = self.before(kept.name)
        else:
            step.temporary, step.source = self.temporary(split(place)[0]), kept.name
        journal.steps.append(step)

    def attributes(self, journal: Journal, done: Done) -> None:
        if done.before is not None and self.tree.identity(done.path) == done.made:
            journal.steps.append(Step(ATTRIBUTES, self.before(done.path), made=done.made, attributes=done.before))

    def time(self, journal: Journal, path: str, mtime: int) -> None:
        status = self.tree.lstat(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            journal.times[self.before(path)] = mtime


def last_done(name: str | None = None) -> HostCommit | None:
    """The commit that is taken back next."""
    done = [commit for commit in kept.commits(name) if not commit.undone]
    return done[-1] if done else None


def last_undone(name: str | None = None) -> HostCommit | None:
    """The one that is done again next: what was taken back last."""
    undone = [commit for commit in kept.commits(name) if commit.undone]
    return max(undone, key=lambda commit: commit.turned) if undone else None


def nothing(what: str) -> Failure:
    return Failure("commits", f"there is none to {what}", "ptoverlay log --host shows them")
