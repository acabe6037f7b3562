"""Which layer a path of the view comes from, and why.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ptoverlay.errors import named
from ptoverlay.layer.changes import TYPE_NAMES
from ptoverlay.layer.view import Entry, Stat, View
from ptoverlay.sandboxes.sandbox import Sandbox


@dataclass(frozen=True)
class Explanation:
    """What there is to say of one path.

    why: one of the words of `_WHY`; type: of what the view shows, "" for nothing; upper_path, lower_path: real paths of
    what those layers have there, "" for nothing; lower: the lower that it has, "" for none; by: the directory above it
    that decides, if it is not the path itself; details: sentences.
    """

    path: str
    why: str
    type: str
    upper_path: str = ""
    lower_path: str = ""
    lower: str = ""
    by: str = ""
    details: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        return bool(self.type)

    def as_json(self) -> dict[str, Any]:
        """As json.dumps takes it; what is not there is null."""
        out: dict[str, Any] = {name: getattr(self, name) or None
                               for name in ("path", "why", "type", "upper_path", "lower_path", "lower", "by")}
        return {**out, "exists": self.exists, "details": list(self.details)}

    def text(self) -> str:
        """Several lines, without a newline at the end."""
        shows = self.type or "nothing is there"
        why = _WHY[self.why].format(by=named(self.by), lower=named(self.lower))
        lines = [f"{named(self.path)}: {self.why}: {why}", f"  shows  {shows}"]
        lines += [f"  upper  {named(self.upper_path)}"] * bool(self.upper_path)
        lines += [f"  lower  {named(self.lower_path)}"] * bool(self.lower_path)
        lines += [f"  note   {detail}" for detail in self.details]
        return "\n".join(lines)


_WHY = {
    "lower": "it is the lower's, and the upper has nothing there",
    "copied up": "the upper has a copy of the lower's, which hides it",
    "new": "the upper alone has it",
    "replaced": "the upper has another object, which hides the lower's",
    "merged": "a directory of the upper together with the lowers' of this name",
    "opaque": "a directory of the upper that hides what the lowers have there",
    "redirect": "a directory of the upper together with the lowers' directory of another name",
    "whiteout": "a whiteout of the upper hides what the lower has there",
    "below a whiteout": "a whiteout of the upper hides {by}",
    "below an opaque directory": "the upper's directory {by} is opaque and does not merge the lowers'",
    "below a redirect": "the upper's directory {by} merges the lowers' directory of another name",
    "below a file": "{by} is no directory in the upper",
    "hidden": "hidden in the view: a layer directory, or a --hide place",
    "direct": "outside of every overlay, or a direct place: as on the host",
    "absent": "no layer has it",
}


def explain(box: Sandbox, view: View, base: View, path: str) -> Explanation:
    """The explanation of an absolute path of the view."""
    new = view.find(path)
    before = base.find(path)
    kind = TYPE_NAMES.get(new.type, "unknown") if new else ""
    try:
        entry = view.entry(path)
    except (FileNotFoundError, NotADirectoryError):
        why, by = _absent(view, base, path, before)
        return Explanation(path, why, "", by=by, **_lower(box, base, path, before))
    if entry.hidden or entry.direct:
        return Explanation(path, "hidden" if entry.hidden else "direct", kind)
    old_path = base.map_back(entry.lower_path) if entry.lower_path else path
    before = base.find(old_path)
    if entry.whiteout and not before:
        return Explanation(path, "absent", "", entry.upper_path, details=("there is a whiteout that hides nothing",))
    if not entry.upper and not entry.whiteout:
        why, by = _of_lower(view, path, old_path)
        return Explanation(path, why, kind, "", entry.lower_path, _layer(box, entry), by)
    where = {"lower_path": entry.lower_path, "lower": _layer(box, entry)}
    return Explanation(path, _of_upper(entry, new, before), kind, entry.upper_path,
                       details=(*_details(view, base, path, old_path, new, before), *_moved(entry, new, before)),
                       **(where if entry.lower_path else _lower(box, base, path, before)))


def _layer(box: Sandbox, entry: Entry) -> str:
    return box.lowers[entry.layer - 1] if entry.layer else ""


def _lower(box: Sandbox, base: View, path: str, before: Stat | None) -> dict[str, Any]:
    """What the lowers have at a path where the view does not look for it."""
    if before is None:
        return {}
    entry = base.entry(path)
    return {"lower_path": entry.lower_path, "lower": _layer(box, entry)}


def _of_upper(entry: Entry, new: Stat | None, before: Stat | None) -> str:
    if entry.whiteout:
        return "whiteout"
    if entry.redirect:
        return "redirect"
    if new is not None and new.is_dir:
        if before is None or not before.is_dir:
            return "replaced" if before else "new"
        return "opaque" if entry.opaque or not entry.lower else "merged"
    if before is None:
        return "new"
    same = new is not None and new.type == before.type and new.identity == before.identity
    return "copied up" if same else "replaced"


def _of_lower(view: View, path: str, old_path: str) -> tuple[str, str]:
    """Shown from a lower: usually of its own name."""
    if path != old_path:
        for above in _above(path):
            if view.entry(above).redirect:
                return "below a redirect", above
    return "lower", ""


def _absent(view: View, base: View, path: str, before: Stat | None) -> tuple[str, str]:
    """Why a path that no entry of the view has is not there."""
    for above in _above(path):
        try:
            entry = view.entry(above)
        except (FileNotFoundError, NotADirectoryError):
            continue
        status = view.find(above)
        if entry.hidden:
            return "hidden", ""
        if status is not None and not status.is_dir and before is not None:
            return "below a file", above
        if entry.whiteout and before is not None:
            return "below a whiteout", above
        if before is not None and (entry.opaque or entry.redirect):
            return "below an opaque directory" if entry.opaque else "below a redirect", above
    return "absent", ""


def _above(path: str) -> Iterator[str]:
    """The directories above a path, from the nearest on."""
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        yield path


def _details(view: View, base: View, path: str, old_path: str, new: Stat | None, before: Stat | None) -> Iterator[str]:
    if new is not None and new.nlink > 1 and not new.is_dir:
        yield f"one of {new.nlink} names of the same file"
    if old_path != path:
        yield f"without the upper it is {old_path}"
    if new is not None and before is not None and new.is_file and before.is_file:
        yield "its content differs from the lower's" if _differs(view, base, path, old_path, new, before) else (
            "its content is the lower's")


def _moved(entry: Entry, new: Stat | None, before: Stat | None) -> Iterator[str]:
    """A copied-up object keeps the identity of the lower's, under whatever name."""
    if new is not None and before is None and not new.is_dir and new.ino != os.lstat(entry.upper_path).st_ino:
        yield "it was copied up under another name: ptoverlay diff tells which, unless that is there again"


def _differs(view: View, base: View, path: str, old_path: str, new: Stat, before: Stat) -> bool:
    try:
        return new.size != before.size or not view.same_content(path, base, old_path)
    except PermissionError:
        return True
