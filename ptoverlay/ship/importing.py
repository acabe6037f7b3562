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
import tarfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import IO, Any

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
from ptoverlay.ship.export import OPAQUE, WHITEOUT
from ptoverlay.ship.output import decompressed

_XATTR = "SCHILY.xattr."
_SECOND = 10**9
_NODES = {tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK}
_CHUNK = 1 << 20


@dataclass
class Imported:
    """What was read from an archive.  entries: how many it has; owners: how many of them lost their owner, which this
    user cannot give; devices: names of those that were left out, since this user cannot make them."""

    entries: int = 0
    owners: int = 0
    devices: list[str] = field(default_factory=list)


def fill(sandbox: Sandbox, name: str, progress: Progress = silent) -> Imported:
    """Fills the upper of a sandbox, which has to be empty or missing, from the archive `name`, compressed or not, "-":
    standard input.  Failure, or OSError: the upper is empty."""
    if os.path.isdir(sandbox.upper) and os.listdir(sandbox.upper):
        raise Failure(sandbox.upper, "there is something in it", "give an empty or a new layer")
    if not os.path.isdir(sandbox.upper):
        _make(sandbox)
    shown = "standard input" if name == "-" else name
    prefix = private.prefix(userxattr=bool(sandbox.flags & USERXATTR))
    try:
        with (nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as source,
              progress(os.fstat(source.fileno()).st_size) as advance, decompressed(source, shown) as stream):
            return read(stream, shown, sandbox.upper, prefix, advance)
    except BaseException:
        remove_tree(sandbox.upper)
        _make(sandbox)
        raise


def _make(sandbox: Sandbox) -> None:
    os.makedirs(sandbox.upper)
    copy_attributes(sandbox.lowers[0], sandbox.upper)


def read(source: IO[bytes], name: str, upper: str, prefix: str, advance: Advance) -> Imported:
    """Fills the empty upper from the (decompressed) archive.  Failure when it is none."""
    with Tree(upper) as tree:
        reader = _Reader(tree, prefix, name, advance)
        try:
            with tarfile.open(fileobj=source, mode="r|", errorlevel=2) as tar:
                for info in tar:
                    reader.entry(tar, info)
        except tarfile.TarError as error:
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

    # ---- entries

    def entry(self, tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
        self.outcome.entries += 1
        path = self.path(info.name)
        parent, base = split(path)
        self.make_parents(parent)
        if base == OPAQUE:
            self._marks.setdefault(parent, {})["opaque"] = b"y"
        elif base.startswith(WHITEOUT):
            self.whiteout(join(parent, base.removeprefix(WHITEOUT)), info)
        elif info.ischr() and (info.devmajor, info.devminor) == (0, 0):
            self.whiteout(path, info)
        else:
            self.object(tar, info, path)

    def path(self, name: str) -> str:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or "\0" in name:
            raise Failure(self.name, f"an entry leads outside: {name}")
        return "/".join(parts)

    def make_parents(self, parent: str) -> None:
        """Directories that no entry was there for."""
        parts = parent.split("/") if parent else []
        for i in range(1, len(parts) + 1):
            path = "/".join(parts[:i])
            status = self.tree.lstat(path)
            if status is None:
                fd, name = self.tree.at(path)
                os.mkdir(name, 0o755, dir_fd=fd)
            elif not stat.S_ISDIR(status.st_mode):
                raise Failure(self.name, f"an entry lies below {path}, which is no directory")

    def whiteout(self, path: str, info: tarfile.TarInfo) -> None:
        """Its time is now: from now on the host's changes are conflicts for a commit."""
        if not split(path)[1] or split(path)[1] in (".", ".."):
            raise Failure(self.name, f"an entry leads outside: {info.name}")
        self.tree.remove(path)
        fd, name = self.tree.at(path)
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)

    def object(self, tar: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> None:
        status = self.tree.lstat(path)
        if info.isdir():
            if status is None or not stat.S_ISDIR(status.st_mode):
                self.tree.remove(path)
                fd, name = self.tree.at(path)
                os.mkdir(name, 0o700, dir_fd=fd)
            self._directories[path], marks = self.attributes(info)
            self._marks.setdefault(path, {}).update(marks)
            return
        if not path:
            raise Failure(self.name, f"an entry leads outside: {info.name!r}")
        self.tree.remove(path)
        if info.islnk():
            self.tree.link(self.path(info.linkname), path)
            return
        if not self.make(tar, info, path):
            return
        wanted, marks = self.attributes(info)
        self.set_marks(path, marks)
        attributes.apply(self.tree, path, wanted, any_owner=True)

    def make(self, tar: tarfile.TarFile, info: tarfile.TarInfo, path: str) -> bool:
        """Makes what is no directory, without its attributes; False when it may not be made."""
        fd, name = self.tree.at(path)
        if info.isfile():
            self.file(tar, info, fd, name)
        elif info.issym():
            os.symlink(info.linkname, name, dir_fd=fd)
        elif info.type in _NODES:
            try:
                os.mknod(name, _NODES[info.type] | 0o600, os.makedev(info.devmajor, info.devminor), dir_fd=fd)
            except PermissionError:
                self.outcome.devices.append(path)
                return False
        else:
            raise Failure(self.name, f"{info.name}: an entry of type {info.type!r} is not known")
        return True

    def file(self, tar: tarfile.TarFile, info: tarfile.TarInfo, parent: int, name: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        source: Any = tar.extractfile(info)
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as target:
            while data := source.read(_CHUNK):
                target.write(data)
                self.advance(len(data))

    # ---- attributes

    def attributes(self, info: tarfile.TarInfo) -> tuple[Attributes, dict[str, bytes]]:
        """What the object gets, and the marks of the overlay by their names without the prefix."""
        xattrs, marks = {}, {}
        for key, text in info.pax_headers.items():
            if key.startswith(_XATTR):
                value = text.encode("utf-8", "surrogateescape")
                name = key.removeprefix(_XATTR)
                if private.is_private(name):
                    marks[name.removeprefix(private.TRUSTED).removeprefix(private.USER)] = value
                else:
                    xattrs[name] = value.hex()
        seconds, _, fraction = str(info.pax_headers.get("mtime", info.mtime)).partition(".")
        mtime = int(seconds) * _SECOND + int((fraction + "0" * 9)[:9])
        if os.geteuid() != 0 and (info.uid, info.gid) != (os.geteuid(), os.getegid()):
            self.outcome.owners += 1
        return Attributes(info.mode & 0o7777, info.uid, info.gid, mtime, mtime, xattrs), marks

    def set_marks(self, path: str, marks: dict[str, bytes]) -> None:
        for name, value in marks.items():
            with self.tree.handle(path) as handle:
                try:
                    os.setxattr(handle, self.prefix + name, value)
                except OSError as error:
                    if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or name in ("opaque", "redirect"):
                        raise

    def finish(self) -> None:
        """Directories get their attributes when nothing happens in them any more, the innermost first."""
        for path, marks in self._marks.items():
            self.set_marks(path, marks)
        for path, wanted in sorted(self._directories.items(), reverse=True):
            attributes.apply(self.tree, path, wanted, any_owner=True)
        self.tree.sync("")
