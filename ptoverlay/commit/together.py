"""What has to be committed together, because one part cannot be shown right without the other.

A directory of the upper that hides what the lower has under its name (opaque), or shows what the lower has under
another one (redirect), stays right only if all that is in it is committed at once, together with whatever changes the
place that it shows.  The exception is a renamed directory that is renamed on the lower too: it is an ordinary one then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import stat

from ptoverlay.commit.layout import Held, Layout
from ptoverlay.commit.tree import below
from ptoverlay.layer.changes import Change, Kind


class Together:
    """Directories whose changes belong together, by their paths in the view.

    places: of those that show what the lowers have elsewhere: its path in the view of the lowers.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.whole = {path for path, held in layout.held.items() if self._is_whole(path, held)}
        self.places = {path: self._place(held) for path, held in layout.held.items()
                       if held.is_dir and held.entry.redirect and held.entry.lower == stat.S_IFDIR}

    def _is_whole(self, path: str, held: Held) -> bool:
        if not held.is_dir:
            return False
        if held.entry.redirect:
            change = self.layout.changes.get(path)
            return change is None or change.kind is not Kind.RENAMED or not self.layout.can_move(change)
        return held.entry.opaque and bool(held.entry.lower)

    def _place(self, held: Held) -> str:
        lower = self.layout.sandbox.lowers[held.entry.layer - 1].rstrip("/")
        return self.layout.sandbox.mount.rstrip("/") + held.entry.lower_path[len(lower):]

    def inside(self, directory: str) -> list[Change]:
        """The changes of a directory: if it is one that goes as a whole all of them, else the one of itself."""
        if directory in self.whole:
            return [change for change in self.layout.changes.values() if below(change.path, directory)]
        own = self.layout.changes.get(directory)
        return [] if own is None else [own]

    def needs(self, change: Change) -> list[str]:
        """The directories whose `inside` has to be committed with this change."""
        if not self.whole and not self.places:
            return []
        needed = [above for above in self.layout.above(change.path) if above in self.whole]
        old = change.old_path or change.path
        goes = change.kind in (Kind.REMOVED, Kind.RENAMED) or change.type_changed
        for path, place in self.places.items():
            if below(change.path, path):
                continue
            shown = path in self.whole and (below(old, place) or below(change.path, place))
            if shown or (goes and below(place, old)):
                needed.append(path)
        return needed
