"""What review and commit leave out: noise that programs make beside what they are for.

Patterns are those of gitignore(5).  Ours and the user's are for all of the view; the project's are for what is below
its file.  A path that the user has named himself is never left out, nor what is below it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptoverlay import errors
from ptoverlay.layer.changes import Change, absolute
from ptoverlay.settings.files import Settings, load

if TYPE_CHECKING:
    import pathspec

#: Histories of shells, editors and interpreters, and caches.
DEFAULT = (
    ".bash_history", ".zsh_history", ".local/share/fish/fish_history", ".python_history", ".node_repl_history",
    ".sqlite_history", ".psql_history", ".irb_history", ".lesshst", ".wget-hsts", ".viminfo",
    ".local/share/nvim/shada/", ".local/share/recently-used.xbel", ".*.sw[op]", ".cache/", ".npm/_cacache/",
    ".pytest_cache/", ".mypy_cache/", ".ruff_cache/",
)


@dataclass
class Ignore:
    """lists: for each the directory that its patterns begin at, and the patterns; a later one counts more.  count: how
    many changes were left out."""

    lists: list[tuple[str, pathspec.GitIgnoreSpec]] = field(default_factory=list)
    count: int = 0

    @classmethod
    def of_settings(cls) -> Ignore:
        """Of all files of settings."""
        found = load()
        made = cls()
        if all(_takes_default(settings) for settings in found):
            made.add("/", [f"**/{pattern}" if "/" in pattern.rstrip("/") else pattern for pattern in DEFAULT])
        for settings in found:
            lines = settings.strings(settings.data.get("ignore", []), "ignore")
            home = os.path.expanduser("~")
            made.add("/" if settings.own else settings.base,
                     [home + line[1:] if settings.own and line.startswith("~/") else line for line in lines])
        return made

    def add(self, base: str, lines: Sequence[str]) -> None:
        if lines:
            from pathspec import GitIgnoreSpec

            self.lists.append((base, GitIgnoreSpec.from_lines(lines)))

    def matches(self, path: str, directory: bool) -> bool:
        for base, spec in reversed(self.lists):
            top = base.rstrip("/") + "/"
            if path.startswith(top):
                found = spec.check_file(path[len(top):] + "/" * directory).include
                if found is not None:
                    return bool(found)
        return False

    def leaves_out(self, change: Change) -> bool:
        """Whether a change is noise, with both its names."""
        names = [(change.path, change.new), (change.old_path, change.old)]
        shown = [(path, status) for path, status in names if path is not None and status is not None]
        return all(self.matches(path, status.is_dir) for path, status in shown)

    def without(self, found: Sequence[Change], words: Sequence[str], mount: str) -> list[Change]:
        """The changes that are none; words: PATHs that the user has named."""
        named = [absolute(word, mount) for word in words if self.matches(absolute(word, mount), True)]
        left = [change for change in found if not self.leaves_out(change) or any(
            change.path == path or change.path.startswith(f"{path}/") for path in named)]
        self.count += len(found) - len(left)
        return left

    def tell(self) -> None:
        """That there is something more."""
        if self.count:
            changes = f"{self.count} change{'s' * (self.count > 1)}"
            errors.report(f"{changes} left out, which the ignore list names (--no-ignore)")


def _takes_default(settings: Settings) -> bool:
    given = settings.data.get("default-ignore", True)
    if not isinstance(given, bool):
        settings.fail("default-ignore", "true or false is meant", "default-ignore = false")
    return given
