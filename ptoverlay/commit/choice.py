"""Which changes a commit makes, and which it refuses.

Rules: a change is refused whole, with the reason, before anything is done; a change that needs another one brings it
along (a new file its new directory, a name of a file the other names, one end of a rename the other end).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ptoverlay.commit import conflicts
from ptoverlay.commit.layout import Layout, becomes_directory
from ptoverlay.commit.texts import identity
from ptoverlay.commit.together import Together
from ptoverlay.commit.tree import Sorted, below
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import Entry, Stat

#: Begins the reason of a refusal that ends with whose the object would be.
ONLY_ROOT = "only root can make what belongs to"


def choose(layout: Layout, wanted: Iterable[Change]) -> None:
    """Takes these changes and those they need into layout.chosen."""
    if layout.layer:
        _add_unchanged_names(layout)
    links = _links(layout.changes.values())
    renames = {change.old_path: change for change in layout.changes.values() if change.kind is Kind.RENAMED}
    old_paths = Sorted(path for path in renames if path is not None)
    together, seen, climbed = Together(layout), set(), set[str]()
    swapped = _Swapped(layout)
    chosen: dict[str, Change] = {}
    todo = list(wanted)
    while todo:
        change = todo.pop()
        if change.path in chosen:
            continue
        chosen[change.path] = change
        todo += _other_names(change, links)
        directory = layout.parent(change.path)
        if directory not in climbed:
            climbed.add(directory)
            todo += _new_parents(layout, change)
        todo += swapped.of(change)
        for needed in together.needs(change):
            if needed not in seen:
                seen.add(needed)
                todo += together.inside(needed)
        if change.kind in (Kind.REMOVED, Kind.RENAMED) or change.type_changed:
            # What was in there and lives on elsewhere leaves it before.
            todo += [renames[old] for old in old_paths.below(change.old_path or change.path)]
    layout.chosen = dict(sorted(chosen.items(), key=lambda item: item[0].split("/")))
    layout.sort_out()


class _Swapped:
    """Changes by which an object came to another place, or left one, by its identity."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.come: dict[tuple[int, int], list[Change]] = {}
        self.left: dict[tuple[int, int], list[Change]] = {}
        for change in layout.changes.values():
            old, new = change.old, change.new
            if old is not None and new is not None and old.identity == new.identity:
                continue
            if new is not None:
                self.come.setdefault(new.identity, []).append(change)
            if old is not None:
                self.left.setdefault(old.identity, []).append(change)

    def of(self, change: Change) -> Iterator[Change]:
        """Where what was there is now, and its other names that go; what became of the place that this has left."""
        old, new = change.old, change.new
        if old is not None:
            yield from self.come.get(old.identity, ())
            if old.nlink > 1 and not old.is_dir:
                yield from self.left.get(old.identity, ())
        if new is not None:
            yield from self.left.get(new.identity, ())
        if change.kind is Kind.RENAMED and change.old_path is not None:
            yield from self.goes_above(change.old_path)

    def goes_above(self, old_path: str) -> Iterator[Change]:
        """Directories that go with all that is left in them: what leaves them first changes them."""
        for path in self.layout.parents(old_path):
            above = self.layout.changes.get(path)
            if above is not None and (above.kind is Kind.REMOVED or above.type_changed):
                yield above


def _add_unchanged_names(layout: Layout) -> None:
    """A name that did not change, of a file that got more names, has to come to the same layer as these."""
    for paths in layout.links.values():
        changed = [path for path in paths if path in layout.changes]
        for path in paths if changed else ():
            if path not in layout.changes and layout.tree.lstat(layout.relative(path)) is None:
                layout.changes[path] = Change(path, Kind.METADATA, layout.view.stat(path), layout.base.find(path), path)


def _links(changes: Iterable[Change]) -> dict[tuple[int, int], list[Change]]:
    """Changes of files with several names, by identity."""
    found: dict[tuple[int, int], list[Change]] = {}
    for change in changes:
        if change.new is not None and change.new.nlink > 1 and not change.new.is_dir:
            found.setdefault(change.new.identity, []).append(change)
    return found


def _other_names(change: Change, links: dict[tuple[int, int], list[Change]]) -> list[Change]:
    return [] if change.new is None else links.get(change.new.identity, [])


def _new_parents(layout: Layout, change: Change) -> Iterator[Change]:
    """Directories above it that come to be, or get another name."""
    for path in layout.parents(change.path):
        above = layout.changes.get(path)
        if above is not None and (above.kind is Kind.RENAMED or above.type_changed or becomes_directory(above)):
            yield above


# ---- refusing


def refuse(layout: Layout, *, force: bool, maker: int = 0) -> dict[str, str]:
    """Takes out of layout.chosen what cannot be or must not be, with all that needs it; returns path → reason.

    maker: user id of who has made the layer; what he could not have done himself waits to be asked for.
    """
    refused = {}
    for path, change in layout.chosen.items():
        why = _impossible(layout, change, force)
        if not why and not force and (why := _unmerged(layout, change)):
            layout.conflicts.append(path)
        if not why and maker not in (0, os.geteuid()):
            why = _beyond(layout, change, maker)
        if why:
            refused[path] = why
    together = Together(layout)
    while (count := len(refused)) >= 0:
        _refuse_dependants(layout, refused)
        _refuse_parts(layout, together, refused)
        if len(refused) == count:
            break
    for path in refused:
        del layout.chosen[path]
    layout.sort_out()
    return refused


