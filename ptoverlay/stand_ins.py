"""What stands in for files that only root may read, and without which no user can be made (--fake-root).

A tool that adds a user reads /etc/shadow and /etc/gshadow, and stops where it may not.  Where our user may not, a lower
above the others has files of these names, which say that everybody of /etc/passwd and /etc/group has no password.

Rule: nothing of them is committed unseen: what a layer copies of them was copied of another file than the host's, and
so is a conflict.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress

from ptoverlay.layer import private
from ptoverlay.options import OverlaySpec

#: Name → the file whose names it has, how many fields a line of that has at least, and the line for one.
_FILES = {"shadow": ("passwd", 7, "{0}:*::0:99999:7:::\n"), "gshadow": ("group", 4, "{0}:*::{3}\n")}


def make(overlay: OverlaySpec) -> str | None:
    """The directory of a lower with what stands in for what the overlay's lowers have, to be removed; None: nothing
    is missing."""
    if overlay.mount_point() != "/":
        return None
    missing = {name: text for name in _FILES if (text := _text(overlay, name))}
    if not missing:
        return None
    top = tempfile.mkdtemp(prefix="ptoverlay-")
    os.mkdir(os.path.join(top, "etc"))
    for name, text in missing.items():
        path = os.path.join(top, "etc", name)
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        _like(path, _find(overlay, name) or "")
    for path, below in (("etc", "etc"), ("", ".")):
        source = next(found for layer in overlay.layers() if os.path.isdir(found := os.path.join(layer, below)))
        _like(os.path.join(top, path), source)
    return top


def _find(overlay: OverlaySpec, name: str) -> str | None:
    """The topmost one of this name in /etc."""
    paths = (os.path.join(layer, "etc", name) for layer in overlay.layers())
    return next((path for path in paths if os.path.lexists(path)), None)


def _text(overlay: OverlaySpec, name: str) -> str:
    """What stands in for it; "": nothing has to."""
    names, fields, line = _FILES[name]
    path, source = _find(overlay, name), _find(overlay, names)
    if path is None or source is None or not os.path.isfile(path) or os.access(path, os.R_OK):
        return ""
    with suppress(OSError), open(source, encoding="utf-8", errors="surrogateescape") as file:
        rows = [row.rstrip("\n").split(":") for row in file]
        return "".join(line.format(*row) for row in rows if len(row) >= fields and row[0])
    return ""


def _like(path: str, source: str) -> None:
    """Owner and mode are kept beside it, as a layer keeps those that its maker cannot give."""
    status = os.stat(source)
    kept = f"1:{status.st_uid}:{status.st_gid}:{status.st_mode:o}:0:0:0:0"
    with suppress(OSError):  # a file system without attributes: it shows as root's
        os.setxattr(path, private.USER + private.KEPT, kept.encode())
    os.chmod(path, 0o755 if stat.S_ISDIR(status.st_mode) else 0o600)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
