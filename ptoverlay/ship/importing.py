"""Tar archives become a layer: of either format of `export`, and of others who make layers of images.

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
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from ptoverlay.commit import attributes
from ptoverlay.commit.journal import Attributes
from ptoverlay.commit.tree import Tree, below, join, split
from ptoverlay.console.progress import Advance, Progress, silent
from ptoverlay.errors import Failure
from ptoverlay.layer import private
from ptoverlay.layers import copy_attributes
from ptoverlay.options import USERXATTR
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.ship import layout, tar
from ptoverlay.ship.export import MARKS
from ptoverlay.ship.output import decompressed

_NODES = {tar.FIFO: stat.S_IFIFO, tar.CHARACTER: stat.S_IFCHR, tar.BLOCK: stat.S_IFBLK}
_HOLE = 64 << 10  # bytes of zeros that are worth a hole
_ZEROS = bytes(_HOLE)
_METACOPY = "metacopy"


@dataclass
class Imported:
    """What was read from an archive.  entries: how many it has; owners: how many of them lost their owner, which this
    user can neither give nor keep beside them; devices: names of those that were left out, since this user cannot make
    them."""

    entries: int = 0
    owners: int = 0
    devices: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """An archive, compressed or not.  name: as messages have it; size: in bytes, as it is stored; checked: its bytes
    are compared with a digest."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[Any]]
    checked: bool = False


def sources_of(name: str, tag: str | None) -> list[Source]:
    """The archive `name`, "-": standard input; of an image layout the layers of an image, the lowest first."""
    if name == "-":
        return [Source("standard input", os.fstat(0).st_size, lambda: nullcontext(sys.stdin.buffer))]
    if not layout.is_layout(name):
        return [Source(name, os.stat(name).st_size, lambda: open(name, "rb"))]
    return sources_of_blobs(layout.layers(name, tag))


def sources_of_blobs(blobs: Sequence[Path]) -> list[Source]:
    """Layers of images, whose bytes have to be what their names say."""
    return [Source(str(blob), blob.stat().st_size, partial(layout.opened, blob), checked=True) for blob in blobs]


def fill(sandbox: Sandbox, sources: Sequence[Source], progress: Progress = silent) -> Imported:
    """Fills the upper of a sandbox, which has to be empty or missing, from archives, the lowest first.  Failure, or
    OSError: the upper is empty, or missing, as it was."""
    there = os.path.isdir(sandbox.upper)
    if there and os.listdir(sandbox.upper):
        raise Failure(sandbox.upper, "there is something in it", "give an empty or a new layer")
    if not there:
        os.makedirs(sandbox.upper)
        copy_attributes(sandbox.lowers[0], sandbox.upper)
    prefix = private.prefix(userxattr=bool(sandbox.flags & USERXATTR))
    try:
        with progress(sum(source.size for source in sources)) as advance, Tree(sandbox.upper) as tree:
            reader = _Reader(tree, prefix)
            for source in sources:
                with source.open() as file, decompressed(_Told(file, advance), source.name) as stream:
                    reader.layer(stream, source.name, source.checked)
            reader.finish()
            return reader.outcome
    except BaseException:
        if there:
            _empty(sandbox.upper)
        else:
            remove_tree(sandbox.upper)
        raise


class _Told:
    """A stream that tells how much of it was read."""

    def __init__(self, source: Any, advance: Advance) -> None:
        self._source = source
        self._advance = advance

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(size)
        self._advance(len(data))
        return data


def _empty(upper: str) -> None:
    """Takes out what was put in; the directory itself gets its attributes only when all else is there."""
    with Tree(upper) as tree:
        for name in os.listdir(upper):
            tree.remove(name)


