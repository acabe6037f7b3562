"""Sandboxes: layers that are kept, found by a name or by their directories.

A named sandbox is a directory below the user's state directory (XDG_STATE_HOME, else ~/.local/state, root's: /var/lib):

    ptoverlay/sandboxes/NAME/upper/         what it has changed, in the format of overlayfs
                             work/          the work directory that belongs to it
                             sandbox.json   `Metadata`
                             serve/         the socket of `ptoverlay serve`, which no run in it sees
                             lock           held (flock(2)) by whoever changes it; the holder's process id is in it

Tools take either a NAME or --name, --upper, --lower, --work, --mount, and see a `Sandbox` in both cases.

Rules: metadata is replaced by rename, so that it is always whole; nothing that other sandboxes have as a lower is ever
changed or removed; a lock is only as long as the process that took it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptoverlay import errors, options
from ptoverlay.core import lib
from ptoverlay.errors import Failure, InUse, Missing, Taken
from ptoverlay.history.record import History, layers_of
from ptoverlay.layer.view import View, check
from ptoverlay.layers import default_work
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.locking import LOCK, holder, lock_file, says_supervisor
from ptoverlay.sandboxes.names import check_name, is_name, sandboxes_path

if TYPE_CHECKING:
    import argparse

#: What a run in the sandbox does not see.
SERVE = "serve"
_VERSION = 1
_ROOM = 512  # bytes: the file is a multiple of them, and has spaces at its end
_STATE_REMEDY = "XDG_STATE_HOME names another place for sandboxes"
_DEEPEST = 1000  # forks of forks
GONE = ".removed."  # how the directory of a sandbox begins that is being removed
NEW = ".new."  # … and of one that is being made
_OLD = 3600.0  # seconds after which nobody is making it any more
_ENDING_PATIENCE = 20.0  # seconds until it has ended
_ENDING_PAUSE = 0.002


@dataclass
class Run:
    """The last run of a sandbox.  started, ended: seconds since 1970, ended 0 while it runs or when it was killed;
    status: as os.waitstatus_to_exitcode has it."""

    argv: list[str] = field(default_factory=list)
    cwd: str = ""
    started: float = 0.0
    ended: float = 0.0
    status: int | None = None


@dataclass
class Metadata:
    """What sandbox.json holds.  lowers: topmost first; parent: name of the sandbox whose upper is the topmost lower of
    a fork, "" for none; image: digest of the manifest whose layers the lowers are (ship/base.py); rootfs: as of
    OverlaySpec; flags: PTO_* of struct pto_overlay; created: seconds since 1970."""

    name: str
    lowers: list[str]
    mount: str
    n_data: int = 0
    flags: int = 0
    parent: str = ""
    created: float = 0.0
    runs: int = 0
    last_run: Run | None = None
    image: str = ""
    rootfs: bool = False
    id: str = field(default_factory=lambda: os.urandom(16).hex())
    version: int = _VERSION

    @classmethod
    def load(cls, path: Path) -> Metadata:
        """Reads the file; Failure when it is not one of ours."""
        try:
            data = state.read(path)
            if state.of(int, data["version"]) > _VERSION:
                raise Failure(str(path), "written by a newer ptoverlay")
            made: Metadata = state.of(cls, data)
            made._check()
        except (ValueError, KeyError) as error:
            raise Failure(str(path), "not the metadata of a sandbox", "ptoverlay remove throws it away") from error
        made.name = path.parent.name  # wherever it was moved to
        return made

    def _check(self) -> None:
        """ValueError for what is of the right types and means nothing."""
        if not self.lowers or not all(path.startswith("/") for path in [*self.lowers, self.mount]):
            raise ValueError("no layers")
        if not 0 <= self.n_data < len(self.lowers) or self.flags & ~options.OVERLAY_FLAGS:
            raise ValueError("no such layers")
        if self.parent and not is_name(self.parent):
            raise ValueError("no such parent")

    def save(self, path: Path, *, sync: bool = True) -> None:
        """Replaces the file; sync: as of state.write_whole."""
        data = json.dumps(asdict(self), indent=1).encode("utf-8", "surrogateescape") + b"\n"
        state.write_with_room(path, data, _ROOM, sync=sync)


def state_directory() -> Path:
    """`sandboxes_path`."""
    return Path(sandboxes_path())


class Sandbox:
    """Layers that belong together.

    name: "" for layers given by their directories; directory: where a named one is kept, else None; lowers: topmost
    first; upper, work: directories; steps: uppers of earlier steps, which lie between, topmost first; mount: where the
    view appears; flags: PTO_* of struct pto_overlay; metadata: of a named one, else made up.
    """

    def __init__(self, metadata: Metadata, upper: str, work: str, directory: Path | None = None,
                 steps: Sequence[str] = ()) -> None:
        self.metadata = metadata
        self.upper = upper
        self.work = work
        self.steps = list(steps)
        self.directory = directory
        self.copied: dict[int, int] | None = None  # View.names
        self.bases: dict[int, bytes | None] = {}  # of such a copy, for commit/conflicts.py
        self.trusted = False  # what another user's layer says of itself is believed
        self._damaged = False  # it can be removed, and nothing else
        self._locked = -1  # the lock of one that we have made, until `lock` takes it over

    # ---- finding ----

    @classmethod
    def open(cls, what: str | argparse.Namespace, *, damaged: bool = False) -> Sandbox:
        """The sandbox of a NAME, or of parsed options (`add_arguments`); Failure if there is none.

        damaged: one of a NAME whose metadata cannot be read will do, to be removed.
        """
        if isinstance(what, str):
            return cls._named(what, damaged)
        if what.name is None and what.upper is None:
            if not what.words:
                raise errors.usage("sandbox", "no NAME and no --upper given", prog=what.prog)
            what.name = what.words.pop(0)
        if what.name is not None:
            if what.upper is not None or what.work is not None:
                raise errors.usage("sandbox", "either a NAME or --upper and --work, not both", prog=what.prog)
            return cls._named(what.name)._checked(what)
        return cls._of_directories(what)

    @classmethod
    def _named(cls, name: str, damaged: bool = False) -> Sandbox:
        directory = state_directory() / check_name(name)
        try:
            metadata = Metadata.load(directory / "sandbox.json")
            upper, work, steps = layers_of(directory, History.load(directory))
        except (Failure, OSError) as error:
            if damaged and directory.is_dir():
                made = cls(Metadata(name, ["/"], "/"), str(directory / "upper"), str(directory / "work"), directory)
                made._damaged = True
                return made
            if isinstance(error, Failure):
                raise
            if not isinstance(error, FileNotFoundError):
                raise errors.from_os_error(str(directory / "sandbox.json"), error) from error
            raise Missing(f"sandbox {name}", "there is none of this name", errors.did_you_mean(name, cls.names()) +
                          "ptoverlay list shows them; ptoverlay run --name makes one") from error
        return cls(metadata, upper, work, directory, steps)

    def reload(self) -> None:
        """Takes the layers of a named one as they are now."""
        if self.directory is not None and not self._damaged:
            self.upper, self.work, self.steps = layers_of(self.directory, History.load(self.directory))

    def _checked(self, given: argparse.Namespace) -> Sandbox:
        """The sandbox, or Failure when the layers given with its name are not its own."""
        if given.lower is not None:
            lowers, n_data = options.parse_lowers(given.lower, "--lower")
            self.check_lowers([os.path.realpath(lower) for lower in lowers], n_data)
        if given.mount is not None and os.path.realpath(given.mount) != self.mount:
            raise Failure(f"sandbox {self.name}", f"it appears at {self.mount}", "leave the mount point out")
        return self

    def check_lowers(self, lowers: list[str], n_data: int) -> None:
        """Failure when these are not what it lies on."""
        if (lowers, n_data) != (self.lowers, self.metadata.n_data):
            raise Failure(f"sandbox {self.name}", f"it lies on {':'.join(self.lowers)}",
                          "leave the lowers out, or give another name")

    @classmethod
    def _of_directories(cls, given: argparse.Namespace) -> Sandbox:
        upper = os.path.abspath(given.upper)
        if not os.path.isdir(upper):
            raise Failure(f"--upper {given.upper}", "no such directory")
        lowers, n_data = options.parse_lowers(given.lower, "--lower") if given.lower is not None else (["/"], 0)
        return cls.of(upper, lowers, n_data=n_data, mount=given.mount, work=given.work,
                      flags=options.USERXATTR * bool(given.userxattr))

    @classmethod
    def of(cls, upper: str, lowers: Sequence[str], *, n_data: int = 0, mount: str | None = None,
           work: str | None = None, flags: int = 0) -> Sandbox:
        """Layers without a name.  lowers: topmost first; mount: None: the topmost lower's own place; work: None: the
        one that an upper has when none is given."""
        paths = [os.path.realpath(lower) for lower in lowers]
        where = os.path.realpath(mount) if mount is not None else paths[0]
        return cls(Metadata("", paths, where, n_data, flags), upper,
                   os.path.abspath(work) if work is not None else default_work(upper))

    @staticmethod
    def names() -> list[str]:
        """The names of all of them, sorted."""
        try:
            return sorted(filter(is_name, os.listdir(state_directory())))
        except FileNotFoundError:
            return []

    @staticmethod
    def all() -> list[Sandbox]:
        """Every named sandbox, by name; one whose metadata cannot be read is told in a line and left out."""
        found = []
        for name in Sandbox.names():
            try:
                found.append(Sandbox.open(name))
            except Failure as failure:
                if not isinstance(failure, Missing) or (state_directory() / name).exists():  # not removed meanwhile
                    errors.report(str(failure))
        return found

    # ---- making ----

    @classmethod
    def create(cls, name: str, lowers: list[str], mount: str, *, n_data: int = 0, flags: int = 0,
               parent: str = "", image: str = "", rootfs: bool = False) -> Sandbox:
        """Makes a new named sandbox, without an upper yet; Taken if there is one of the name.

        It appears whole, and locked by us, so that nobody comes between: `lock` takes that over, `release` lets go.
        """
        directory = state_directory() / check_name(name)
        new = directory.with_name(f"{NEW}{os.urandom(16).hex()}")
        made = cls(Metadata(name, lowers, mount, n_data, flags, parent, time.time(), image=image,
                            rootfs=rootfs),
                   str(directory / "upper"), str(directory / "work"), directory)
        try:
            # Programs that change their ids must get through to the upper, but need not see what else is there.
            _make_directories(directory.parent)
            _forget_unmade(directory.parent)
            new.mkdir(0o711)
            try:
                made._locked = lock_file(new / "lock")
                made.metadata.save(new / "sandbox.json")
                check(lib.pto_put_new(os.fsencode(new), os.fsencode(directory)), directory)
            except BaseException:
                made.release()
                remove_tree(str(new))
                raise
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                raise Taken(f"sandbox {name}", "there is one of this name already", "give another name, or remove it "
                            "with ptoverlay remove") from error
            raise errors.from_os_error(f"{directory}: sandbox cannot be made", error, _STATE_REMEDY) from error
        return made

    def fork(self, new: str, *, whole: bool = True) -> None:
        """Makes a sandbox of this name on what this one is now; whole: with its upper.  As `create`; Failure where a
        layer is gone."""
        layers = [*([self.upper] if whole else []), *self.stack]
        for layer in layers:
            if not os.path.isdir(layer):
                raise Failure(f"{self}: {layer}", os.strerror(errno.ENOENT))
        self.create(new, layers, self.mount, n_data=self.metadata.n_data, flags=self.metadata.flags, parent=self.name,
                    rootfs=self.metadata.rootfs).release()

    def take_over(self, lock: int) -> None:
        """Holds the lock by this descriptor, until `lock` takes it over or `release` lets go."""
        self._locked = lock

    def release(self) -> None:
        """Lets go of the lock that `create` took."""
        if self._locked >= 0:
            os.close(self._locked)
        self._locked = -1

    def save(self, *, sync: bool = True) -> None:
        """Writes the metadata; sync: as of state.write_whole."""
        if self.directory is not None:
            self.metadata.save(self.directory / "sandbox.json", sync=sync)

    def remove(self) -> None:
        """Throws a named sandbox away.  Call it with the lock held."""
        assert self.directory is not None
        gone = self.directory.with_name(f"{GONE}{self.name}.{os.urandom(16).hex()}")
        self.directory.rename(gone)  # all of it or nothing, whenever we are killed
        remove_tree(str(gone))
        for left in gone.parent.glob(f"{GONE}*"):  # by one that was killed
            try:
                remove_tree(str(left))
            except OSError:
                pass  # somebody else is at it

    # ---- looking ----

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def lowers(self) -> list[str]:
        return self.metadata.lowers

    @property
    def stack(self) -> list[str]:
        """What the upper lies on, topmost first: earlier steps, and the lowers."""
        return [*self.steps, *self.lowers]

    @property
    def mount(self) -> str:
        return self.metadata.mount

    @property
    def flags(self) -> int:
        named = options.NUMBERS | options.BASES if self.name else 0
        return self.metadata.flags | options.TRUST * self.trusted | named

    def maker(self) -> int:
        """User id of who can have put anything into the layer: ours or root's, unless another user can."""
        trusted = (0, os.geteuid())
        upper = os.path.realpath(self.upper)
        own = os.stat(upper).st_uid
        if own in trusted:
            return own
        try:
            work = os.stat(self.work).st_uid
        except FileNotFoundError:
            return own
        # An upper has the owner of the lower that it lies on; its maker is who has made the work directory, if nobody
        # else can have put another upper there.
        return work if work in trusted and not errors.who_can_change(os.path.dirname(upper)) else own

    def __str__(self) -> str:
        """As messages name it."""
        return f"sandbox {self.name}" if self.name else self.upper

    @contextmanager
    def view(self, *, writable: bool = False) -> Iterator[View]:
        """Its merged view.  writable: locked by the core against other runs; else the layers are only looked at, even
        while a run is using them."""
        with View() as view:
            with self._told():
                if writable:
                    os.makedirs(self.work, exist_ok=True)
                if not writable and not os.path.isdir(self.upper):
                    view.lay(self.stack, None, None, self.mount, self.flags, self.metadata.n_data,
                             steps=len(self.steps))  # nothing ran yet
                else:
                    view.lay(self.stack, self.upper, self.work, self.mount,
                             self.flags if writable else self.flags | options.READ_ONLY, self.metadata.n_data,
                             steps=len(self.steps))
            view.names = self.copied
            yield view

    @contextmanager
    def base(self) -> Iterator[View]:
        """The view of its lowers alone, at the same place: what was there before."""
        with View() as view:
            with self._told():
                view.lay(self.lowers, None, None, self.mount, self.flags, self.metadata.n_data)
            yield view

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise errors.from_os_error(f"{self}: {error.filename}" if error.filename else str(self), error) from error

    def overlay(self) -> options.OverlaySpec:
        """The overlay that a run over it lays."""
        overlay = options.OverlaySpec()
        overlay.lowers = self.stack
        overlay.n_data = self.metadata.n_data
        overlay.upper = self.upper
        overlay.work = self.work
        overlay.mount = self.mount
        overlay.flags = self.flags
        overlay.rootfs = self.metadata.rootfs
        return overlay

    def relative(self, path: str) -> str:
        """A path of the view, without the mount point: as diff and commit show it."""
        return path[len(self.mount.rstrip("/")) + 1:] if path != self.mount else "."

    def hidden(self) -> list[str]:
        """What is not there in a run: by the socket of a server it could commit itself."""
        serve = self.directory and self.directory / SERVE
        return [str(serve)] if serve and serve.is_dir() else []

    def chain(self) -> list[Sandbox]:
        """The sandboxes that it was forked from, the first one first, and itself."""
        found = [self]
        while found[0].metadata.parent:
            if len(found) > _DEEPEST:
                raise Failure(str(self), f"forked from itself, or more than {_DEEPEST} times")
            found.insert(0, Sandbox.open(found[0].metadata.parent))
        return found

    def forks(self) -> list[str]:
        """Names of the sandboxes that have a layer of it as a lower."""
        if self.directory is None:
            return []
        own = {self.upper, *self.steps}
        return [other.name for other in Sandbox.all() if own.intersection(other.lowers)]

    def pieces(self) -> list[Sandbox]:
        """A sandbox for each of its layers, topmost first: with one upper, on what that lies on."""
        uppers = [self.upper, *self.steps]
        works = [self.work, *(os.path.join(os.path.dirname(upper), "work") for upper in self.steps)]
        return [Sandbox(replace(self.metadata, lowers=[*uppers[i + 1:], *self.lowers]), uppers[i], works[i])
                for i in range(len(uppers))]

    # ---- locking ----

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds it against every other run and change; Failure at once when somebody has it.

        Layers that have no name are locked by the core, when a writable view of them is opened.
        """
        if self.directory is None:
            yield
            return
        fd, self._locked = self._locked, -1
        if fd < 0:
            fd = self._take_lock(self.directory / LOCK)
        try:
            self.reload()
            yield
        finally:
            os.close(fd)

    def _take_lock(self, path: Path) -> int:
        """The descriptor that holds it.  Whose last command has ended lets go of it in a moment."""
        until = time.monotonic() + _ENDING_PATIENCE
        while True:
            try:
                return lock_file(path)
            except FileNotFoundError as error:
                raise Missing(str(self), "removed meanwhile") from error
            except BlockingIOError as error:
                if not self._is_ending() or time.monotonic() > until:
                    raise self._in_use(int(error.filename)) from error
            time.sleep(_ENDING_PAUSE)

    def _in_use(self, holder: int) -> InUse:
        if os.environ.get("PTOVERLAY_NAME") == self.name:
            return InUse(str(self), "this is inside of it", "commands run in it as they are; for all else leave it")
        why = f"in use by process {holder}" if holder > 0 else "in use"
        return InUse(str(self), why, f"wait for its end, or work on a copy: ptoverlay fork {self.name} NEW")

    def _is_ending(self) -> bool:
        """Whether who holds it is a supervisor (shared/host.py) with no command left."""
        from ptoverlay.shared.talk import Gone, Talk

        assert self.directory is not None
        try:
            if not says_supervisor(self.directory / LOCK):
                return False
            with Talk.to(self.directory) as talk:
                return not talk.ask({"verb": "who"})["guests"]
        except (Gone, OSError):
            return True

    @contextmanager
    def change(self, *, goes_on: bool = False) -> Iterator[None]:
        """`lock`, for what changes the layers: Failure when other sandboxes lie on them.  goes_on: only what is written
        last changes, and that in a layer of its own; others may lie on those below."""
        with self.lock():
            forks = [name for name in self.forks() if not goes_on or self.upper in Sandbox.open(name).lowers]
            if forks:
                raise Failure(str(self), f"a lower of {', '.join(forks)}",
                              "it stays as it is as long as they are there: fork it again, or remove them")
            yield

    def running(self) -> int:
        """Process id of whoever holds it, 0 for nobody, -1 when it cannot be told who."""
        path = self.upper if self.directory is None else self.directory / LOCK
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return 0
        except BlockingIOError:
            return -1 if self.directory is None else 0 if self._is_ending() else holder(fd)
        finally:
            os.close(fd)


def _forget_unmade(parent: Path) -> None:
    """Takes away what somebody who was killed was making."""
    for left in parent.glob(f"{NEW}*"):
        try:
            if time.time() - left.stat().st_mtime > _OLD:
                remove_tree(str(left))
        except OSError:
            pass  # somebody else is at it


def _make_directories(path: Path) -> None:
    """The state directory and those above it that are missing, which are the user's alone except ours."""
    path.parent.parent.mkdir(0o700, parents=True, exist_ok=True)
    for directory in (path.parent, path):
        directory.mkdir(0o711, exist_ok=True)


