"""What a build may see: the declared inputs and nothing else, and whether they are still what they were.

Rule: a directory is a read-only overlay at its own place, over a root that is empty but for the way there; a file is
copied to its place in that root, with its mode and times.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence

from ptoverlay import errors
from ptoverlay.errors import Failure
from ptoverlay.options import READ_ONLY, OverlaySpec

#: What a declared name that begins with "@" stands for: of these what this machine has.
SETS = {
    "@system": ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache",
                "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
                "/etc/locale.alias"),
}
_ALWAYS = ("/proc", "/sys", "/sys/fs/cgroup", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/tmp")
_MOST_TOLD = 20


class Inputs:
    """The declared paths.  Failure for one that is missing."""

    __slots__ = ("directories", "files", "links")

    def __init__(self, declared: Sequence[str]) -> None:
        self.directories: list[str] = []
        self.files: list[str] = []
        self.links: dict[str, str] = {}
        for name in declared:
            if name.startswith("@") and name not in SETS:
                raise Failure(f"--input {name}", f"there is no set of this name, but {', '.join(SETS)}")
            for path in SETS.get(name, (name,)):
                self._add(path, wanted=not name.startswith("@"))
        below = [f"{path}/" for path in self.directories]
        self.files = [path for path in self.files if not path.startswith(tuple(below))]

    def _add(self, path: str, *, wanted: bool) -> None:
        whole = os.path.abspath(path)
        if not os.path.exists(whole):
            if wanted:
                raise Failure(f"--input {path}", "there is no such file or directory")
            return
        real = os.path.realpath(whole)
        if real != whole:
            self.links[whole] = real
        if real in (*self.directories, *self.files):
            return
        (self.directories if os.path.isdir(real) else self.files).append(real)

    def overlays(self) -> list[OverlaySpec]:
        """The root that all others lie on, and the directories, outer ones first."""
        root = OverlaySpec()
        root.lowers, root.mount, root.empty = ["/"], "/", True
        root.made = (*_ALWAYS, *self.directories)
        root.copied = tuple(self.files)
        root.linked = tuple(self.links.items())
        overlays = [root]
        for path in sorted(self.directories):
            overlay = OverlaySpec()
            overlay.lowers, overlay.mount, overlay.flags = [path], path, READ_ONLY
            overlays.append(overlay)
        return overlays


def fill(top: str, files: Sequence[str], links: Sequence[tuple[str, str]]) -> None:
    """Copies files to their places below a directory, and makes symlinks there that lead along these paths; everybody
    may write in its /tmp."""
    os.chmod(f"{top}/tmp", 0o1777)
    for path, target in links:
        os.makedirs(os.path.dirname(top + path), exist_ok=True)
        if not os.path.lexists(top + path):
            os.symlink(target, top + path)
    for path in files:
        os.makedirs(os.path.dirname(top + path), exist_ok=True)
        shutil.copy2(path, top + path)


def tell_missing(asked: bytes) -> None:
    """What was asked for and is there, but was not declared: what was asked for most comes first.  asked: paths, each
    with a NUL behind it."""
    counts = Counter(path for path in asked.split(b"\0") if path.startswith(b"/"))
    missing = [(path, count) for path, count in counts.most_common() if os.path.lexists(path)]
    for path, count in missing[:_MOST_TOLD]:
        errors.report(f"{os.fsdecode(path)}: asked for {count} times, and not declared (--input)")
    if len(missing) > _MOST_TOLD:
        errors.report(f"and {len(missing) - _MOST_TOLD} more")


def check_digests(name: str) -> None:
    """Failure unless each file of a list as sha256sum(1) writes it is what the list says."""
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise errors.from_os_error(f"--strict-inputs {name}", error) from error
    for number, line in enumerate(lines, 1):
        digest, _, path = line.partition("  ")
        if len(digest) != 64 or not path or set(digest) - set("0123456789abcdef"):
            raise Failure(f"--strict-inputs {name}", f"line {number} is no digest and path",
                          "sha256sum FILE… writes it")
        if _digest(name, path) != digest:
            raise Failure(path, f"it is not what --strict-inputs {name} says", "the input has changed")


def _digest(name: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.from_os_error(f"--strict-inputs {name}: {path}", error) from error