class _Reader:
    """Makes what layers say, one after the other: what a layer hides is what those before it have made, and what the
    lowers have; what it has itself it does not hide, whichever comes first.

    name: of the archive that is being read; made: what the layer has so far; cleared: its directories that hide what
    was in them before.
    """

    def __init__(self, tree: Tree, prefix: str) -> None:
        self.tree = tree
        self.prefix = prefix
        self.name = ""
        self.outcome = Imported()
        self._directories: dict[str, Attributes] = {}
        self._marks: dict[str, dict[str, bytes]] = {}
        self._made: set[str] = set()
        self._cleared: set[str] = set()
        self._removed: set[str] = set()
        self._parent: str | None = None  # the directory that is known to be there

    def layer(self, source: IO[bytes], name: str, checked: bool) -> None:
        """Reads one (decompressed) archive; Failure when it is none."""
        self.name = name
        self._made, self._cleared, self._removed = set(), set(), set()
        try:
            archive = tar.Reader(source, whole=checked)
            for entry in archive:
                self.entry(archive, entry)
        except tar.Broken as error:
            raise Failure(name, f"not a tar archive: {error}") from error
        for directory in sorted(self._cleared):
            self.clear(directory)

    # ---- entries

    def entry(self, archive: tar.Reader, entry: tar.Member) -> None:
        self.outcome.entries += 1
        path = self.path(entry.name)
        parent, base = split(path)
        self.make_parents(parent)
        if base == private.OPAQUE:
            self.hide_lowers(parent)
        elif base.startswith(private.WHITEOUT):
            removed = join(parent, base.removeprefix(private.WHITEOUT))
            self.whiteout(removed, entry)
            self._removed.add(removed)
        elif entry.type == tar.CHARACTER and entry.device == (0, 0):
            self.whiteout(path, entry)
        else:
            self.object(archive, entry, path)
            self._made.add(path)

    def hide_lowers(self, directory: str) -> None:
        self._marks.setdefault(directory, {})["opaque"] = b"y"
        self._cleared.add(directory)

    def clear(self, directory: str) -> None:
        """Removes what layers before this one have made in a directory."""
        if self.is_directory(directory):
            for path, _ in self.tree.walk(directory):
                if path != directory and path not in self._made:
                    self.remove(path)

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
            if status is None or not stat.S_ISDIR(status.st_mode):
                if path in self._made:
                    raise Failure(self.name, f"an entry lies below {path}, which is no directory")
                self.make_directory(path, 0o755, replaces=status is not None)
            self._made.add(path)
        self._parent = parent

    def make_directory(self, path: str, mode: int, *, replaces: bool) -> None:
        """replaces: something else, a whiteout or what a layer before has, which has hidden what the lowers have."""
        if replaces:
            self.remove(path)
            self.hide_lowers(path)
        fd, name = self.tree.at(path)
        os.mkdir(name, mode, dir_fd=fd)

    def remove(self, path: str) -> None:
        """What an entry of the same name has made before."""
        self._parent = None
        if self.is_directory(path):
            for known in (self._directories, self._marks):
                for below_it in [other for other in known if below(other, path)]:
                    del known[below_it]
        self.tree.remove(path)

    def whiteout(self, path: str, entry: tar.Member) -> None:
        """Its time is now: from now on the host's changes are conflicts for a commit."""
        if not split(path)[1] or split(path)[1] in (".", ".."):
            raise Failure(self.name, f"an entry leads outside: {entry.name}")
        if path in self._made:
            if self.is_directory(path):
                self.hide_lowers(path)
            return
        self.remove(path)
        fd, name = self.tree.at(path)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)

    def object(self, archive: tar.Reader, entry: tar.Member, path: str) -> None:
        if entry.type == tar.DIRECTORY:
            self.directory(entry, path)
            return
        if not path:
            raise Failure(self.name, f"an entry leads outside: {entry.name!r}")
        self.remove(path)
        if entry.type == tar.LINK:
            self.link(entry, self.path(entry.target), path)
            return
        if not self.make(archive, entry, path):
            return
        wanted, marks = self.attributes(entry)
        self.set_marks(path, marks)
        self.give(path, wanted)

    def link(self, entry: tar.Member, target: str, path: str) -> None:
        """A whiteout has several names in layers of overlayfs (a device), but not by its name in others."""
        status = self.tree.lstat(target)
        if target in self._removed and status is not None and stat.S_ISCHR(status.st_mode):
            raise Failure(self.name, f"{entry.name} is a link to {entry.target}, which the archive removes")
        self.tree.link(target, path)

    def directory(self, entry: tar.Member, path: str) -> None:
        status = self.tree.lstat(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            self.make_directory(path, 0o700, replaces=status is not None)
        self._directories[path], marks = self.attributes(entry)
        self._marks.setdefault(path, {}).update(marks)

    def make(self, archive: tar.Reader, entry: tar.Member, path: str) -> bool:
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

    def file(self, archive: tar.Reader, entry: tar.Member, parent: int, name: str) -> None:
        """What is zeros, or not in the archive, becomes a hole."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb", buffering=0) as target:
            for offset, data in archive.data():
                _write(target.fileno(), offset, data)
            target.truncate(entry.size)

    # ---- attributes

    def attributes(self, entry: tar.Member) -> tuple[Attributes, dict[str, bytes]]:
        """What the object gets, and the marks of the overlay by their names without the prefix."""
        xattrs, marks = {}, {}
        for name, value in entry.xattrs.items():
            if not private.is_private(name):
                xattrs[name] = value.hex()
            elif (mark := name.removeprefix(private.TRUSTED).removeprefix(private.USER)) in MARKS:
                marks[mark] = value
            elif mark == _METACOPY:
                raise Failure(self.name, f"{entry.name}: its data is not in the archive, but in a lower (metacopy)")
        return Attributes(entry.mode, entry.uid, entry.gid, entry.mtime, entry.mtime, xattrs), marks

    def give(self, path: str, wanted: Attributes) -> None:
        """Attributes, and where the owner is not this user's to give, a note of it, as the core makes one."""
        try:
            attributes.apply(self.tree, path, wanted, any_owner=True)
        except OSError as error:
            error.filename = path
            raise
        status = self.tree.lstat(path)
        if status is not None and (status.st_uid, status.st_gid) != (wanted.uid, wanted.gid) and \
                not self.keep(path, wanted, status.st_mode):
            self.outcome.owners += 1

    def keep(self, path: str, wanted: Attributes, mode: int) -> bool:
        """Keeps owner and mode beside the object, as csrc/view/upper/private_set.c; False where nothing can."""
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return False
        text = f"1:{wanted.uid}:{wanted.gid}:{stat.S_IFMT(mode) | wanted.mode:o}:0:0:0:0"
        ours = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR
        with self.tree.handle(path) as handle:
            os.chmod(handle, wanted.mode & 0o777 | ours)  # no set-id bit of ours for what is another's
            try:
                os.setxattr(handle, f"{self.prefix}{private.OWN}kept", text.encode())
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
                    raise
                return False
            return True

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
                self.give(path, wanted)
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
