"""A fork's changes come to the sandbox that it was forked from, with what that one has changed since: three-way, by
content.

    with plan(child, parent) as merge:
        print(merge.taken, merge.conflicts)
        merge.carry_out()

Three views are compared at each path that the fork has changed: what both came from, the parent's, the fork's.  What
one side alone has changed is taken from it; the parts of a file (contents, mode, owner, attributes) one by one, and
text by its lines.  What is merged is one step of the parent, in a layer of its own; then the fork lies on that and is
empty.

Rules: where there is a conflict nothing is done; a step that did not come to its end never was (`steps.settle`);
merging again does no harm, so that whoever was killed in between merges again.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ptoverlay.errors import Failure
from ptoverlay.history import steps
from ptoverlay.history.record import MERGE, HistoryStep
from ptoverlay.history.restore import Restoring
from ptoverlay.layer.changes import Change, Kind, changes
from ptoverlay.layer.text import LARGEST, merged
from ptoverlay.layer.view import Stat, View
from ptoverlay.sandboxes.elsewhere import put_on
from ptoverlay.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class Look:
    """The attributes of an object that a side can have changed."""

    mode: int
    owner: tuple[int, int]
    xattrs: dict[str, bytes]

    @classmethod
    def of(cls, view: View, path: str, status: Stat) -> Look:
        return cls(stat.S_IMODE(status.mode), (status.uid, status.gid), view.xattrs(path))


@dataclass
class Mixed:
    """A file that is made of both sides.  data: what it holds, None: what the parent's does."""

    path: str
    data: bytes | None
    look: Look


@dataclass
class Merge:
    """What is to be done to the parent.  found: the fork's changes; whole: paths that become what the fork has; mixed:
    those that are made of both; conflicts: path → why."""

    child: Sandbox
    parent: Sandbox
    base: View
    ours: View
    theirs: View
    found: list[Change] = field(default_factory=list)
    whole: set[str] = field(default_factory=set)
    mixed: list[Mixed] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)

    # ---- comparing ----

    def look(self) -> None:
        """Finds what is to be done."""
        self.found = changes(self.theirs, self.base, self.child.mount, expand=True)
        for path in sorted(self.paths(), key=lambda path: path.split("/")):
            why = self.one(path)
            if why:
                self.conflicts[path] = why

    def paths(self) -> set[str]:
        """Where the fork shows something else than what it came from."""
        found: set[str] = set()
        for change in self.found:
            found.update(path for path in (change.path, change.old_path, change.link_to) if path is not None)
            if change.kind is Kind.RENAMED and change.old_path is not None:
                found.update(_below(self.theirs, change.path))
                found.update(_below(self.base, change.old_path))
        return found

    def one(self, path: str) -> str:
        """Decides about a path; why it cannot be merged, "" if it can."""
        old, our, their = (view.find(path) for view in (self.base, self.ours, self.theirs))
        if self.same(self.base, old, self.theirs, their, path) or self.same(self.ours, our, self.theirs, their, path):
            return ""
        if self.same(self.base, old, self.ours, our, path):
            self.whole.add(path)
            return self.around(path, our, their)
        if our is None:
            return f"removed in {self.parent}"
        if their is None:
            return f"removed here, changed in {self.parent}"
        if old is None or not (old.type == our.type == their.type):
            return "added on both sides" if old is None else "replaced on both sides"
        return self.attributes(path, old, our, their)

    def around(self, path: str, our: Stat | None, their: Stat | None) -> str:
        """Whether what the parent has above and below allows what the fork has."""
        if our is not None and our.is_dir and (their is None or not their.is_dir):
            for below in _below(self.ours, path):
                if self.base.find(below) is None:
                    return f"removed here, but {below} was added in {self.parent}"
        above = path.rpartition("/")[0]
        while their is not None and len(above) > len(self.child.mount.rstrip("/")):
            status, was = self.ours.find(above), self.base.find(above)
            if was is not None and was.is_dir and (status is None or not status.is_dir):
                return f"{above} was removed in {self.parent}"
            above = above.rpartition("/")[0]
        return ""

    def attributes(self, path: str, old: Stat, our: Stat, their: Stat) -> str:
        """The parts of an object that all three have."""
        before, here, there = (Look.of(view, path, status) for view, status in (
            (self.base, old), (self.ours, our), (self.theirs, their)))
        picked = [pick(one, two, three) for one, two, three in (
            (before.mode, here.mode, there.mode), (before.owner, here.owner, there.owner),
            (before.xattrs, here.xattrs, there.xattrs))]
        if None in picked:
            return "other attributes on both sides"
        data = None
        if not self.same_data(self.base, old, self.theirs, their, path):
            if self.same_data(self.base, old, self.ours, our, path):
                if not their.is_file or their.size > LARGEST:
                    return "changed on both sides"
                data = self.theirs.read(path)
            elif not self.same_data(self.ours, our, self.theirs, their, path):
                data = self.text(path, (old, our, their))
                if data is None:
                    return "changed on both sides"
        mode, owner, xattrs = picked
        self.mixed.append(Mixed(path, data, Look(mode, owner, xattrs)))
        return ""

    def text(self, path: str, all_three: Iterable[Stat]) -> bytes | None:
        if any(not status.is_file or status.size > LARGEST for status in all_three):
            return None
        return merged(self.base.read(path), self.ours.read(path), self.theirs.read(path))

    def same(self, one: View, first: Stat | None, two: View, second: Stat | None, path: str) -> bool:
        if first is None or second is None:
            return first is second
        return first.type == second.type and Look.of(one, path, first) == Look.of(two, path, second) and \
            self.same_data(one, first, two, second, path)

    def same_data(self, one: View, first: Stat, two: View, second: Stat, path: str) -> bool:
        if first.is_file:
            return first.size == second.size and one.same_content(path, two, path)
        if first.is_link:
            return one.readlink(path) == two.readlink(path)
        return first.rdev == second.rdev

    # ---- doing it ----

    def carry_out(self, argv: list[str]) -> None:
        """Makes it a step of the parent; the fork is empty then, and goes on from there."""
        if self.conflicts:
            raise Failure(str(self.child), "there are conflicts")
        if self.whole or self.mixed:
            _begin_on_top(self.parent)
            with steps.step_of(self.parent, HistoryStep(0, kind=MERGE, argv=argv, cwd=os.getcwd())), \
                    self.parent.view(writable=True) as view:
                Restoring(view, self.theirs).paths(self.whole)
                for mixed in self.mixed:
                    _write(view, mixed)
        put_on(self.child, [self.parent.upper, *self.parent.stack], self.parent.name)


