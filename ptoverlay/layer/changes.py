"""What a layer changes: the one walk over an upper that diff, commit, stats, reports and the API share.

    with sandbox.view() as view, sandbox.base() as base:
        for change in changes(view, base, sandbox.mount):
            print(change.kind, change.path)

Two views are compared: the merged one, and the one of the lowers alone.  Only what the upper holds is visited, except
below directories that are opaque or have taken another one's name, where everything is.

A rename is told by identity: st_dev and st_ino of what was copied up are those of the lower.  Layers of other makers do
not keep it in a way that everybody may read, so what has the type, content, size and time of something removed counts
as that one too.

Rules: contents decide, not times: a copy-up that nothing was written to is no change; what a directory's own times say
is not a change, since they follow from what happened in it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NoReturn

from ptoverlay import errors
from ptoverlay.console.progress import OBJECT, Advance
from ptoverlay.layer import private
from ptoverlay.layer.view import Stat, View


class Kind(StrEnum):
    """What happened to a path."""

    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RENAMED = "renamed"
    METADATA = "metadata"  # nothing but attributes


#: File types by name, as `Change.as_json` and the diff show them.
TYPE_NAMES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
              stat.S_IFSOCK: "socket", stat.S_IFCHR: "character device", stat.S_IFBLK: "block device"}


#: What fuse-overlayfs leaves in a layer for itself, besides the marks that the view reads.
_NOT_ITS_OWN = ("user.fuseoverlayfs.",)
_OPAQUE_MARK = f"/{private.OPAQUE}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a path.

    path: absolute, in the view; old_path: where the lowers have it, also in the view's words, None when added;
    new, old: what it is and what it was, None when removed and when added; content: whether bytes, a symlink's target,
    a device number or the type differ; metadata: names of the attributes that differ: mode, owner, group, mtime,
    xattr NAME; link_to: of an added name, another path of the view that is the same file (hard link); entries, bytes:
    of a removed directory, how many objects were below it and their sizes; implied: removed because the directory
    above it was, or is one no more.
    """

    path: str
    kind: Kind
    new: Stat | None
    old: Stat | None
    old_path: str | None = None
    content: bool = False
    metadata: tuple[str, ...] = ()
    link_to: str | None = None
    entries: int = 0
    bytes: int = 0
    implied: bool = False

    @property
    def type(self) -> int:
        """File type (stat.S_IFMT) that it has, or had when it was removed."""
        status = self.new or self.old
        return status.type if status else 0

    @property
    def type_changed(self) -> bool:
        return self.new is not None and self.old is not None and self.new.type != self.old.type

    @property
    def size(self) -> int:
        """Bytes of the file now, 0 when it was removed and for all that is not a file."""
        return self.new.size if self.new is not None and self.new.is_file else 0

    @property
    def old_size(self) -> int:
        """Bytes of the file before."""
        return self.old.size if self.old is not None and self.old.is_file else 0

    def privileges(self, view: View, ordinary: int) -> list[str]:
        """What it sets that lets somebody do more than before: an owner other than the `ordinary` user, set-id bits,
        capabilities, a device.  Nothing for what is only removed or renamed."""
        new, old = self.new, self.old
        if new is None or (self.kind is Kind.RENAMED and not self.content and not self.metadata):
            return []
        made = self.content or old is None or "mode" in self.metadata
        told = []
        if made and new.mode & stat.S_ISUID and new.is_file:
            told.append(f"set-user-id {new.uid}")
        if made and new.mode & stat.S_ISGID and new.is_file:
            told.append(f"set-group-id {new.gid}")
        if "security.capability" in (view.xattrs(self.path) if new.is_file else ()):
            told.append("capabilities")
        if new.type in (stat.S_IFCHR, stat.S_IFBLK) and self.content:
            told.append(f"device {os.major(new.rdev)}:{os.minor(new.rdev)}")
        if new.uid != (ordinary if old is None else old.uid):
            told.append(f"owner {new.uid}:{new.gid}")
        return told

    def as_json(self) -> dict[str, Any]:
        """The fields that say something, as json.dumps takes them."""
        out: dict[str, Any] = {"path": self.path, "kind": str(self.kind), "type": TYPE_NAMES.get(self.type, "unknown")}
        if self.kind is Kind.RENAMED or self.old_path not in (None, self.path):
            out["old_path"] = self.old_path
        if self.type_changed and self.old:
            out["old_type"] = TYPE_NAMES.get(self.old.type, "unknown")
        for prefix, status in (("", self.new), ("old_", self.old)):
            if status is not None:
                out.update({f"{prefix}size": status.size, f"{prefix}mode": f"{stat.S_IMODE(status.mode):04o}",
                            f"{prefix}nlink": status.nlink,
                            f"{prefix}uid": status.uid, f"{prefix}gid": status.gid, f"{prefix}mtime_ns": status.mtime})
        out["content"] = self.content
        out["metadata"] = list(self.metadata)
        if self.link_to is not None:
            out["link_to"] = self.link_to
        if self.kind is Kind.REMOVED and self.type == stat.S_IFDIR:
            out.update(entries=self.entries, bytes=self.bytes)
        return out