def add_arguments(parser: argparse.ArgumentParser, rest: str = "", rest_help: str = "") -> None:
    """Adds what names a sandbox: NAME as the first word, or --name, --upper, --lower, --work, --mount.

    rest: the words that may follow NAME, as the usage shows them ("[PATH…]"); `Sandbox.open` leaves them in
    options.words.
    """
    import argparse

    parser.usage = f"%(prog)s [OPTIONS] NAME{rest and ' ' + rest}"
    parser.set_defaults(prog=parser.prog)
    parser.add_argument("words", nargs="*", help=rest_help or argparse.SUPPRESS, metavar=rest or "NAME")
    group = parser.add_argument_group("the sandbox, where no NAME is given as the first word")
    group.add_argument("--name", help="a named sandbox")
    group.add_argument("-u", "--upper", metavar="DIR", help="the upper layer")
    group.add_argument("-l", "--lower", metavar="DIR[:DIR…]", help="the lowers, topmost first (default: /)")
    group.add_argument("-w", "--work", metavar="DIR", help="the work directory (default: .NAME.work beside the upper)")
    group.add_argument("-m", "--mount", metavar="DIR", help="where the view appears (default: the topmost lower)")
    group.add_argument("--userxattr", action="store_true", help="read user.overlay.* attributes, as root too")


def the_only_word(given: argparse.Namespace) -> Sandbox:
    """The sandbox of parsed options; Failure when there are more words than its NAME."""
    box = Sandbox.open(given)
    if given.words:
        raise errors.usage(given.words[0], "one word too many", prog=given.prog)
    return box


def size_of(directory: str) -> int:
    """Bytes on disk of all below a directory; a file with several names counts once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    stack = [directory]
    while stack:
        try:
            entries = list(os.scandir(stack.pop()))
        except OSError:
            continue  # what may not be read counts as nothing
        for entry in entries:
            status: Any = entry.stat(follow_symlinks=False)
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                stack.append(entry.path)
    return total