def _refuse_parts(layout: Layout, together: Together, refused: dict[str, str]) -> None:
    """Refuses what has to be committed together with something refused."""
    broken = {above: path for path in refused for above in layout.above(path)
              if above in together.whole or (above == path and above in together.places)}
    for path, change in layout.chosen.items() if broken else ():
        why = next((broken[directory] for directory in together.needs(change) if directory in broken), None)
        if path not in refused and why is not None:
            refused[path] = f"needs {why}, which is refused"


def _refuse_dependants(layout: Layout, refused: dict[str, str]) -> None:
    links = _links(layout.chosen.values())
    todo = list(refused)
    while todo:
        path = todo.pop()
        first = layout.chosen[path]
        needing = [change.path for change in _other_names(first, links)]
        if first.kind is Kind.RENAMED or first.type_changed or becomes_directory(first):
            needing += [other for other in layout.chosen if other != path and below(other, path)]
        if first.kind is Kind.RENAMED and first.old_path is not None:
            needing += [other.path for other in layout.chosen.values()
                        if (other.kind in (Kind.REMOVED, Kind.RENAMED) or other.type_changed)
                        and other is not first and below(first.old_path, other.old_path or other.path)]
        for other in needing:
            if other not in refused:
                refused[other] = f"needs {path}, which is refused"
                todo.append(other)


def _impossible(layout: Layout, change: Change, force: bool) -> str:
    """Why this user cannot make the change, "" if nothing is known against it."""
    if os.geteuid() == 0:
        return ""
    new, old = change.new, change.old
    if change.kind is Kind.METADATA:
        if old is not None and old.uid != os.geteuid():
            return f"no permission to change attributes of what belongs to user {old.uid}"
    else:
        parent = layout.now(layout.parent(change.path))
        if parent is not None and layout.tree.lstat(parent) is not None and not layout.tree.writable(parent):
            return f"no permission to change {layout.parent(change.path)}"
    if new is not None and not force and (change.kind is not Kind.METADATA or "owner" in change.metadata
                                          or "group" in change.metadata) and not _own(new):
        return f"{ONLY_ROOT} {new.uid}:{new.gid}"
    if old is not None and old.is_dir and change.old_path and (change.kind is Kind.REMOVED or change.type_changed):
        return conflicts.removable(layout.tree, layout.relative(change.old_path))
    return ""


def _beyond(layout: Layout, change: Change, maker: int) -> str:
    """What only root, or we, may set for the maker of the layer, "" if there is nothing of it."""
    told = change.privileges(layout.view, maker)
    return f"user {maker}, whose layer it is, cannot set: {', '.join(told)} (--trust sets it)" if told else ""


def _own(status: Stat) -> bool:
    return status.uid == os.geteuid() and status.gid in (os.getegid(), *os.getgroups())


def _unmerged(layout: Layout, change: Change) -> str:
    """`conflict`, of what was not merged, or is not any more what was merged."""
    why, texts = conflict(layout, change), layout.texts
    if why and change.path in texts.hosts and change.old_path is not None:
        host = layout.base.entry(change.old_path).lower_path
        return "" if identity(os.lstat(host)) == texts.hosts[change.path] else why
    return f"{why}; {texts.why[change.path]}" if why and change.path in texts.why else why


def conflict(layout: Layout, change: Change) -> str:
    """Why what the host has may not be replaced, "" if it may."""
    held = layout.held.get(change.path)
    base = layout.base_of(change.path)
    if change.old is None or change.old_path is None:
        copied = base is not None and change.new is not None and not change.new.is_dir
        return "removed on the host since" if copied and not _is_there(layout, change.new) else ""
    if change.kind is Kind.RENAMED and not change.content:
        return ""  # it is the host's object that is moved
    if change.path == layout.sandbox.mount:
        return ""
    entry = held.entry if held else _entry_above(layout, change.path)
    taken = conflicts.NEVER if layout.sandbox.metadata.parent else conflicts.since(
        entry, layout.sandbox.upper, layout.prefix)
    now = os.lstat(layout.base.entry(change.old_path).lower_path)
    if change.kind is Kind.METADATA and change.old.is_dir:
        return conflicts.directory_changed(base, now, taken)
    if change.old.is_dir:
        old = layout.relative(change.old_path)
        return conflicts.tree_changed(layout.tree, old, taken, layout.leaving(old))
    why = conflicts.file_changed(base, now, taken)
    if why and change.kind is Kind.METADATA and base is not None and \
            (base.mode, base.uid, base.gid) == (now.st_mode, now.st_uid, now.st_gid):
        return ""  # the contents are the same, and the host's attributes are what they were
    return why


def _is_there(layout: Layout, status: Stat | None) -> bool:
    """Whether the lowers have this file, by another name of it (in a directory that may have been renamed) or where
    something else is now."""
    identity = status.identity if status is not None else (0, 0)
    olds = (change.old.identity for change in layout.changes.values() if change.old is not None)
    names = (layout.held.get(path) for path in layout.links.get(identity, []))
    return identity in olds or any(held is None or held.entry.lower for held in names)


def _entry_above(layout: Layout, path: str) -> Entry:
    """The innermost directory of the upper that the path is in: it hides what the lowers have there."""
    for above in layout.parents(path):
        if above in layout.held:
            return layout.held[above].entry
    return layout.view.entry(layout.sandbox.mount)