def changes(view: View, base: View, mount: str, *, content: bool = True, directory_times: bool = False,
            expand: bool = False, strict: bool = False, advance: Advance = lambda _: None) -> list[Change]:
    """The changes that the upper of `view` makes to `base`, sorted by path, directories before what is in them.

    A directory that this user may not read is told in a line on standard error and counts as empty; so does what is
    too deep for a path.

    content: compare bytes; without it a file of the same size and time counts as the same (fast); directory_times: a
    directory of another mtime counts as changed; expand: also one change, implied, for each object below a removed
    directory; strict: OSError for what is too deep; advance: told of each object (progress.py).
    """
    walk = _Walk(view, base, content, directory_times, strict, advance)
    walk.directory(mount, mount, full=False)
    walk.root(mount)
    walk.resolve()
    found = [*walk.found, *walk.removals(expand)]
    return sorted(found, key=lambda change: change.path.rstrip("/").split("/"))


class _Enough(Exception):
    """One change is enough."""


def any_change(view: View, base: View, mount: str) -> bool:
    """Whether `changes` would find something, which is soon told where there is much."""
    def advance(_: int) -> None:
        if walk.found or walk.removed or walk.added or walk.pending:
            raise _Enough

    def unread(_: str) -> NoReturn:  # it can have changed
        raise _Enough

    walk = _Walk(view, base, content=True, directory_times=False, strict=False, advance=advance, unread=unread)
    try:
        walk.directory(mount, mount, full=False)
        walk.root(mount)
        advance(0)
    except _Enough:
        return True
    return False


#: A directory or a name to visit: its path, the base's path of it, and whether all of both views is; of a name also
#: what the view shows there, if that is known.
_Way = tuple[str, str | None, bool]
_Name = tuple[str, str | None, bool, Stat | None]


