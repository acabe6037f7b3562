"""A tar archive becomes a layer: of either format of `export`, and of others who make layers of images.

.wh.NAME and character devices 0/0 become whiteouts, .wh..wh..opq and overlay attributes become marks under the prefix
that the core uses here.

Rules: nothing is written outside the upper, whatever names the archive has; what is there is not merged with: the
layer is empty before, and is empty again when the archive turns out to be broken.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import IO

from ptoverlay import private
from ptoverlay.commit import attributes
from ptoverlay.commit.journal import Attributes
from ptoverlay.commit.tree import Tree, join, split
from ptoverlay.errors import Failure
from ptoverlay.layers import copy_attributes
from ptoverlay.options import USERXATTR
from ptoverlay.progress import Advance, Progress, silent
from ptoverlay.remove import remove_tree
from ptoverlay.sandbox import Sandbox
from ptoverlay.ship import tar
from ptoverlay.ship.export import MARKS, OPAQUE, WHITEOUT
from ptoverlay.ship.output import decompressed

_NODES = {tar.FIFO: stat.S_IFIFO, tar.CHARACTER: stat.S_IFCHR, tar.BLOCK: stat.S_IFBLK}
_HOLE = 64 << 10  # bytes of zeros that are worth a hole
_ZEROS = bytes(_HOLE)
_METACOPY = "metacopy"


@dataclass
class Imported:
    """What was read from an archive.  entries: how many it has; owners: how many of them lost their owner, which this
    user cannot give; devices: names of those that were left out, since this user cannot make them."""

    entries: int = 0
    owners: int = 0
    devices: list[str] = field(default_factory=list)


def fill(sandbox: Sandbox, name: str, progress: Progress = silent) -> Imported:
    """Fills the upper of a sandbox, which has to be empty or missing, from the archive `name`, compressed or not, "-":
    standard input.  Failure, or OSError: the upper is empty, or missing, as it was."""
    there = os.path.isdir(sandbox.upper)
    if there and os.listdir(sandbox.upper):
        raise Failure(sandbox.upper, "there is something in it", "give an empty or a new layer")
    if not there:
        os.makedirs(sandbox.upper)
        copy_attributes(sandbox.lowers[0], sandbox.upper)
    shown = "standard input" if name == "-" else name
    prefix = private.prefix(userxattr=bool(sandbox.flags & USERXATTR))
    try:
        with (nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as source,
              progress(os.fstat(source.fileno()).st_size) as advance, decompressed(source, shown) as stream):
            return read(stream, shown, sandbox.upper, prefix, advance)
    except BaseException:
        if there:
            _empty(sandbox.upper)
        else:
            remove_tree(sandbox.upper)
        raise


def _empty(upper: str) -> None:
    """Takes out what was put in; the directory itself gets its attributes only when all else is there."""
    with Tree(upper) as tree:
        for name in os.listdir(upper):
            tree.remove(name)


def read(source: IO[bytes], name: str, upper: str, prefix: str, advance: Advance) -> Imported:
    """Fills the empty upper from the (decompressed) archive.  Failure when it is none."""
    with Tree(upper) as tree:
        reader = _Reader(tree, prefix, name, advance)
        try:
            archive = tar.Reader(source)
            for entry in archive:
                reader.entry(archive, entry)
        except tar.Broken as error:
            raise Failure(name, f"not a tar archive: {error}") from error
        reader.finish()
        return reader.outcome


class _Reader:
    def __init__(self, tree: Tree, prefix: str, name: str, advance: Advance) -> None:
        self.tree = tree
        self.prefix = prefix
        self.name = name
        self.advance = advance
        self.outcome = Imported()
        self._directories: dict[str, Attributes] = {}
        self._marks: dict[str, dict[str, bytes]] = {}
        self._parent: str | None = None  # the directory that is known to be there

    # ---- entries

    def entry(self, archive: tar.Reader, entry: tar.Entry) -> None:
        self.outcome.entries += 1
        path = self.path(entry.name)
        parent, base = split(path)
        self.make_parents(parent)
        if base == OPAQUE:
            self._marks.setdefault(parent, {})["opaque"] = b"y"
        elif base.startswith(WHITEOUT):
            self.whiteout(join(parent, base.removeprefix(WHITEOUT)), entry)
        elif entry.type == tar.CHARACTER and entry.device == (0, 0):
            self.whiteout(path, entry)
        else:
            self.object(archive, entry, path)

    def path(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Failure(self.name, f"an entry leads outside: {name}")
        return "/".join(parts)

    def make_parents(self, parent: str) -> None:
        """Directories that no entry was there for."""
        if parent == self._parent:
            return
        parts = parent.split("/") if parent else []
        for i in range(1, len(parts) + 1):
            path = "/".join(parts[:i])
            status = self.tree.lstat(path)
            if status is None:
                fd, name = self.tree.at(path)
                os.mkdir(name, 0o755, dir_fd=fd)
            elif not stat.S_ISDIR(status.st_mode):
                raise Failure(self.name, f"an entry lies below {path}, which is no directory")
        self._parent = parent

    def remove(self, path: str) -> None:
        """What an entry of the same name has made before."""
        self._parent = None
        self.tree.remove(path)

    def whiteout(self, path: str, entry: tar.Entry) -> None:
        """Its time is now: from now on the host's changes are conflicts for a commit."""
        if not split(path)[1] or split(path)[1] in (".", ".."):
            raise Failure(self.name, f"an entry leads outside: {entry.name}")
        self.remove(path)
        fd, name = self.tree.at(path)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)

    def object(self, archive: tar.Reader, entry: tar.Entry, path: str) -> None:
        if entry.type == tar.DIRECTORY:
            self.directory(entry, path)
            return
        if not path:
            raise Failure(self.name, f"an entry leads outside: {entry.name!r}")
        self.remove(path)
        if entry.type == tar.LINK:
            self.tree.link(self.path(entry.target), path)
            return
        if not self.make(archive, entry, path):
            return
        wanted, marks = self.attributes(entry)
        self.set_marks(path, marks)
        attributes.apply(self.tree, path, wanted, any_owner=True)

    def directory(self, entry: tar.Entry, path: str) -> None:
        status = self.tree.lstat(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            self.remove(path)
            fd, name = self.tree.at(path)
            os.mkdir(name, 0o700, dir_fd=fd)
        self._directories[path], marks = self.attributes(entry)
        self._marks.setdefault(path, {}).update(marks)

    def make(self, archive: tar.Reader, entry: tar.Entry, path: str) -> bool:
        """Makes what is no directory, without its attributes; False when it may not be made."""
        fd, name = self.tree.at(path)
        if entry.type == tar.FILE:
            self.file(archive, entry, fd, name)
        elif entry.type == tar.SYMLINK:
            os.symlink(entry.target, name, dir_fd=fd)
        else:
            try:
                os.mknod(name, _NODES[entry.type] | 0o600, os.makedev(*entry.device), dir_fd=fd)
            except PermissionError:
                self.outcome.devices.append(path)
                return False
        return True

    def file(self, archive: tar.Reader, entry: tar.Entry, parent: int, name: str) -> None:
        """What is zeros, or not in the archive, becomes a hole."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb", buffering=0) as target:
            for offset, data in archive.data():
                _write(target.fileno(), offset, data)
                self.advance(len(data))
            target.truncate(entry.size)

    # ---- attributes

    def attributes(self, entry: tar.Entry) -> tuple[Attributes, dict[str, bytes]]:
        """What the object gets, and the marks of the overlay by their names without the prefix."""
        xattrs, marks = {}, {}
        for name, value in entry.xattrs.items():
            if not private.is_private(name):
                xattrs[name] = value.hex()
            elif (mark := name.removeprefix(private.TRUSTED).removeprefix(private.USER)) in MARKS:
                marks[mark] = value
            elif mark == _METACOPY:
                raise Failure(self.name, f"{entry.name}: its data is not in the archive, but in a lower (metacopy)")
        if os.geteuid() != 0 and (entry.uid, entry.gid) != (os.geteuid(), os.getegid()):
            self.outcome.owners += 1
        return Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.mtime, xattrs), marks

    def set_marks(self, path: str, marks: dict[str, bytes]) -> None:
        for name, value in marks.items():
            with self.tree.handle(path) as handle:
                try:
                    os.setxattr(handle, self.prefix + name, value)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or name in ("opaque", "redirect"):
                        raise

    def finish(self) -> None:
        """Directories get their attributes when nothing happens in them any more, the root last."""
        for path, marks in sorted(self._marks.items(), reverse=True):
            if self.is_directory(path):
                self.set_marks(path, marks)
        for path, wanted in sorted(self._directories.items(), reverse=True):
            if self.is_directory(path):
                attributes.apply(self.tree, path, wanted, any_owner=True)
        self.tree.sync("")

    def is_directory(self, path: str) -> bool:
        """Whether it still is one: a later entry may have taken its place."""
        status = self.tree.lstat(path)
        return status is not None and stat.S_ISDIR(status.st_mode)


def _write(fd: int, offset: int, data: bytes) -> None:
    """Writes what is not zeros, in pieces of the size of a hole."""
    view = memoryview(data)
    for at in range(0, len(data), _HOLE):
        piece = view[at:at + _HOLE]
        if piece != _ZEROS[:len(piece)]:
            while piece:
                done = os.pwrite(fd, piece, offset + at)
                at += done
                piece = piece[done:]
