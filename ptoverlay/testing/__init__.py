"""Overlays for tests: what the pytest plugin hands out.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ptoverlay.api.overlay import Overlay
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.process import StrPath


@dataclass(frozen=True)
class Changed:
    """What was changed, as sets of absolute paths to compare with; renamed: old path → new path; all: the `Change`
    objects, by path."""

    added: frozenset[str]
    modified: frozenset[str]
    removed: frozenset[str]
    metadata: frozenset[str]
    renamed: dict[str, str]
    all: dict[str, Change]

    @classmethod
    def of(cls, changes: Sequence[Change]) -> Changed:
        """From a list of changes."""
        kinds = {kind: frozenset(change.path for change in changes if change.kind is kind) for kind in Kind}
        return cls(kinds[Kind.ADDED], kinds[Kind.MODIFIED], kinds[Kind.REMOVED], kinds[Kind.METADATA],
                   {change.old_path or "": change.path for change in changes if change.kind is Kind.RENAMED},
                   {change.path: change for change in changes})

    def __bool__(self) -> bool:
        """Whether anything was."""
        return bool(self.all)

    def __str__(self) -> str:
        return "\n".join(f"{change.kind:<9} {change.path}" for change in self.all.values())


class Box(Overlay):
    """An `Overlay` for a test.

    layers: itself, and those that were laid upon it for commands that started while others were running.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._given = {name: options[name] for name in ("direct", "read_only", "hide", "trap", "strict", "kill_on_exit",
                                                             "inject", "fake_root", "limit") if name in options}
        self.layers: list[Overlay] = [self]

    def lay_another(self) -> Overlay:
        """A new layer on top of all."""
        top = self.layers[-1]
        new = Overlay([top.upper, *top.lowers], mount=top.mount, **self._given).open()
        self.layers.append(new)
        return new

    def close(self) -> None:
        """Closes all layers."""
        for layer in reversed(self.layers[1:]):
            layer.close()
        del self.layers[1:]
        super().close()

    @property
    def changed(self) -> Changed:
        """What the commands have changed so far."""
        found: dict[str, Change] = {}
        for layer in self.layers:
            found.update({change.path: change for change in layer.changes()})
        return Changed.of([found[path] for path in sorted(found)])

    def has(self, path: StrPath) -> bool:
        """Whether the view has this path."""
        top = self.layers[-1]
        with top._opened().view() as view:
            try:
                view.stat(os.path.abspath(path), follow=True)
            except OSError:
                return False
        return True

    def describe(self, limit: int) -> str:
        """The changes for a report, `limit` lines at most; "" for none, and when it is closed."""
        try:
            lines = str(self.changed).splitlines()
        except (Failure, OSError) as error:
            return f"not known: {error}" if self._sandbox is not None else ""
        more = [f"… and {len(lines) - limit} more"] if len(lines) > limit else []
        return "\n".join([*lines[:limit], *more])
