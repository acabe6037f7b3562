"""The directories of a run that are made by us: a missing upper, its work directory, a temporary upper.

Rules: what was made for a run that never began, and every temporary layer, is taken away again whatever
happens (`Layers` is a context manager); nothing that was there before is ever removed, and nothing that another start
uses: what is taken away is empty, and locked by us meanwhile.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import errno
import fcntl
import os
import stat

from ptoverlay import errors
from ptoverlay.core import ffi, lib
from ptoverlay.errors import Failure, InUse
from ptoverlay.options import OverlaySpec
from ptoverlay.remove import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

#: What the core makes in a work directory before CMD runs, the innermost first.
_OF_THE_CORE = ("work/incompat", "work")
_PATH_MAX = 4096


class Layers:
    """The upper and work directories that a run needs; leaving the context removes what must not stay.

    Set `kept` once CMD ran: an upper that was made because it was missing then stays, as it was asked for.
    """

    __slots__ = ("_pairs", "kept", "temporary")

    def __init__(self) -> None:
        self.kept = False
        self.temporary: list[str] = []  # directories that are to be hidden in the view
        self._pairs: list[_Pair] = []

    def __enter__(self) -> "Layers":
        return self

    def __exit__(self, kind: "type[BaseException] | None", value: "BaseException | None",
                 traceback: "TracebackType | None") -> None:
        for path in self.temporary:
            _remove_temporary(path)
        if self.kept:
            return
        if isinstance(value, InUse) and self._pairs:
            self._pairs.pop()  # it is what another run uses
        for pair in reversed(self._pairs):
            pair.take_back()

    def to_be_lost(self) -> bool:
        """Whether there is something in a temporary upper."""
        return any(_names(os.path.join(top, "upper")) for top in self.temporary)

    def prepare(self, overlay: OverlaySpec) -> tuple[str | None, str | None]:
        """The upper and the work directory for this overlay, made where they are missing."""
        if not overlay.writable:
            return None, None
        if overlay.upper is None:
            upper, work = self._make_temporary(overlay)
            _fill(overlay, upper)
            return upper, work
        upper = os.path.join(os.getcwd(), overlay.upper)
        pair = _Pair(upper)
        self._pairs.append(pair)
        if not os.path.lexists(upper):
            pair.make_upper(overlay)
        if os.path.exists(upper) and not os.path.isdir(upper):
            raise Failure(f"{upper}: upper", os.strerror(errno.ENOTDIR))
        pair.work = work = default_work(upper) if overlay.work is None else os.path.join(os.getcwd(), overlay.work)
        if not os.path.lexists(work):
            pair.make_work()
        if os.path.lexists(os.path.join(work, "commit", "journal")):
            raise Failure(f"{upper}: upper", "a commit of it was interrupted", "ptoverlay commit finishes it")
        pair.was_used = os.path.lexists(os.path.join(work, "work"))
        return upper, work

    def _make_temporary(self, overlay: OverlaySpec) -> tuple[str, str]:
        place = ffi.new("char[]", _PATH_MAX)
        error = lib.pto_make_temporary(os.fsencode(overlay.layers()[0]), place, _PATH_MAX)
        top = os.fsdecode(ffi.string(place))
        if error:
            raise errors.from_os_error(f"{top}: temporary upper", OSError(-error, os.strerror(-error), top),
                                       "set TMPDIR to a place that can be written, or give --upper DIR")
        self.temporary.append(top)
        return os.path.join(top, "upper"), os.path.join(top, "work")


def _fill(overlay: OverlaySpec, upper: str) -> None:
    """What a temporary upper is to have from the start, and the lower of an overlay that has none."""
    for path in overlay.made:
        os.makedirs(upper + path, mode=0o755, exist_ok=True)
    if overlay.copied or overlay.linked:
        from ptoverlay.builds.inputs import fill

        fill(upper, overlay.copied, overlay.linked)
    if overlay.empty:
        lower = os.path.join(os.path.dirname(upper), "lower")
        os.mkdir(lower)
        copy_attributes(overlay.mount_point(), lower)
        overlay.lowers = [lower]


class _Pair:
    """An upper, its work directory, and what of them this start has made.  was_used: the work directory had what the
    core makes in it."""

    __slots__ = ("made", "upper", "was_used", "work")

    def __init__(self, upper: str) -> None:
        self.upper = upper
        self.work = ""
        self.made: list[str] = []
        self.was_used = True

    def make_upper(self, overlay: OverlaySpec) -> None:
        """The upper appears whole, or is there already: whoever finds it can use it."""
        new = os.path.join(os.path.dirname(self.upper), f".ptoverlay-{os.urandom(6).hex()}")
        try:
            os.mkdir(new, _root_mode(overlay))
            try:
                copy_attributes(overlay.layers()[0], new)
                if _appear(new, self.upper):
                    self.made.append(self.upper)
            except OSError:
                os.rmdir(new)
                raise
        except OSError as error:
            raise errors.from_os_error(f"{self.upper}: upper cannot be made", error) from error

    def make_work(self) -> None:
        try:
            os.mkdir(self.work, 0o755)
            self.made.append(self.work)
        except FileExistsError:
            pass  # another start has made it meanwhile
        except OSError as error:
            raise errors.from_os_error(f"{self.work}: work directory cannot be made", error,
                                       "give a --work directory on the upper's file system") from error

    def take_back(self) -> None:
        """Removes what was made for a command that never ran, unless somebody uses it, or has."""
        with _Lock(self.upper) as upper, _Lock(self.work) as work:
            if not (upper.held and work.held):
                return
            for name in () if self.was_used else _OF_THE_CORE:
                _remove_empty(os.path.join(self.work, name))
            for path in reversed(self.made):
                if not _remove_empty(path):
                    return


class _Lock:
    """flock(2) on a directory, as the core locks those of a run.  held: nobody else has it; true as well where there is
    none, or none that could be opened."""

    __slots__ = ("_fd", "held")

    def __init__(self, path: str) -> None:
        self.held = True
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.held = os.path.samestat(os.fstat(self._fd), os.stat(path))
        except BlockingIOError:
            self.held = False
        except OSError:
            pass

    def __enter__(self) -> "_Lock":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _appear(new: str, path: str) -> bool:
    """Gives a directory its name, unless there is one of the name: False, and it is removed."""
    number = -lib.pto_put_new(os.fsencode(new), os.fsencode(path))
    if number and number != errno.EEXIST:
        raise OSError(number, os.strerror(number))
    if number:
        os.rmdir(new)
    return not number


def default_work(upper: str) -> str:
    """The work directory of an upper when none was named: ``.NAME.work`` beside it."""
    real = os.path.realpath(upper)
    if real == "/":
        raise Failure("/: upper", "there is nothing beside it for the work directory", "give --work DIR")
    parent, name = os.path.split(real)
    return os.path.join(parent, f".{name}.work")


def _root_mode(overlay: OverlaySpec) -> int:
    try:
        return stat.S_IMODE(os.stat(overlay.layers()[0]).st_mode)
    except OSError:
        return 0o755


def copy_attributes(lower: str, upper: str) -> None:
    """Owner, mode and times of the view's root are the upper's own, so a new upper takes over those of the lower that
    it lies on."""
    error = lib.pto_copy_root(os.fsencode(lower), os.fsencode(upper))
    if error:
        raise OSError(-error, os.strerror(-error), upper)


def _names(path: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(path))
    except OSError:
        return frozenset()  # the core says what is wrong with it


def _remove_empty(path: str) -> bool:
    """False when somebody has put something there, and then it stays."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _remove_temporary(top: str) -> None:
    try:
        remove_tree(top)
    except OSError as error:
        errors.report(f"{top}: not removed: {error.strerror} ({error.filename!r})")
