"""A layer as a tar archive.

oci        as images of containers have it: whiteouts are empty files .wh.NAME, a directory that hides what lies
           below it holds .wh..wh..opq; what cannot be said so is said with copies: a renamed directory is whole.
           OCI image-spec, layer.md.
overlayfs  as the upper is: whiteouts are character devices 0/0, marks are extended attributes (SCHILY.xattr.*).

Rules: entries are sorted, and a directory comes before what is in it; with reproducible nothing depends on when, where
or by whom it was made: owner 0:0, no time later than SOURCE_DATE_EPOCH.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ptoverlay import errors
from ptoverlay.console.progress import OBJECT, Advance
from ptoverlay.errors import Failure
from ptoverlay.layer import holes, private
from ptoverlay.layer.view import Entry, Stat, View
from ptoverlay.sandboxes.sandbox import Sandbox

FORMATS = ("oci", "overlayfs")
#: Marks of a layer that mean something on another machine too, after the prefix.
MARKS = ("opaque", "redirect", "whiteout")
_TYPES = {stat.S_IFREG: tarfile.REGTYPE, stat.S_IFDIR: tarfile.DIRTYPE, stat.S_IFLNK: tarfile.SYMTYPE,
          stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE}
_XATTR = "SCHILY.xattr."
_SECOND = 10**9
_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_COPY: dict[str, Any] = {"copybufsize": _CHUNK}  # of tarfile.TarFile; its stubs do not know it


@dataclass(frozen=True)
class Style:
    """How the entries look.  epoch: no time is later, in seconds since 1970, None: no limit; owners: kept, else 0:0."""

    format: str = "oci"
    epoch: int | None = None
    owners: bool = True

    @classmethod
    def of(cls, format: str, *, reproducible: bool) -> Style:
        """From the command line and SOURCE_DATE_EPOCH (reproducible-builds.org/specs/source-date-epoch)."""
        if not reproducible:
            return cls(format)
        text = os.environ.get("SOURCE_DATE_EPOCH") or "0"
        if not text.isascii() or not text.isdigit():
            raise Failure("SOURCE_DATE_EPOCH", f"{text!r} is no number of seconds")
        return cls(format, int(text), owners=False)


def size(sandbox: Sandbox, view: View) -> int:
    """How much an export has to do, at the least (progress.py): what the upper has."""
    total = 0
    todo = [sandbox.mount]
    while todo:
        here = todo.pop()
        for name, kind in view.upper_list(here):
            path = _join(here, name)
            total += OBJECT
            if kind == stat.S_IFDIR:
                todo.append(path)
            elif kind == stat.S_IFREG:
                total += view.stat(path).size
    return total


def write(sandbox: Sandbox, view: View, stream: Any, options: Style, advance: Advance = lambda _: None) -> None:
    """Writes the archive; OSError when something cannot be read or written, Failure when the layer is broken."""
    from ptoverlay.layer.fsck import insist_sound  # which uses names of this module

    if os.path.isdir(sandbox.upper):
        insist_sound(sandbox)
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK, **_COPY) as tar:
        writer = _Writer(sandbox, view, tar, options, advance)
        if options.format == "oci":
            writer.oci(sandbox.mount, whole=False)
        else:
            writer.raw(sandbox.mount)


@dataclass
class _Writer:
    sandbox: Sandbox
    view: View
    tar: tarfile.TarFile
    options: Style
    advance: Advance

    def __post_init__(self) -> None:
        self.links: dict[tuple[int, int], str] = {}

    # ---- the two formats

    def oci(self, top: str, *, whole: bool) -> None:
        """What is below a directory; whole: all that the view shows, not only what the upper has."""
        todo = list(self.children(top, whole))[::-1]
        while todo:
            path, whole = todo.pop()
            entry = self.view.entry(path)
            if entry.whiteout:
                self.mark(os.path.join(os.path.dirname(path), private.WHITEOUT + os.path.basename(path)),
                          os.lstat(entry.upper_path).st_mtime_ns)
                continue
            status = self.view.stat(path)
            self.add(path, status, self.view.xattrs(path))
            if status.is_dir:
                hides = not whole and (entry.opaque or entry.redirect)
                if hides:
                    self.mark(_join(path, private.OPAQUE), status.mtime)
                todo += list(self.children(path, whole or hides))[::-1]

    def children(self, path: str, whole: bool) -> Iterator[tuple[str, bool]]:
        names = self.view.list(path) if whole else [name for name, _ in self.view.upper_list(path)]
        for name in names:
            if name.startswith(private.WHITEOUT):
                raise Failure(_join(path, name), "this name means something else in an OCI layer",
                              "rename it, or export with --format overlayfs")
            yield _join(path, name), whole

    def raw(self, top: str) -> None:
        todo = [top]
        while todo:
            path = todo.pop()
            entry = self.view.entry(path)
            if entry.whiteout:
                self.raw_whiteout(path, entry)
                continue
            status = self.view.stat(path)
            self.add(path, status, {**self.view.xattrs(path), **self.marks(entry)})
            if status.is_dir:
                todo += [_join(path, name) for name, _ in reversed(self.view.upper_list(path))]

    def raw_whiteout(self, path: str, entry: Entry) -> None:
        status = os.lstat(entry.upper_path)
        info = self.info(path, stat.S_IMODE(status.st_mode), 0, 0, status.st_mtime_ns)
        if stat.S_ISCHR(status.st_mode):
            info.type = tarfile.CHRTYPE
        self.xattrs(info, self.marks(entry))
        self.tar.addfile(info)

    def marks(self, entry: Entry) -> dict[str, bytes]:
        """The overlay's own attributes of an upper object, as they are."""
        path = entry.upper_path
        try:
            names = os.listxattr(path, follow_symlinks=False)
        except OSError:
            return {}
        found = {}
        for name in names:
            if private.is_private(name):
                mark = name.removeprefix(private.TRUSTED).removeprefix(private.USER)
                if mark in MARKS and (mark != "redirect" or entry.upper == stat.S_IFDIR):
                    found[name] = os.getxattr(path, name, follow_symlinks=False)
        return found

    # ---- entries

    def info(self, path: str, mode: int, uid: int, gid: int, mtime: int) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.sandbox.relative(path))
        if self.options.epoch is not None:
            mtime = min(mtime, self.options.epoch * _SECOND)
        info.mode = mode
        info.uid, info.gid = (uid, gid) if self.options.owners else (0, 0)
        info.mtime = mtime // _SECOND
        if mtime % _SECOND:
            info.pax_headers = {"mtime": f"{mtime // _SECOND}.{mtime % _SECOND:09}"}
        return info

    def mark(self, path: str, mtime: int) -> None:
        """An empty file that says something by its name."""
        self.tar.addfile(self.info(path, 0o644, 0, 0, mtime))

    @staticmethod
    def xattrs(info: tarfile.TarInfo, xattrs: dict[str, bytes]) -> None:
        shown = {_XATTR + name: value.decode("utf-8", "surrogateescape") for name, value in sorted(xattrs.items())
                 if name != "security.selinux"}  # the machine's own
        info.pax_headers = {**info.pax_headers, **shown}

    def add(self, path: str, status: Stat, xattrs: dict[str, bytes]) -> None:
        self.advance(OBJECT)
        kind = _TYPES.get(status.type)
        if kind is None:
            errors.report(f"{path}: a socket, left out")
            return
        info = self.info(path, stat.S_IMODE(status.mode), status.uid, status.gid, status.mtime)
        self.xattrs(info, xattrs)
        info.type = kind
        if status.nlink > 1 and not status.is_dir:
            first = self.links.setdefault(status.identity, info.name)
            if first != info.name:
                info.type, info.linkname, info.pax_headers = tarfile.LNKTYPE, first, {}
                self.tar.addfile(info)
                return
        if status.is_link:
            info.linkname = self.view.readlink(path)
        elif status.type in (stat.S_IFCHR, stat.S_IFBLK):
            info.devmajor, info.devminor = os.major(status.rdev), os.minor(status.rdev)
        if status.is_file:
            with open(self.view.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb", buffering=0) as file:
                stored = list(holes.pieces(file.fileno(), status.size))
                contents = _Contents(file.fileno(), self.advance, path)
                if self.options.format == "overlayfs" and stored != [(0, status.size)] and status.size:
                    contents.sparse(info, stored, status.size)
                else:
                    contents.whole(stored, status.size)
                    info.size = status.size
                self.tar.addfile(info, contents)
        else:
            self.tar.addfile(info)


class _Contents:
    """What an archive holds of a file, to be read once: parts of it, zeros for its holes.  It tells how much was read,
    and names the file when that is too short."""

    def __init__(self, fd: int, advance: Advance, path: str) -> None:
        self._fd = fd
        self._advance = advance
        self._path = path
        self._head = b""
        self._parts: list[tuple[int, int]] = []  # the last one first: offset, or -1 for zeros, and length

    def whole(self, stored: list[tuple[int, int]], size: int) -> None:
        """All of it."""
        at = 0
        for begin, end in [*stored, (size, size)]:
            self._parts += [part for part in ((-1, begin - at), (begin, end - begin)) if part[1]]
            at = end
        self._parts.reverse()

    def sparse(self, info: tarfile.TarInfo, stored: list[tuple[int, int]], size: int) -> None:
        """What is stored, with a map before it; images do not have such files, other tools do (GNU tar's manual, "PAX
        Format, Version 1.0")."""
        numbers = [len(stored), *(number for begin, end in stored for number in (begin, end - begin))]
        head = "".join(f"{number}\n" for number in numbers).encode()
        self._head = head + bytes(-len(head) % tarfile.BLOCKSIZE)
        self._parts = [(begin, end - begin) for begin, end in reversed(stored)]
        info.pax_headers = {**info.pax_headers, "GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                            "GNU.sparse.name": info.name, "GNU.sparse.realsize": str(size)}
        info.size = len(self._head) + sum(length for _, length in self._parts)
        info.name = os.path.join(os.path.dirname(info.name), "GNUSparseFile.0", os.path.basename(info.name))

    def read(self, size: int = 0, /) -> bytes:
        """That many bytes."""
        found = [self._head[:size]]
        self._head = self._head[size:]
        size -= len(found[0])
        while size:
            offset, length = self._parts.pop()
            take = min(length, size, _CHUNK)
            data = _ZEROS[:take] if offset < 0 else os.pread(self._fd, take, offset)
            if not data:
                raise Failure(self._path, "it is being changed", "end what uses the sandbox first")
            if len(data) < length:
                self._parts.append((offset + len(data) if offset >= 0 else -1, length - len(data)))
            found.append(data)
            size -= len(data)
            self._advance(len(data))
        return b"".join(found) if found[0] or len(found) != 2 else found[1]


def _join(directory: str, name: str) -> str:
    return f"{directory.rstrip('/')}/{name}"
