"""Files of several names across layers: what csrc/view/upper/links.c knows of them lies in the work directory of one
layer.

A copy stands for all names that its file has in the lowers, those too that nobody has looked up yet.  Once its layer is
a lower itself, these would lead to the old file.  So before that all names that earlier steps have are looked up; where
others are left, which only the host knows, the layer cannot become one: the next run goes on in it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ptoverlay.history.copy import opened
from ptoverlay.layer.view import View
from ptoverlay.sandboxes.sandbox import Sandbox

REMOVED, PENDING = ".removed", ".pending"
Key = tuple[int, int]


def join(box: Sandbox) -> None:
    """Gives the upper all names of its copies that earlier steps have, and counts anew which of their files' names were
    removed.  Call it with the sandbox locked."""
    wanted = {key for key, _ in copies(box.work)}
    counted = dict(_removed(box.work))
    if not box.steps or not (wanted or counted):
        return
    shown: dict[Key, int] = {}
    links: dict[Key, int] = {}
    with box.view(writable=True) as view:
        for top in box.steps:
            for real in files(top):
                status = os.lstat(real)
                key = status.st_dev, status.st_ino
                if key in wanted or key in counted:
                    links[key] = status.st_nlink
                    shown[key] = shown.get(key, 0) + _is_shown(view, real)
    for key in counted.keys() & links.keys():
        _count(counted[key], links[key] - shown[key])


def _is_shown(view: View, real: str) -> bool:
    """Whether a lower's name is one of the view; asking makes it one of the copy."""
    try:
        return view.find(view.map_back(real)) is not None
    except OSError:
        return False


def _count(path: str, removed: int) -> None:
    if removed > 0:
        os.truncate(path, removed)
    else:
        os.unlink(path)


def _removed(work: str) -> Iterator[tuple[Key, str]]:
    """Files of which names were removed, (st_dev, st_ino), and where their number is."""
    for name in _names(os.path.join(work, "links")):
        if name.endswith(REMOVED):
            yield _key(name.removesuffix(REMOVED)), os.path.join(work, "links", name)


def _key(name: str) -> Key:
    device, _, number = name.partition("-")
    return int(device, 16), int(number, 16)


def are_left(box: Sandbox) -> bool:
    """Whether a copy stands for names that nobody knows."""
    return any(True for _ in copies(box.work)) or _is_used(os.path.join(box.work, "index"))


def copies(work: str) -> Iterator[tuple[Key, str]]:
    """What the copies of a work directory were copied from, (st_dev, st_ino), and their names there."""
    for name in _names(os.path.join(work, "links")):
        if not name.endswith((REMOVED, PENDING)):
            yield _key(name), name


def carry(work: str, new: str) -> None:
    """How many names of a file were removed counts in the layers above as well."""
    for name in _names(os.path.join(work, "links")):
        if name.endswith(REMOVED):
            os.makedirs(os.path.join(new, "links"), 0o700, exist_ok=True)
            with open(os.path.join(new, "links", name), "wb") as file:
                file.truncate(os.lstat(os.path.join(work, "links", name)).st_size)


def files(top: str) -> Iterator[str]:
    """All below a directory but directories."""
    todo = [top] if os.path.isdir(top) else []
    while todo:
        here = todo.pop()
        with opened(here), os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    yield entry.path


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _is_used(index: str) -> bool:
    """Whether the kernel's overlayfs has put copies there."""
    return any(not name.startswith(".") for name in _names(index))
