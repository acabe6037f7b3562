"""Calls that change things, on a plain directory and on a view, and what both show then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

from ptoverlay.commit import kernel
from ptoverlay.layer.view import View

from .trees import tree

TREE = [("mkdir", "d"), ("mkdir", "d/e"), ("write", "d/a"), ("write", "d/e/b"), ("mkdir", "e"), ("write", "e/a"),
        ("write", "b"), ("link", "d/a", "e/l")]


class Plain:
    """The calls on a plain directory."""

    def __init__(self, top: Path) -> None:
        self.top = top

    def path(self, name: str) -> str:
        return f"{self.top}/{name}"

    def write(self, path: str, data: bytes, flags: int) -> None:
        with open(os.open(path, os.O_WRONLY | flags, 0o644), "wb") as file:
            file.write(data)

    def exchange(self, old: str, new: str) -> None:
        kernel.rename2(-100, old, -100, new, kernel.RENAME_EXCHANGE)

    def wipe(self, path: str) -> None:
        """rm -r, name by name."""
        for name in os.listdir(path):
            below = f"{path}/{name}"
            if os.path.isdir(below) and not os.path.islink(below):
                self.wipe(below)
            else:
                os.unlink(below)
        os.rmdir(path)

    mkdir, unlink, rmdir, symlink, chmod, rename = os.mkdir, os.unlink, os.rmdir, os.symlink, os.chmod, os.rename

    def link(self, old: str, new: str) -> None:
        os.link(old, new, follow_symlinks=False)


class Merged(Plain):
    """The calls on a view."""

    def __init__(self, view: View, top: Path) -> None:
        super().__init__(top)
        self.view = view
        for name in ("mkdir", "unlink", "rmdir", "chmod", "rename", "link", "write"):
            setattr(self, name, getattr(view, name))

    def symlink(self, target: str, path: str) -> None:  # type: ignore[override]
        self.view.symlink(target, path)

    def exchange(self, old: str, new: str) -> None:
        self.view.rename(old, new, kernel.RENAME_EXCHANGE)

    def wipe(self, path: str) -> None:
        for name in self.view.list(path):
            below = f"{path}/{name}"
            if self.view.stat(below).is_dir:
                self.wipe(below)
            else:
                self.view.unlink(below)
        self.view.rmdir(path)


def do(place: Any, operation: tuple[str, ...], number: int) -> int:
    """One call; its errno, 0 when it went well."""
    name, *names = operation
    paths = [place.path(path) for path in names]
    try:
        if name in ("write", "append"):
            flags = os.O_CREAT | os.O_TRUNC if name == "write" else os.O_APPEND
            place.write(paths[0], f"{number}\n".encode(), flags | os.O_NOFOLLOW)
        elif name == "mkdir":
            place.mkdir(paths[0], 0o755)
        elif name == "symlink":
            place.symlink(f"to-{number}", paths[0])
        elif name == "chmod":
            place.chmod(paths[0], 0o700 + number % 64)
        else:
            getattr(place, name)(*paths)
    except OSError as error:
        return error.errno or -1
    return 0


def of_view(view: View, top: str) -> dict[str, tuple[object, ...]]:
    """What a view shows: mode, and contents or target."""
    found: dict[str, tuple[object, ...]] = {}
    todo = [top]
    while todo:
        here = todo.pop()
        for name in view.list(here):
            path = f"{here}/{name}"
            status = view.stat(path)
            content = view.read(path) if status.is_file else view.readlink(path) if status.is_link else ""
            found[path.removeprefix(f"{top}/")] = oct(status.mode), content
            todo += [path] if status.is_dir else []
    return found


def of_directory(top: Path) -> dict[str, tuple[object, ...]]:
    """The same of a plain directory."""
    with View() as view:
        view.lay([top], None, None, top)
        return of_view(view, str(top))


def shown(top: Path) -> dict[str, tuple[object, ...]]:
    """The tree without the attributes of the file system itself."""
    return {path: entry[:3] for path, entry in tree(top).items()}


def call_of(top: Path, random: Random) -> tuple[str, ...]:
    """A call on something that is there."""
    paths = sorted(str(path.relative_to(top)) for path in top.rglob("*"))
    files = [path for path in paths if not (top / path).is_dir()] or ["none"]
    places = ["", *(f"{path}/" for path in paths if (top / path).is_dir())]
    new = f"{random.choice(places)}{random.choice('abdefg')}"
    name = random.choice(["rename", "rename", "rename", "link", "link", "link", "exchange", "append", "unlink", "mkdir",
                          "chmod"])
    any_one = random.choice(paths or ["none"])
    return {"rename": (name, any_one, new), "link": (name, random.choice(files), new), "mkdir": (name, new),
            "exchange": (name, any_one, random.choice(paths or ["none"]))}.get(name, (name, random.choice(files)))