@dataclass
class _Walk:
    """The state of one walk.  unread: told of what cannot be looked at; removed: by the base's path: the view's path
    and what was there; added: files that may yet turn out to be renamed; pending: directories that merge lowers of
    another name; implied: keys of removed that had to go since their directory is one no more; moved: base's paths that
    something was renamed from; renames: (new, old) path; linked: the first path seen of each file with several
    names."""

    view: View
    base: View
    content: bool
    directory_times: bool
    strict: bool
    advance: Advance
    unread: Callable[[str], None] = errors.report
    found: list[Change] = field(default_factory=list)
    removed: dict[str, tuple[str, Stat]] = field(default_factory=dict)
    added: list[tuple[str, Stat]] = field(default_factory=list)
    pending: list[tuple[str, Stat]] = field(default_factory=list)
    implied: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    renames: set[tuple[str, str]] = field(default_factory=set)
    linked: dict[tuple[int, int], str] = field(default_factory=dict)

    # ---- what the upper holds ----

    def root(self, mount: str) -> None:
        """The mount point itself; an ordinary user's upper cannot have its lower's owner."""
        change = self.compared(mount, mount, self.view.stat(mount), self.base.stat(mount))
        if change is not None and os.geteuid() != 0:
            change = replace(change, metadata=tuple({*change.metadata} - {"owner", "group"}))
        if change is not None and change.metadata:
            self.found.append(change)

    def directory(self, path: str, old_path: str | None, full: bool) -> None:
        """Visits all below a directory: what the upper has, or with full all of both views.

        A layer may be as deep as somebody made it, so this does not recurse.
        """
        ways = [self.names(path, old_path, full)]
        while ways:
            below = next(ways[-1], None)
            if below is None:
                ways.pop()
                continue
            try:
                directory = self.visit(*below)
            except OSError as error:
                if self.strict or error.errno != errno.ENAMETOOLONG:
                    raise
                self.unread(f"{below[0]}: not looked at: {error.strerror}")
                continue
            if directory is not None:
                ways.append(self.names(*directory))

    def names(self, path: str, old_path: str | None, full: bool) -> Iterator[_Name]:
        """What is to be visited in a directory."""
        names: dict[str, Stat | None]
        try:
            if full:
                names = dict.fromkeys(self.view.list(path))
            else:
                names = {name: status for name, (_, status) in self.view.upper_stats(path).items()}
        except PermissionError as error:
            self.unread(f"{path}: not looked into: {error.strerror}")
            return
        if full and old_path is not None:
            names = dict.fromkeys(sorted({*names, *self.names_before(old_path)}))
        here, before = _join(path, ""), None if old_path is None else _join(old_path, "")
        for name, status in names.items():
            yield here + name, None if before is None else before + name, full, status

    def names_before(self, old_path: str) -> Sequence[str]:
        try:
            return self.base.list(old_path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return ()

    def visit(self, path: str, old_path: str | None, full: bool, new: Stat | None) -> _Way | None:
        """Looks at one name; returns the directory that is to be visited next."""
        self.advance(OBJECT)
        try:
            new = new or self.view.find(path)
        except PermissionError as error:  # another user's mark, which is not followed
            errors.report(f"{path}: not looked at: {error.strerror}")
            return None
        if new is not None and not new.size and path.endswith(_OPAQUE_MARK) and new.is_file:
            return None
        old = None if old_path is None else self.base.find(old_path)
        if new is None:
            if old is not None and old_path is not None:
                self.removed[old_path] = path, old
        elif old is None or old_path is None:
            return self.new_object(path, new)
        else:
            return self.both(path, old_path, new, old, full)
        return None

    def both(self, path: str, old_path: str, new: Stat, old: Stat, full: bool) -> _Way | None:
        entry = self.view.entry(path)
        if not entry.upper and new.identity == old.identity:
            return None  # the lower's own: nothing above it, and nothing above what is in it
        self.remember_links(path, new)
        change = self.compared(path, old_path, new, old)
        if change is not None:
            self.found.append(change)
        if new.is_dir:
            return path, old_path if old.is_dir else None, full or entry.opaque or entry.redirect
        if old.is_dir:
            for name in self.names_before(old_path):
                self.visit_gone(_join(path, name), _join(old_path, name))
        return None

    def visit_gone(self, path: str, old_path: str) -> None:
        old = self.base.find(old_path)
        if old is not None:
            self.removed[old_path] = path, old
            self.implied.add(old_path)

    def new_object(self, path: str, new: Stat) -> _Way | None:
        if not new.is_dir:
            self.added.append((path, new))
            return None
        entry = self.view.entry(path)
        if entry.upper and entry.lower == stat.S_IFDIR:  # by its own redirect, or that of a directory above
            self.pending.append((path, new))
        else:
            self.found.append(Change(path, Kind.ADDED, new, None, content=True))
            return path, None, not entry.upper
        return None

    def remember_links(self, path: str, new: Stat) -> str | None:
        """The path under which this file was seen before, if it has several names."""
        if new.is_dir or new.nlink < 2:
            return None
        first = self.linked.setdefault(new.identity, path)
        return None if first == path else first

    # ---- comparing one object ----

    def compared(self, path: str, old_path: str, new: Stat, old: Stat) -> Change | None:
        """What differs, as a change; None when nothing does."""
        content = self.content_differs(path, old_path, new, old)
        metadata = tuple(self.metadata(path, old_path, new, old))
        if (path, old_path) in self.renames:
            kind = Kind.RENAMED
        elif content:
            kind = Kind.MODIFIED
        elif metadata:
            kind = Kind.METADATA
        else:
            return None
        return Change(path, kind, new, old, old_path, content, metadata)

    def content_differs(self, path: str, old_path: str, new: Stat, old: Stat) -> bool:
        if new.type != old.type:
            return True
        if new.is_link:
            return self.view.readlink(path) != self.base.readlink(old_path)
        if new.is_file:
            if new.size != old.size:
                return True
            return self.bytes_differ(path, old_path) if self.content else new.mtime != old.mtime
        return new.type in (stat.S_IFCHR, stat.S_IFBLK) and new.rdev != old.rdev

    def bytes_differ(self, path: str, old_path: str) -> bool:
        try:
            return not self.view.same_content(path, self.base, old_path)
        except PermissionError:
            return True  # what we may not read we did not copy up: it is another file

    def metadata(self, path: str, old_path: str, new: Stat, old: Stat) -> Iterator[str]:
        if new.type != old.type:
            return
        if not new.is_link and stat.S_IMODE(new.mode) != stat.S_IMODE(old.mode):
            yield "mode"
        if not self.lost_owner(new):
            if new.uid != old.uid:
                yield "owner"
            if new.gid != old.gid:
                yield "group"
        if new.mtime != old.mtime and (self.directory_times or not new.is_dir):
            yield "mtime"
        now, before = self.view.xattrs(path), self.base.xattrs(old_path)
        yield from (f"xattr {name}" for name in sorted(now.keys() | before.keys())
                    if now.get(name) != before.get(name) and not name.startswith(_NOT_ITS_OWN))

    @staticmethod
    def lost_owner(new: Stat) -> bool:
        """Whether an ordinary user's layer has no place for another's owner of this: symlinks and devices hold no
        attribute of his."""
        return not new.is_file and not new.is_dir and os.geteuid() != 0 and new.uid == os.geteuid()

    # ---- renames ----

    def resolve(self) -> None:
        """Tells what was renamed from what was added."""
        while self.pending:
            while self.resolve_directories():
                pass
            left, self.pending = self.pending, []
            for path, new in left:
                self.found.append(Change(path, Kind.ADDED, new, None, content=True))
                self.directory(path, None, full=True)  # what is in it may have been renamed
        self.resolve_files()

    def resolve_directories(self) -> bool:
        """Finds the old names of directories; False when none was found."""
        sources = self.sources()
        pending, self.pending = self.pending, []
        progress = False
        for path, new in sorted(pending, key=lambda item: item[0].count("/")):
            old_path = self.take(sources.get(self.identity(path, new), ()))
            if old_path is None:
                self.pending.append((path, new))
                continue
            progress = True
            self.renamed(path, old_path, new)
            self.directory(path, old_path, full=False)
        return progress

    def identity(self, path: str, new: Stat) -> tuple[int, int]:
        """Of the directory of the base that a directory merges; what it shows is that of the topmost one below the
        upper, which may be an earlier step's."""
        steps = self.view.steps
        below = [real for number, real in self.view.lower_dirs(path) if number > steps] if steps else []
        try:
            return self.base.stat(self.base.map_back(below[0])).identity if below else new.identity
        except OSError:
            return new.identity

    def resolve_files(self) -> None:
        if not self.added:
            return
        sources = self.sources()
        likes: dict[tuple[int, int, int], list[str]] = {}
        for gone in (path for paths in sources.values() for path in paths):
            old = self.base.stat(gone)
            if (old.size or not old.is_file) and not old.is_dir:
                likes.setdefault(_like(old), []).append(gone)
        rest: list[tuple[str, Stat]] = []
        for path, new in self.added:
            old_path = self.take(sources.get(new.identity, ()))
            if old_path is None:
                rest.append((path, new))
            else:
                self.renamed(path, old_path, new)
        for path, new in rest:
            old_path = self.take(like for like in likes.get(_like(new), ()) if like not in self.moved and
                                 not self.content_differs(path, like, new, self.base.stat(like)))
            if old_path is None:
                self.found.append(Change(path, Kind.ADDED, new, None, content=True,
                                         link_to=self.remember_links(path, new)))
            else:
                self.renamed(path, old_path, new)

    def take(self, old_paths: Iterable[str]) -> str | None:
        """The first of them that nothing else was renamed from."""
        for old_path in old_paths:
            if old_path not in self.moved:
                self.moved.add(old_path)
                self.removed.pop(old_path, None)
                return old_path
        return None

    def renamed(self, path: str, old_path: str, new: Stat) -> None:
        self.renames.add((path, old_path))
        self.remember_links(path, new)
        change = self.compared(path, old_path, new, self.base.stat(old_path))
        if change is not None:
            self.found.append(change)

    def sources(self) -> dict[tuple[int, int], list[str]]:
        """The base's paths of all that is gone, by identity."""
        found: dict[tuple[int, int], list[str]] = {}
        for old_path, (_, old) in self.removed.items():
            for below, status in self.tree(old_path, old):
                found.setdefault(status.identity, []).append(below)
        return found

    # ---- removals ----

    def tree(self, old_path: str, old: Stat) -> Iterator[tuple[str, Stat]]:
        """An object of the base and all below it."""
        stack = [(old_path, old)]
        while stack:
            path, status = stack.pop()
            if path in self.moved:
                continue  # lives on elsewhere, with what is in it
            yield path, status
            if status.is_dir:
                below = [(_join(path, name), self.base.find(_join(path, name))) for name in self.names_before(path)]
                stack.extend((name, child) for name, child in reversed(below) if child is not None)

    def removals(self, expand: bool) -> Iterator[Change]:
        for old_path, (path, old) in self.removed.items():
            change = Change(path, Kind.REMOVED, None, old, old_path, content=True, implied=old_path in self.implied)
            below = [(name, status) for name, status in self.tree(old_path, old)
                     if name != old_path and name not in self.moved] if old.is_dir else []
            yield replace(change, entries=len(below), bytes=sum(status.size for _, status in below if status.is_file))
            if expand:
                yield from (Change(path + name[len(old_path):], Kind.REMOVED, None, status, name, content=True,
                                   implied=True) for name, status in below)


def _join(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"


def _like(status: Stat) -> tuple[int, int, int]:
    return status.type, status.size, status.mtime


# ---- choosing ----


def select(found: Sequence[Change], patterns: Sequence[str], mount: str) -> list[Change]:
    """The changes that the patterns name, each once; where nothing has changed there is none, and that is no trouble.

    A pattern is a path with everything below it, or has wildcards as in fnmatch(3), where * also takes slashes; without
    a slash it is compared with the last component.  Relative ones begin in the current directory if it is in the view,
    else at the mount point.  A renamed path is named by its old and its new name.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        match = matcher(pattern, mount)
        chosen.update(change.path for change in found
                      if match(change.path) or (change.old_path is not None and match(change.old_path)))
    return [change for change in found if change.path in chosen]


def nowhere(patterns: Sequence[str], mount: str, *views: View) -> list[str]:
    """Those of the patterns that are paths at which none of the views has anything: slips of who gave them."""
    return [pattern for pattern in patterns
            if not _has_wildcards(pattern) and not any(_is_there(view, absolute(pattern, mount)) for view in views)]


def _is_there(view: View, path: str) -> bool:
    try:
        return view.find(path) is not None
    except OSError:
        return True  # or it cannot be told


def _has_wildcards(pattern: str) -> bool:
    return any(c in pattern for c in "*?[")


def matcher(pattern: str, mount: str) -> Callable[[str], bool]:
    """Whether a path of the view is meant by a pattern (see `select`)."""
    if not _has_wildcards(pattern) or os.path.lexists(pattern):
        return _below(absolute(pattern, mount))
    if "/" not in pattern:
        return lambda path: fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
    whole = absolute(pattern, mount)
    return lambda path: fnmatch.fnmatchcase(path, whole) or fnmatch.fnmatchcase(path, _join(whole, "*"))


def _below(top: str) -> Callable[[str], bool]:
    return lambda path: path == top or path.startswith(_join(top, ""))


def absolute(path: str, mount: str) -> str:
    """A path that a user gave, as an absolute one of the view."""
    here = os.getcwd()
    if here != mount and not here.startswith(_join(mount, "")):
        here = mount
    return os.path.normpath(os.path.join(here, path))
