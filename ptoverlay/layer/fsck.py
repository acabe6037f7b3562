"""Checks a layer for what the kernel's overlayfs would refuse or misread, and puts right what can be put right.

Each check is a function in a table that yields `Problem`s for one object of the upper.  What the kernel does with
each was tried, and fs/overlayfs/namei.c tells why.

Rules: the layer is read as it is on the disk, since a broken one cannot be asked through a view; a repair never
removes contents, only marks that mean nothing, and names that are whiteouts.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ptoverlay.commit.journal import Journal
from ptoverlay.commit.survey import Survey
from ptoverlay.commit.tree import Tree, join, split
from ptoverlay.errors import Failure
from ptoverlay.layer import private
from ptoverlay.layer.view import View
from ptoverlay.options import TRUST, USERXATTR
from ptoverlay.sandboxes.sandbox import Sandbox

_ORIGIN_MAGIC = 0xFB  # struct ovl_fb of fs/overlayfs/overlayfs.h
_ORIGIN_HEADER = 21  # bytes before the file handle
_PATH_MAX = 4096


@dataclass
class Problem:
    """Something wrong.  path: in the layer, "" for its top, or a real path of the work directory; repair: what puts it
    right, None when nothing can; fatal: what the view shows there is not what was meant."""

    path: str
    what: str
    repair: Callable[[], None] | None = None
    repaired: bool = False
    fatal: bool = False


@dataclass
class Object:
    """One object of the upper.  place: its path in the lowers as the marks above it say, None when nothing merges
    there; marks: attributes of the overlay, without the prefix; lower: file type of what lowers have there, 0: nothing.
    """

    path: str
    status: os.stat_result
    marks: dict[str, bytes]
    place: str | None
    lower: int = 0

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_device_whiteout(self) -> bool:
        return stat.S_ISCHR(self.status.st_mode) and self.status.st_rdev == 0

    @property
    def is_marked_whiteout(self) -> bool:
        return stat.S_ISREG(self.status.st_mode) and not self.status.st_size and "whiteout" in self.marks

    @property
    def merges(self) -> bool:
        """Whether lowers show in this directory."""
        return self.is_dir and self.lower == stat.S_IFDIR and self.marks.get("opaque") != b"y"


@dataclass
class Checker:
    """The check of one layer."""

    sandbox: Sandbox
    tree: Tree
    base: View
    prefix: str
    survey: Survey
    redirects: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    # ---- walking

    def problems(self) -> Iterator[Problem]:
        """Everything that is wrong, from the top down."""
        yield from self.work_directory()
        parents: dict[str, Object] = {}
        for path in sorted(filter(self.is_worth_a_look, self.survey), key=lambda path: path.split("/")):
            parent = parents.get(split(path)[0]) if path else None
            this = self.read(path, parent)
            for check, fatal in _CHECKS.items():
                for problem in check(self, this, parent):
                    problem.fatal = fatal
                    yield problem
            if this.is_dir:
                parents[path] = this
        yield from self.shown_twice()

    def is_worth_a_look(self, path: str) -> bool:
        """Whether it can be anything but an object that is all that it says: no mark, no whiteout of any kind."""
        seen = self.survey[path]
        mode = seen.status.st_mode
        return bool(seen.private) or stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or \
            path.rpartition("/")[2].startswith(private.WHITEOUT)

    def read(self, path: str, parent: Object | None) -> Object:
        status = self.survey[path].status
        marks = self.marks(path)
        place = self.place(path, parent, marks)
        if place != path or marks.get("opaque") == b"y":
            self.hidden.add(path)
        return Object(path, status, marks, place, self.lower(place))

    def hides(self, path: str) -> bool:
        """Whether the upper has something else there than a directory that merges the lower one of this place."""
        seen = self.survey.get(path)
        return seen is not None and (not seen.is_dir or path in self.hidden)

    def marks(self, path: str) -> dict[str, bytes]:
        names = [name for name in self.survey[path].private if name.startswith(self.prefix)]
        if not names:
            return {}
        real = self.tree.real(path)
        return {name.removeprefix(self.prefix): os.getxattr(real, name, follow_symlinks=False) for name in names}

    def place(self, path: str, parent: Object | None, marks: dict[str, bytes]) -> str | None:
        """Where in the lowers this object is looked for."""
        if parent is None:
            return ""
        redirect = os.fsdecode(marks.get("redirect", b""))
        if redirect and redirect_error(redirect) == "":
            if redirect.startswith("/"):
                return redirect[1:]
            return None if not parent.merges or parent.place is None else join(parent.place, redirect)
        return None if not parent.merges or parent.place is None else join(parent.place, split(path)[1])

    def lower(self, place: str | None) -> int:
        if place is None:
            return 0
        try:
            status = self.base.find(self.shown(place))
        except OSError:
            return 0
        return status.type if status is not None else 0

    def shown(self, place: str) -> str:
        mount = self.sandbox.mount
        return f"{mount.rstrip('/')}/{place}" if place else mount

    def is_foreign(self, this: Object) -> bool:
        """Whether another user can have set its marks, which are not followed then (is_believed() of csrc/view)."""
        return self.prefix == private.USER and this.status.st_uid not in (0, os.geteuid())

    # ---- repairs

    def set_mark(self, path: str, name: str, value: bytes) -> None:
        with self.tree.handle(path) as handle:
            os.setxattr(handle, self.prefix + name, value)

    def remove_mark(self, path: str, name: str) -> None:
        os.removexattr(self.tree.real(path), self.prefix + name, follow_symlinks=False)

    def detach(self, path: str) -> None:
        """A directory shows what the upper has in it and nothing else."""
        self.set_mark(path, "opaque", b"y")
        self.remove_mark(path, "redirect")

    def make_whiteout(self, path: str) -> None:
        fd, name = self.tree.at(path)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)

    def unlink(self, path: str) -> None:
        fd, name = self.tree.at(path)
        os.unlink(name, dir_fd=fd)

    # ---- directories of the upper

    def check_redirect(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """EINVAL, EACCES or ESTALE for the whole directory, or its lowers do not show."""
        if not this.is_dir or "redirect" not in this.marks:
            return
        redirect = os.fsdecode(this.marks["redirect"])
        why = redirect_error(redirect)
        if why:
            yield Problem(this.path, f"redirect {redirect!r} {why}", lambda: self.detach(this.path))
        elif self.is_foreign(this) and not self.sandbox.flags & TRUST:
            yield Problem(this.path, f"user {this.status.st_uid} says that it shows a lower directory (redirect)")
        elif this.marks.get("opaque") == b"y":
            yield Problem(this.path, "opaque and redirected at the same time",
                          lambda: self.remove_mark(this.path, "redirect"))
        elif this.lower != stat.S_IFDIR:
            yield Problem(this.path, f"redirected to {redirect!r}, where the lowers have no directory",
                          lambda: self.detach(this.path))
        elif this.place is not None and this.place in self.redirects:
            yield Problem(this.path, f"merges the same lower directory as {self.redirects[this.place]}")
        elif this.place is not None and this.place != this.path:
            self.redirects[this.place] = this.path

    def shown_twice(self) -> Iterator[Problem]:
        """ESTALE for a renamed directory whose lower shows at its own place too."""
        for place, path in self.redirects.items():
            tops = [place[:i] for i, c in enumerate(place) if c == "/"] + [place]
            if any(map(self.hides, tops)):
                continue
            parent = self.tree.lstat(split(place)[0])
            missing = self.tree.lstat(place) is None and parent is not None and stat.S_ISDIR(parent.st_mode)
            yield Problem(path, f"merges the lower directory {place}, which also shows at its own place",
                          partial(self.make_whiteout, place) if missing else None)

    def check_opaque(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """Ignored."""
        if this.marks.get("opaque", b"y") not in (b"y", b"x"):
            yield Problem(this.path, f"opaque has the value {this.marks['opaque']!r}, which means nothing",
                          lambda: self.remove_mark(this.path, "opaque"))

    # ---- whiteouts

    def check_whiteout(self, this: Object, parent: Object | None) -> Iterator[Problem]:
        """Listed by readdir(3), though there is no such file."""
        if parent is None or not (this.is_device_whiteout or this.is_marked_whiteout):
            return
        if not parent.merges:
            yield Problem(this.path, "a whiteout in a directory that merges nothing", lambda: self.unlink(this.path))
        elif this.is_marked_whiteout:
            yield Problem(this.path, "a whiteout by attribute, which the kernel knows in lowers only",
                          lambda: self.to_device(this.path))

    def check_other_whiteout(self, this: Object, parent: Object | None) -> Iterator[Problem]:
        """A file of this name in the view."""
        directory, name = split(this.path)
        if parent is None or not name.startswith(private.WHITEOUT) or not stat.S_ISREG(this.status.st_mode):
            return
        if name == private.OPAQUE:
            yield Problem(this.path, "an opaque mark as images have it", lambda: self.to_opaque(this.path))
            return
        hidden = join(directory, name.removeprefix(private.WHITEOUT))
        if self.tree.lstat(hidden) is None:
            yield Problem(this.path, "a whiteout as images have it", lambda: self.to_whiteout(this.path, hidden))

    def to_device(self, path: str) -> None:
        self.unlink(path)
        self.make_whiteout(path)

    def to_opaque(self, path: str) -> None:
        self.set_mark(split(path)[0], "opaque", b"y")
        self.unlink(path)

    def to_whiteout(self, path: str, hidden: str) -> None:
        self.make_whiteout(hidden)
        self.unlink(path)

    # ---- attributes

    def check_metacopy(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """EIO."""
        if "metacopy" not in this.marks or this.is_dir:
            return
        if self.is_foreign(this) and this.status.st_size:
            yield Problem(this.path, f"user {this.status.st_uid} says that its data is in a lower (metacopy)")
        elif this.lower != stat.S_IFREG:
            yield Problem(this.path, "its data is in no lower (metacopy)")

    def check_origin(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """A warning in the kernel's log, and no stable identity."""
        value = this.marks.get("origin")
        if value and not (len(value) >= _ORIGIN_HEADER and value[0] == 0 and value[1] == _ORIGIN_MAGIC
                          and value[2] == len(value)):
            yield Problem(this.path, "origin is no file handle", lambda: self.remove_mark(this.path, "origin"))

    def check_own(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """What was kept of a copy-up is not used."""
        for name, fields in (("ptoverlay.kept", 8), ("ptoverlay.base", 8)):
            value = this.marks.get(name)
            if value is not None and value.count(b":") != fields - 1:
                yield Problem(this.path, f"{name} cannot be read",
                              partial(self.remove_mark, this.path, name))
        owner = this.marks.get("ptoverlay.kept", b"0").partition(b":")[0]
        if owner != b"0" and self.is_foreign(this) and not this.is_dir:
            yield Problem(this.path, f"user {this.status.st_uid} says that it belongs to another (ptoverlay.kept)")

    def check_prefix(self, this: Object, _: Object | None) -> Iterator[Problem]:
        """Not seen: the directory is not opaque, or lost its lowers."""
        other = private.USER if self.prefix == private.TRUSTED else private.TRUSTED
        for name in self.survey[this.path].private:
            if name.startswith(other) and name.removeprefix(other) in ("opaque", "redirect", "whiteout", "metacopy"):
                hint = ": give --userxattr" if other == private.USER else ""
                yield Problem(this.path, f"{name} is not read here{hint}")

    # ---- the work directory

    def work_directory(self) -> Iterator[Problem]:
        work = self.sandbox.work
        try:
            status = os.stat(work)
        except FileNotFoundError:
            return
        if status.st_dev != os.stat(self.sandbox.upper).st_dev:
            yield Problem(work, "not on the file system of the upper")
        mark = os.path.join(work, "work/incompat/volatile")
        if os.path.lexists(mark):
            yield Problem(mark, "a run with \"volatile\" was not ended cleanly: contents may be lost",
                          lambda: os.rmdir(mark))
        if os.path.lexists(Journal.path(work)):
            yield Problem(str(Journal.path(work)), "a commit was interrupted: ptoverlay commit finishes it")
            why = Journal.distrust(work)
            if why:
                yield Problem(str(Journal.path(work)), f"others can have written what is left to do: {why}")


#: Each check, and whether what it finds is fatal.
_CHECKS = {
    Checker.check_redirect: True, Checker.check_opaque: False, Checker.check_whiteout: False,
    Checker.check_other_whiteout: False, Checker.check_metacopy: True, Checker.check_origin: False,
    Checker.check_own: False, Checker.check_prefix: False,
}


def redirect_error(redirect: str) -> str:
    """Why the kernel refuses it (ovl_check_redirect()), "" if it does not."""
    if not redirect:
        return "is empty"
    if len(redirect) >= _PATH_MAX:
        return "is too long"
    if not redirect.startswith("/") and "/" in redirect:
        return "is neither absolute nor a single name"
    parts = redirect[1:].split("/") if redirect.startswith("/") else [redirect]
    return "is no path" if any(part in ("", ".", "..") for part in parts) else ""


def check(sandbox: Sandbox, *, repair: bool) -> list[Problem]:
    """Everything that is wrong with the sandbox's layer; with repair put right where that is possible.

    Call it with the sandbox locked.  OSError when the layer cannot be read.
    """
    return [problem for piece in sandbox.pieces() if os.path.isdir(piece.upper) for problem in _check(piece, repair)]


def _check(sandbox: Sandbox, repair: bool) -> list[Problem]:
    """Of one layer, on those that it lies on."""
    with _checker(sandbox) as checker:
        found = list(checker.problems())
        for problem in found if repair else ():
            if problem.repair is not None:
                problem.repair()
                problem.repaired = True
    return found


@contextmanager
def _checker(sandbox: Sandbox) -> Iterator[Checker]:
    prefix = private.prefix(userxattr=bool(sandbox.flags & USERXATTR))
    with Tree(sandbox.upper) as tree, sandbox.base() as base:
        yield Checker(sandbox, tree, base, prefix, Survey.of(tree))


def insist_sound(sandbox: Sandbox) -> Survey:
    """What the layer has; Failure when the view of it cannot be relied on, before something is made of it."""
    with _checker(sandbox) as checker:
        for problem in checker.problems():
            if problem.fatal:
                raise Failure(str(sandbox), f"its layer is broken: {problem.path}: {problem.what}",
                              "ptoverlay fsck tells all, and can repair some")
        return checker.survey


__all__ = ["Problem", "check", "insist_sound"]
