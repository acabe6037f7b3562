"""The directories of a run that are made by us: a missing upper, its work directory, a temporary upper.

Rules: what was made for a run that never began, and every temporary layer, is taken away again whatever
happens (`Layers` is a context manager); nothing that was there before is ever removed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import errno
import os
import stat

from ptoverlay import errors
from ptoverlay.errors import Failure
from ptoverlay.options import Overlay
from ptoverlay.remove import remove_tree

#: What only the view reads: an owner that the file itself has not.
_KEPT = "user.overlay.ptoverlay.kept"


class Layers:
    """The upper and work directories that a run needs; leaving the context removes what must not stay.

    Set `kept` once CMD ran: an upper that was made because it was missing then stays, as it was asked for.
    """

    __slots__ = ("_found", "_made", "kept", "temporary")

    def __init__(self) -> None:
        self.kept = False
        self.temporary: list[str] = []  # directories that are to be hidden in the view
        self._made: list[str] = []  # empty directories
        self._found: list[tuple[str, frozenset[str]]] = []  # work directories and what was in them

    def __enter__(self) -> "Layers":
        return self

    def __exit__(self, *_: object) -> None:
        for path in self.temporary:
            _remove_temporary(path)
        if not self.kept:
            for path, names in self._found:
                _remove_new(path, names)
            for path in reversed(self._made):
                _remove_empty(path)

    def to_be_lost(self) -> bool:
        """Whether there is something in a temporary upper."""
        return any(_names(os.path.join(top, "upper")) for top in self.temporary)

    def prepare(self, overlay: Overlay) -> tuple[str | None, str | None]:
        """The upper and the work directory for this overlay, made where they are missing."""
        if not overlay.writable:
            return None, None
        if overlay.upper is None:
            return self._make_temporary(overlay)
        upper = os.path.join(os.getcwd(), overlay.upper)
        if not os.path.lexists(upper):
            self._make(upper, "upper", _root_mode(overlay))
            copy_attributes(overlay.layers()[0], upper)
        elif os.path.exists(upper) and not os.path.isdir(upper):
            raise Failure(f"{upper}: upper", os.strerror(errno.ENOTDIR))
        work = default_work(upper) if overlay.work is None else os.path.join(os.getcwd(), overlay.work)
        if not os.path.lexists(work):
            self._make(work, "work directory", 0o755)
        if os.path.lexists(os.path.join(work, "commit", "journal")):
            raise Failure(f"{upper}: upper", "a commit of it was interrupted", "ptoverlay commit finishes it")
        self._found.append((work, _names(work)))
        return upper, work

    def _make(self, path: str, what: str, mode: int) -> None:
        try:
            os.mkdir(path, mode)
        except OSError as error:
            remedy = "give a --work directory on the upper's file system" if what != "upper" else ""
            raise errors.from_os_error(f"{path}: {what} cannot be made", error, remedy) from error
        self._made.append(path)

    def _make_temporary(self, overlay: Overlay) -> tuple[str, str]:
        top = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"ptoverlay-{os.urandom(6).hex()}")
        try:
            os.mkdir(top, 0o700)
            self.temporary.append(top)
            # Programs that change their ids must get through to the upper, but need not see what else is there.
            os.chmod(top, 0o711)
            upper, work = os.path.join(top, "upper"), os.path.join(top, "work")
            os.mkdir(upper, _root_mode(overlay))
            copy_attributes(overlay.layers()[0], upper)
            os.mkdir(work, 0o755)
        except OSError as error:
            raise errors.from_os_error(f"{top}: temporary upper", error, "set TMPDIR to a place that can be written, "
                                       "or give --upper DIR") from error
        return upper, work


def default_work(upper: str) -> str:
    """The work directory of an upper when none was named: ``.NAME.work`` beside it."""
    real = os.path.realpath(upper)
    if real == "/":
        raise Failure("/: upper", "there is nothing beside it for the work directory", "give --work DIR")
    parent, name = os.path.split(real)
    return os.path.join(parent, f".{name}.work")


def _root_mode(overlay: Overlay) -> int:
    try:
        return stat.S_IMODE(os.stat(overlay.layers()[0]).st_mode)
    except OSError:
        return 0o755


def copy_attributes(lower: str, upper: str) -> None:
    """Owner, mode and times of the view's root are the upper's own, as in the kernel, so a new upper takes over
    those of the lower that it lies on; an owner that this user may not give is kept as that of a copy is."""
    try:
        status = os.stat(lower)
    except OSError:
        return  # the core says what is wrong with the lower
    mode = stat.S_IMODE(status.st_mode)
    try:
        os.chown(upper, status.st_uid, status.st_gid)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL):
            raise
        _keep_owner(upper, status)
        mode = mode & 0o777 | 0o700
    os.chmod(upper, mode)  # after chown, which takes the set-id bits away
    os.utime(upper, ns=(status.st_atime_ns, status.st_mtime_ns))


def _keep_owner(upper: str, status: os.stat_result) -> None:
    """In the form of kept_store() in csrc/view/xattrs.c."""
    kept = f"1:{status.st_uid}:{status.st_gid}:{status.st_mode:o}:0:0:0:0"
    try:
        os.chown(upper, -1, status.st_gid)
    except OSError:
        pass  # nor the group
    try:
        os.setxattr(upper, _KEPT, kept.encode())
    except OSError:
        pass  # where there are no attributes the root is the user's own


def _names(path: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(path))
    except OSError:
        return frozenset()  # the core says what is wrong with it


def _remove_new(work: str, before: frozenset[str]) -> None:
    """Removes what the core has made in a work directory for a command that never ran."""
    for name in _names(work) - before:
        _remove_temporary(os.path.join(work, name))


def _remove_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass  # somebody has put something there, and then it stays


def _remove_temporary(top: str) -> None:
    try:
        remove_tree(top)
    except OSError as error:
        errors.report(f"{top}: not removed: {error.strerror} ({error.filename!r})")