def pick(old: Any, our: Any, their: Any) -> Any:
    """What one side has changed, or both alike; None: both, and not alike."""
    if their in (old, our):
        return our
    return their if our == old else None


@contextmanager
def plan(child: Sandbox) -> Iterator[Merge]:
    """What merging a fork into its parent would do.  Both are locked meanwhile."""
    if not child.metadata.parent or child.directory is None:
        raise Failure(str(child), "it is no fork", "ptoverlay commit applies it to the host")
    with ExitStack() as stack:
        stack.enter_context(child.change())
        parent = Sandbox.open(child.metadata.parent)
        stack.enter_context(parent.lock())
        steps.settle(child)
        steps.settle(parent)
        base, ours, theirs = (stack.enter_context(view) for view in (child.base(), parent.view(), child.view()))
        merge = Merge(child, parent, base, ours, theirs)
        merge.look()
        yield merge


def _begin_on_top(parent: Sandbox) -> None:
    """What comes now goes to a layer that no fork lies on."""
    history = steps.settle(parent)
    if history.open_step() is None:
        history.top = steps.new_layer(parent, history)
        steps.save(parent, history)
    elif not steps.can_be_below(parent):
        raise Failure(str(parent), "nothing can lie on its last step", "commit the fork to the host")


def _write(view: View, mixed: Mixed) -> None:
    path, look, now = mixed.path, mixed.look, view.stat(mixed.path)
    if mixed.data is not None:
        view.write(path, mixed.data, os.O_TRUNC)
    there = view.xattrs(path)
    if (now.uid, now.gid) != look.owner:
        view.chown(path, *look.owner)
    for name in there.keys() - look.xattrs.keys():
        view.removexattr(path, name)
    for name, value in look.xattrs.items():
        if there.get(name) != value:
            view.setxattr(path, name, value)
    if not now.is_link and stat.S_IMODE(view.stat(path).mode) != look.mode:
        view.chmod(path, look.mode)


def _below(view: View, path: str) -> Iterator[str]:
    """All that a view shows below a directory."""
    todo = [path] if (status := view.find(path)) is not None and status.is_dir else []
    while todo:
        here = todo.pop()
        for name in view.list(here):
            below = f"{here.rstrip('/')}/{name}"
            yield below
            if view.stat(below).is_dir:
                todo.append(below)
