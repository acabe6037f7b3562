"""What a remembered run has changed: kept in the store, and done again in a layer.

Rules: what a layer cannot be made to show again bit for bit (directories of the host under another name, devices,
sockets, attributes that only some may set) makes that a run is not remembered; times that the run has set by itself
stay what they were, those that it has left to the kernel are now's, in their order, since who compares times (make)
must see that it has just been made.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from ptoverlay.cached.store import Store
from ptoverlay.layer.changes import Change, Kind
from ptoverlay.layer.view import View

_CHUNK = 1 << 20
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Deed:
    """One change.  kind: of `Kind`; type: file type of what is there now, 0: nothing; digest: of a file's contents, ""
    where they are as they were; target: of a symlink; link_to: another path that is the same file."""

    path: str
    kind: str
    type: int
    mode: int
    mtime: int
    uid: int = 0
    gid: int = 0
    digest: str = ""
    target: str = ""
    link_to: str = ""
    attributes: tuple[tuple[str, str], ...] = ()  # extended ones, values in hex


class Unkept(Exception):
    """Why a change cannot be kept."""


def keep(view: View, found: list[Change], store: Store) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The changes as they are kept, and the files that were put into the store, with their sizes."""
    kept, files = [], dict[str, int]()
    for change in found:
        for done in (*_gone(change), _keep(view, change, store, files)):
            kept.append({name: value for name, value in asdict(done).items() if value not in ("", 0, ())})
    return kept, files


def _gone(change: Change) -> Iterator[Deed]:
    """The old name of what was renamed."""
    if change.kind is Kind.RENAMED and change.old_path is not None:
        yield Deed(change.old_path, str(Kind.REMOVED), 0, 0, 0)


def _keep(view: View, change: Change, store: Store, files: dict[str, int]) -> Deed:
    new = change.new
    if new is None:
        return Deed(change.path, str(change.kind), 0, 0, 0)
    if new.type not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise Unkept(f"it made {change.path}, which is no file, directory or symlink")
    if change.kind is Kind.RENAMED and new.is_dir:
        raise Unkept(f"it renamed the directory {change.old_path}")
    if os.geteuid() not in (0, new.uid):
        raise Unkept(f"it changed {change.path}, which is another user's")
    digest = target = ""
    if new.is_file and (change.content or change.kind is Kind.RENAMED) and change.link_to is None:
        digest, size = store.put(_read(view, change.path))
        files[digest] = size
    elif new.is_link:
        target = view.readlink(change.path)
    attributes = tuple(sorted((name, value.hex()) for name, value in view.xattrs(change.path).items()
                              if not new.is_link and name.startswith("user.")))
    return Deed(change.path, str(change.kind), new.type, stat.S_IMODE(new.mode), new.mtime, new.uid, new.gid,
                digest, target, change.link_to or "", attributes)


def _read(view: View, path: str) -> Iterator[bytes]:
    with open(view.open(path, os.O_RDONLY), "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def of_json(data: list[dict[str, Any]]) -> list[Deed]:
    """ValueError, TypeError for what is none."""
    known = {field.name for field in fields(Deed)}
    made = []
    for one in data:
        if not one.keys() <= known:
            raise ValueError("not a change")
        values = {"type": 0, "mode": 0, "mtime": 0, "uid": 0, "gid": 0, **one}
        values["attributes"] = tuple((str(name), str(value)) for name, value in values.get("attributes", ()))
        made.append(Deed(**values))
    return made


class Replay:
    """Does changes again, in a view.  started, ended: nanoseconds since 1970, of the run that did them first; now: when
    it is to have ended this time."""

    def __init__(self, view: View, store: Store, started: int, ended: int, now: int) -> None:
        self._view = view
        self._store = store
        self._window = (started - _SECOND, ended + _SECOND)
        self._shift = now - ended

    def do(self, changes: list[Deed]) -> None:
        """All of them; store.Damaged, OSError."""
        gone = [done for done in changes if not done.type]
        for done in sorted(gone, key=lambda one: one.path, reverse=True):
            if self._view.find(done.path) is not None:
                self._view.remove(done.path)
        there = sorted((done for done in changes if done.type), key=lambda one: (bool(one.link_to), one.path))
        for done in there:
            self._make(done)
        for done in reversed(there):  # what is made in a directory changes its time
            self._attributes(done)

    def _make(self, done: Deed) -> None:
        found = self._view.find(done.path)
        if found is not None and (found.type != done.type or done.target or done.link_to):
            self._view.remove(done.path)
            found = None
        if done.link_to:
            self._view.link(done.link_to, done.path)
        elif done.type == stat.S_IFDIR and found is None:
            self._view.mkdir(done.path, 0o700)
        elif done.type == stat.S_IFLNK:
            self._view.symlink(done.target, done.path)
        elif done.digest:
            self._write(done)

    def _write(self, done: Deed) -> None:
        if self._view.find(done.path) is not None:
            self._view.unlink(done.path)
        with open(self._view.open(done.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for chunk in self._store.get(done.digest):
                file.write(chunk)

    def _attributes(self, done: Deed) -> None:
        found = self._view.stat(done.path)
        if (found.uid, found.gid) != (done.uid, done.gid):
            self._view.chown(done.path, done.uid, done.gid)
        if done.type != stat.S_IFLNK:
            for name, value in done.attributes:
                self._view.setxattr(done.path, name, bytes.fromhex(value))
            self._view.chmod(done.path, done.mode)
            self._view.utimens(done.path, self._time(done.mtime), self._time(done.mtime))

    def _time(self, mtime: int) -> int:
        started, ended = self._window
        return mtime + self._shift if started <= mtime <= ended else mtime
