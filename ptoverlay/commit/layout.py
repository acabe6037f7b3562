"""Where the objects of a commit are: in the view, on the host before the first step, in the upper.

The host's path of an object is its path in the view of the lowers ("old path"), since the topmost lower of that view is
what is changed.  Paths with a slash at the start are the view's; steps have them relative to the lower.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ptoverlay.commit.conflicts import Base, base_of
from ptoverlay.commit.survey import Seen, Survey
from ptoverlay.commit.tree import Sorted, Tree, below, join, split
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import Entry, View
from ptoverlay.sandboxes.sandbox import Sandbox


class Held(NamedTuple):
    """An entry of the upper."""

    path: str
    entry: Entry
    seen: Seen

    @property
    def status(self) -> os.stat_result:
        return self.seen.status

    @property
    def is_dir(self) -> bool:
        return self.entry.upper == stat.S_IFDIR


def becomes_directory(change: Change) -> bool:
    """Whether there is a directory afterwards that was not there before."""
    return change.new is not None and change.new.is_dir and (change.kind is Kind.ADDED or change.type_changed)


#: st_ino, st_size, st_mtime_ns, st_ctime_ns.
FileIdentity = tuple[int, int, int, int]


@dataclass
class MergedTexts:
    """hosts: paths that are merged → what the host's file was then; why: paths that could not be → why not; written:
    whether the layer holds something else now."""

    hosts: dict[str, FileIdentity] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    written: bool = False


@dataclass
class Layout:
    """What is known of the layers while the steps are found.

    changes: all of them by path; held: all that the upper has, by path, top down; links: by identity, the names that
    the upper has of files with several; chosen: what is to be committed; moves: new path → old path of what is renamed
    on the host, sources: the other way round; roots: directories that are made with all that is in them, True: whatever
    it is; skeleton: directories that only lowers below the topmost have, and that are made there to merge with them;
    conflicts: where the host has changed since; texts: of these, what was merged.
    """

    sandbox: Sandbox
    view: View
    base: View
    tree: Tree
    prefix: str
    survey: Survey
    changes: dict[str, Change]
    held: dict[str, Held] = field(default_factory=dict)
    links: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    chosen: dict[str, Change] = field(default_factory=dict)
    moves: dict[str, str] = field(default_factory=dict)
    roots: dict[str, bool] = field(default_factory=dict)
    skeleton: set[str] = field(default_factory=set)
    sources: dict[str, str] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    texts: MergedTexts = field(default_factory=MergedTexts)
    sorted_sources: Sorted = field(default_factory=lambda: Sorted(()))

    @property
    def layer(self) -> bool:
        """Whether what is changed is a layer itself, with others below it."""
        return len(self.sandbox.lowers) - self.sandbox.metadata.n_data > 1

    def look(self) -> None:
        """Finds everything that the upper has."""
        todo = [("", self.view.entry(self.sandbox.mount))]
        while todo:
            here, above = todo.pop()
            shown, below = join_absolute(self.shown(here), ""), f"{here}/" if here else ""
            alone = not above.lower and not above.redirect  # nothing of the lowers has a place in it
            for name, kind in self.view.upper_list(self.shown(here)):
                path = shown + name
                if alone and kind not in (0, stat.S_IFDIR):
                    entry = Entry(kind, False, 0, 0, False, False, False, False, f"{above.upper_path}/{name}", "")
                else:
                    entry = self.view.entry(path)
                seen = self.survey.seen(below + name, entry.upper_path)
                self.held[path] = Held(path, entry, seen)
                if kind == stat.S_IFDIR:
                    todo.append((below + name, entry))
                elif not entry.whiteout and seen.status.st_nlink > 1:
                    self.links.setdefault(self.view.stat(path).identity, []).append(path)
        for path, change in self.changes.items():  # and what only the place of a directory has changed
            if path not in self.held and change.new is not None and not change.new.is_dir and change.new.nlink > 1:
                self.links.setdefault(change.new.identity, []).append(path)

    def base_of(self, path: str) -> Base | None:
        """What is kept of the lower's object beside the upper's at this path, None when nothing is."""
        held = self.held.get(path)
        if held is None or held.entry.whiteout or not held.seen.private:
            return None
        return base_of(held.entry.upper_path, self.prefix)

    # ---- paths

    def relative(self, path: str) -> str:
        """A path of the view as steps have it."""
        return "" if path == self.sandbox.mount else self.sandbox.relative(path)

    def shown(self, relative: str) -> str:
        """The other way round."""
        return join_absolute(self.sandbox.mount, relative) if relative else self.sandbox.mount

    def above(self, path: str) -> Iterator[str]:
        """The path and those above it, up to below the mount point."""
        top = len(self.sandbox.mount.rstrip("/"))
        while len(path) > top:
            yield path
            path = split(path)[0]

    def parents(self, path: str) -> Iterator[str]:
        """The directories that the path is in, up to below the mount point."""
        return self.above(split(path)[0])

    def parent(self, path: str) -> str:
        return split(path)[0] or "/"

    # ---- places on the host

    def sort_out(self) -> None:
        """Tells what of the chosen is renamed on the host, and which directories are made with all that is in them."""
        self.moves, self.roots, self.skeleton = {}, {}, set()
        for change in self.chosen.values():
            if change.kind is Kind.RENAMED and change.old_path is not None:
                if self.can_move(change):
                    self.moves[change.path] = change.old_path
                elif change.new is not None and change.new.is_dir:
                    self.roots[change.path] = True
        self.sources = {old: new for new, old in self.moves.items()}
        self.sorted_sources = Sorted(map(self.relative, self.sources))
        for change in self.chosen.values():
            if becomes_directory(change) and not self.inside_root(change.path):
                self.roots[change.path] = False
        if self.layer:
            self.find_skeleton()

    def can_move(self, change: Change) -> bool:
        if self.layer or change.content or change.old_path is None:
            return False
        status = self.tree.lstat(self.relative(change.old_path))
        return status is not None and status.st_dev == self.device(change.path)

    def device(self, path: str) -> int:
        """st_dev of the nearest directory that the host has above a path of the view."""
        for above in (*self.parents(path), self.sandbox.mount):
            status = self.tree.lstat(self.relative(self.moves.get(above, above)))
            if status is not None and stat.S_ISDIR(status.st_mode):
                return status.st_dev
        return 0

    def find_skeleton(self) -> None:
        for path, change in self.chosen.items():
            missing = [above for above in self.parents(path)
                       if above not in self.chosen and self.tree.lstat(self.relative(above)) is None]
            if change.kind is Kind.RENAMED and change.old_path and not self.gone_above(change.old_path):
                missing += [above for above in self.parents(change.old_path)
                            if above not in self.chosen and self.tree.lstat(self.relative(above)) is None]
            directory = change.new is not None and change.new.is_dir
            if change.kind is Kind.METADATA and directory and not self.on_lower(change):
                missing.append(path)
            self.skeleton.update(above for above in missing if not self.inside_root(above))
        for path in sorted(self.skeleton):
            if not self.inside_root(path):
                self.roots[path] = False

    def inside_root(self, path: str) -> bool:
        """Whether an object is made together with a directory above it."""
        for above in self.parents(path):
            if above in self.moves:
                return False
            if above in self.roots:
                return True
        return False

    def gone_above(self, old_path: str) -> bool:
        """Whether a directory goes, or gets another name, in which this was in the lowers."""
        gone = {change.old_path for change in self.chosen.values() if change.kind in (Kind.REMOVED, Kind.RENAMED)}
        return any(above in gone for above in self.parents(old_path))

    def goes_with_parent(self, change: Change) -> bool:
        """Whether a removed object was in a directory of which something else takes the place."""
        for above in self.parents(change.path):
            if above in self.moves:
                return False  # that one lives on, without this
            other = self.chosen.get(above)
            if other is not None and (other.type_changed or other.kind is Kind.REMOVED):
                return other.old_path not in self.sources  # else it lives on under another name, without this
        return False

    def wanted(self, path: str) -> bool:
        """Whether an object of a new directory is made with it: what is renamed comes there by itself."""
        return (path in self.chosen or path in self.skeleton) and path not in self.moves

    def now(self, directory: str) -> str | None:
        """Where the host has this directory of the view before the first step, None: nowhere yet."""
        for above in self.above(directory):
            if above in self.moves:
                return self.relative(self.moves[above] + directory[len(above):])
            if above in self.roots:
                return None
        return self.relative(directory)

    def later(self, old_path: str) -> str:
        """Where in the view something is afterwards that the host has at this old path, if it is there at all."""
        for above in self.above(old_path):
            if above in self.sources:
                return self.sources[above] + old_path[len(above):]
        return old_path

    def leaving(self, there: str) -> Callable[[str], bool]:
        """Tells what of the objects at and below this place of the host is renamed to elsewhere, without it."""
        sources = self.sorted_sources.below(there)
        return lambda here: any(below(here, source) for source in sources)

    def on_lower(self, change: Change) -> bool:
        """Whether the object is on the lower that is changed, and not on one below it."""
        return change.old_path is not None and self.tree.lstat(self.relative(change.old_path)) is not None

    def linked(self) -> dict[tuple[int, int], str]:
        """By identity, where the host has a file already that only gets more names."""
        found = {}
        for identity, paths in self.links.items():
            there = next(filter(None, map(self.there, paths)), None)
            if there is not None:
                found[identity] = there
        return found

    def there(self, path: str) -> str | None:
        """Where the host has what this name of the upper is, unless it has other contents now."""
        change = self.changes.get(path)
        if change is not None and (change.content or (change.kind is Kind.ADDED)):
            return None
        if change is not None and change.kind is Kind.RENAMED and change.old_path is not None:
            there = self.relative(change.old_path)
        else:
            parent = self.now(self.parent(path))
            if parent is None:
                return None
            there = join(parent, split(path)[1])
        return there if self.tree.lstat(there) is not None else None


def join_absolute(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"
