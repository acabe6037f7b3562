"""From the chosen changes to the steps that make them on the lower, and to what the upper need not hold any more.

Renamed objects are taken out of the way first, then everything is put in place from the top down, then what is to go
goes, and at the end attributes are set and directories get their times.

With more than one lower the topmost is itself a layer: what is removed leaves a whiteout, new directories are opaque,
and a renamed directory, of which other lowers may hold a part, is copied.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable

from ptoverlay.commit import attributes, conflicts
from ptoverlay.commit.journal import ATTRIBUTES, PREFIX, PUT, REMOVE, TAKE, Drop, Journal, Step
from ptoverlay.commit.layout import Layout
from ptoverlay.commit.moving import Movable
from ptoverlay.commit.tree import below, join, split
from ptoverlay.layer.changes import Change, Kind

_ORDER = {TAKE: 0, PUT: 1, REMOVE: 2, ATTRIBUTES: 3}


class Plan:
    """Fills a journal.  staged: the steps for which an object is made before the first one, with its path in the view,
    "" for a whiteout; moved: what comes from the upper without being made, all of it, as a directory or in one."""

    def __init__(self, layout: Layout, journal: Journal, refused: Collection[str], movable: Movable) -> None:
        self.layout = layout
        self.movable = movable
        self.moved: dict[str, None] = {}
        self.refused = refused
        self.journal = journal
        self.staged: list[tuple[Step, str]] = []
        self._touched = self._touched_places()
        self._number = 0

    def make(self) -> None:
        """Finds all steps, drops and times."""
        for path in sorted(self.layout.skeleton):
            if path in self.layout.roots:
                self.put(path)
        for change in self.layout.chosen.values():
            self.change(change)
        steps = self.journal.steps
        steps.sort(key=lambda step: (_ORDER[step.kind], -step.path.count("/") if step.kind == TAKE else 0,
                                     step.path.split("/")))
        self.keep_times()
        self.drop()

    def temporary(self) -> str:
        self._number += 1
        return f"{PREFIX}{self.journal.id}-{self._number}"

    # ---- steps ----

    def change(self, change: Change) -> None:
        layout = self.layout
        if change.path in layout.moves:
            self.move(change)
            return
        if change.kind is Kind.REMOVED:
            if not layout.goes_with_parent(change):
                self.remove(change.old_path or change.path)
            return
        if change.kind is Kind.RENAMED and change.old_path is not None:
            self.remove(change.old_path)
        if layout.inside_root(change.path) or change.path in layout.skeleton:
            return
        if change.kind is Kind.METADATA and layout.on_lower(change):
            self.attributes(change)
        else:
            self.put(change.path)

    def expected(self, there: str) -> str | None:
        """What is at this place of the host once what is renamed has left it."""
        return conflicts.signature(self.layout.tree, there, self.layout.leaving(there))

    def put(self, path: str) -> None:
        """An object that is made beside its place."""
        parent = self.layout.now(self.layout.parent(path))
        assert parent is not None
        there, relative, temporary = join(parent, split(path)[1]), self.layout.relative(path), self.temporary()
        step = Step(PUT, relative, join(split(relative)[0], temporary), found=self.expected(there))
        self.journal.steps.append(step)
        marked = self.movable(path)
        if marked is not None:
            step.source, status = relative, self.layout.held[path].status
            step.made = [status.st_dev, status.st_ino]
            self.journal.shared += marked
            self.moved.update((held.path, None) for held in self.movable.below(path))
            return
        step.staged = join(parent, temporary)
        self.staged.append((step, path))

    def move(self, change: Change) -> None:
        layout = self.layout
        old, new = layout.relative(layout.moves[change.path]), layout.relative(change.path)
        identity = layout.tree.identity(old)
        place = join(self.anchor(old), self.temporary())
        parent = layout.now(layout.parent(change.path))
        found = None if parent is None else self.expected(join(parent, split(change.path)[1]))
        self.journal.steps.append(Step(TAKE, old, place, made=identity))
        self.journal.steps.append(Step(PUT, new, place, found=found, made=identity))
        if change.metadata:
            self.attributes(change)

    def _touched_places(self) -> set[str]:
        """Places on the host from which something goes, or to which something else comes."""
        layout = self.layout
        touched = {layout.relative(path) for path in (*layout.moves.values(), *layout.roots)}
        touched.update(layout.relative(change.old_path) for change in layout.chosen.values()
                       if change.old_path is not None and (change.kind is Kind.REMOVED or change.type_changed))
        return touched

    def anchor(self, old: str) -> str:
        """A directory of the host that stays where it is, above what is renamed."""
        parts = old.split("/")
        for i in range(1, len(parts)):
            if "/".join(parts[:i]) in self._touched:
                return "/".join(parts[:i - 1])
        return "/".join(parts[:-1])

    def remove(self, old_path: str) -> None:
        layout = self.layout
        old, path = layout.relative(old_path), layout.later(old_path)
        if layout.inside_root(path) or (layout.layer and layout.gone_above(old_path)):
            return  # goes with what the new directory replaces, or never was there
        there, temporary = layout.relative(path), self.temporary()
        parent = layout.now(layout.parent(path))
        step = Step(REMOVE, there, join(split(there)[0], temporary), found=self.expected(old))
        if layout.layer and parent is not None and not self.hides(parent):
            step.staged = join(parent, temporary)  # a whiteout, which changes places with what is removed
            self.staged.append((step, ""))
        elif step.found is None:
            return
        self.journal.steps.append(step)
        self.remember_link(old)

    def hides(self, directory: str) -> bool:
        """Whether nothing below the lower shows in this directory of it anyhow."""
        name = f"{self.layout.prefix}opaque"
        while directory:
            try:
                if os.getxattr(self.layout.tree.real(directory), name, follow_symlinks=False) == b"y":
                    return True
            except OSError:
                pass
            directory = split(directory)[0]
        return False

    def remember_link(self, old: str) -> None:
        status = self.layout.tree.lstat(old)
        if status is not None and status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            self.journal.removed_links.append([status.st_dev, status.st_ino])

    def attributes(self, change: Change) -> None:
        wanted = attributes.of(self.layout.view, change.path)
        if change.new is not None and change.new.is_dir:
            wanted.mtime = None  # follows from what happens in it
        if not any(name.startswith("xattr") for name in change.metadata):
            wanted.xattrs = None
        identity = self.layout.tree.identity(self.layout.relative(change.old_path or change.path))
        self.journal.steps.append(Step(ATTRIBUTES, self.layout.relative(change.path), made=identity, attributes=wanted))

    def whiteouts(self, directory: str) -> list[str]:
        """Names that a directory of the skeleton has to hide."""
        if directory not in self.layout.skeleton:
            return []
        layout = self.layout
        gone = (change.old_path for change in layout.chosen.values() if change.kind in (Kind.REMOVED, Kind.RENAMED))
        return [split(path)[1] for path in gone if path is not None and layout.parent(path) == directory]

    # ---- times ----

    def keep_times(self) -> None:
        """Directories in which names come or go get the time that the view shows, unless the host's is later."""
        layout = self.layout
        for step in self.journal.steps:
            if step.kind == ATTRIBUTES:
                continue
            path = layout.shown(split(step.path)[0])
            if step.kind == TAKE:
                path = layout.later(path)
            if layout.relative(path) in self.journal.times:
                continue
            status = layout.view.find(path)
            if status is None or not status.is_dir:
                continue
            self.journal.times[layout.relative(path)] = self.time_of(path, status.mtime)
        for path, held in layout.held.items():
            if held.is_dir and held.entry.lower and not layout.inside_root(path) and path not in layout.roots:
                self.keep_time_set(path)

    def keep_time_set(self, path: str) -> None:
        """A directory in which nothing happened, but whose time was set."""
        layout = self.layout
        now, relative = layout.now(path), layout.relative(path)
        there = layout.tree.lstat(now) if now is not None else None
        if relative in self.journal.times or there is None:
            return
        shown = layout.view.stat(path).mtime
        base = layout.base_of(path)
        if base is not None and base.mtime == there.st_mtime_ns != shown and self.chosen_whole(path):
            self.journal.times[relative] = shown

    def chosen_whole(self, path: str) -> bool:
        """Whether everything that has changed in a directory is committed."""
        return not any(below(other, path) and other not in self.layout.chosen for other in self.layout.changes)

    def time_of(self, path: str, shown: int) -> int:
        """The view's time, unless the host has changed the directory too, and later."""
        layout = self.layout
        now, base = layout.now(path), layout.base_of(path)
        before = None if now is None else layout.tree.lstat(now)
        if before is None or (base is not None and base.mtime == before.st_mtime_ns):
            return shown
        return max(shown, before.st_mtime_ns)

    # ---- what the upper need not hold any more ----

    def drop(self) -> None:
        """Entries of the upper that show nothing that the lower will not show afterwards."""
        layout = self.layout
        done = self.named(layout.chosen.values())
        changed = self.named(layout.changes.values())
        left = changed - done
        hidden = {above for path in left for above in layout.above(path) if self.hides_lower(above)}
        everything = all(path in layout.chosen or path in self.refused for path in layout.changes)
        for path, held in reversed(layout.held.items()):
            if path in left or path in self.moved or (hidden and any(above in hidden for above in layout.above(path))):
                continue
            if path in done or held.is_dir or (everything and path not in changed):
                found = [held.status.st_ino, 0, 0] if held.is_dir else \
                    [held.status.st_ino, held.status.st_size, held.status.st_mtime_ns]
                self.journal.drops.append(Drop(layout.relative(path), held.is_dir, found))

    def hides_lower(self, path: str) -> bool:
        """Whether a directory of the upper will show something else than the lower has there, if it stays as it is."""
        held = self.layout.held.get(path)
        if held is None or path in self.layout.moves:
            return False
        return held.entry.redirect or (held.entry.opaque and bool(held.entry.lower))

    def named(self, changes: Iterable[Change]) -> set[str]:
        """Paths of the view that the changes are about, with the whiteouts that renames have left."""
        renamed = [(change.path, change.old_path) for change in self.layout.changes.values()
                   if change.kind is Kind.RENAMED and change.old_path and change.new and change.new.is_dir]
        paths = set()
        for change in changes:
            paths.add(change.path)
            if change.kind is Kind.RENAMED and change.old_path is not None:
                paths.add(change.old_path)
                inside = [pair for pair in renamed if pair[1] != change.old_path and below(change.old_path, pair[1])]
                if inside:
                    new, old = max(inside, key=lambda pair: len(pair[1]))
                    paths.add(new + change.old_path[len(old):])
        return paths
