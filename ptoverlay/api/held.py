"""The layers of an overlay from open() to close(), and who uses them meanwhile: what both halves of the API stand on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from ptoverlay import errors, options
from ptoverlay.commit.carry import pending
from ptoverlay.errors import Failure, Missing
from ptoverlay.history.fold import forget
from ptoverlay.layers import Layers
from ptoverlay.process import Process, StrPath, reap
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.named import check_asked, sandbox_of
from ptoverlay.sandboxes.names import check_name
from ptoverlay.sandboxes.sandbox import Sandbox

if TYPE_CHECKING:
    import asyncio

    from ptoverlay.builds.build import Build

_KILLED_PATIENCE = 5.0  # seconds until what a killed supervisor leaves has to be gone


class HeldLayers:
    """The layers that were asked for, held from open() to close(), and the one command that uses them."""

    def __init__(self, lower: StrPath | Sequence[StrPath] | None = None, upper: StrPath | None = None, *,
                 work: StrPath | None = None, mount: StrPath | None = None, name: str | None = None,
                 direct: Sequence[StrPath] = (), read_only: Sequence[StrPath] = (), hide: Sequence[StrPath] = (),
                 mount_options: str = "", trap: Literal["auto", "ptrace", "notify"] = "auto", strict: bool = False,
                 kill_on_exit: bool = False, inject: bool = True, fake_root: bool = False, limit: int | None = None,
                 build: Build | None = None, record: StrPath | None = None, provenance: StrPath | None = None,
                 depfile: StrPath | None = None, sbom: StrPath | None = None) -> None:
        self._asked = options.OverlaySpec()
        options.parse_mount_options(mount_options, self._asked, "mount_options", [])
        if self._asked.lowers or self._asked.upper is not None or self._asked.work is not None:
            raise Failure("mount_options", "directories are given by lower, upper and work")
        if name is not None and (upper is not None or work is not None):
            raise Failure("name", "it has an upper and a work directory of its own", "leave upper and work out")
        if name is not None and self._asked.flags & options.READ_ONLY:
            raise Failure("name", "a layer that nothing can change is not kept", "leave ro out")
        if work is not None and upper is None:
            raise Failure("work", "there is no upper directory that it could belong to", "give upper too")
        if name is not None and build is not None:
            raise Failure("build", "a build is no step of a sandbox", "leave name out, and give upper")
        lowers = [lower] if isinstance(lower, str | os.PathLike) else lower or []
        self._asked.lowers = [os.path.abspath(path) for path in lowers]
        self._asked.upper = None if upper is None else os.path.abspath(upper)
        self._asked.work = None if work is None else os.path.abspath(work)
        self._asked.mount = None if mount is None else os.path.abspath(mount)
        self._name = None if name is None else check_name(name)
        places = (("--direct", direct), ("--read-only", read_only), ("--hide", hide))
        self._options = ["--trap", trap, *["--strict"] * strict, *["--kill-on-exit"] * kill_on_exit,
                         *["--no-inject"] * (not inject), *["--fake-root"] * fake_root,
                         *([] if limit is None else ["--limit", str(limit)]),
                         *(word for option, paths in places for path in paths for word in (option, os.fspath(path)))]
        records = {"record": record, "provenance": provenance, "depfile": depfile, "sbom": sbom}
        self._options += [word for option, path in records.items() if path is not None
                          for word in (f"--{option}", os.path.abspath(path))]
        self._build: list[str] | None = None if build is None else build.words()
        self._hidden: list[str] = []
        self._parent: str | None = None  # of a fork: the name of what it was forked from, "" for none
        self._lock = threading.RLock()
        self._held = ExitStack()
        self._sandbox: Sandbox | None = None
        self._named: Sandbox | None = None
        self._process: Process[Any] | asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        where = self._name or self._asked.upper or "temporary"
        return f"<Overlay {where} over {':'.join(self._asked.layers())}{'' if self._sandbox else ', closed'}>"

    # ---- from open to close ----

    def open(self) -> Self:
        """Makes or finds the layers.  Failure when a lower is missing, or the sandbox is in use."""
        with self._lock:
            if self._sandbox is not None:
                raise Failure("overlay", "it is open already")
            for path in self._asked.layers():
                if not os.path.isdir(path):
                    raise Failure(path, "lower: no such directory")
            with ExitStack() as stack:
                self._sandbox = self._of_name(stack) if self._name is not None else self._of_directories(stack)
                self._held = stack.pop_all()
        return self

    def close(self) -> None:
        """Ends the command that is still running, by SIGKILL, and throws a temporary layer away."""
        with self._lock:
            process = self._process
            if process is not None and _runs(process):
                process.kill()
                if isinstance(process, Process):
                    reap(process)
            self._process = self._sandbox = self._named = None
            self._held.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def _of_name(self, stack: ExitStack) -> Sandbox:
        """The sandbox; others may be in it, now and later."""
        assert self._name is not None
        try:
            self._named = Sandbox.open(self._name)
            check_asked(self._named, self._asked)
        except Missing:
            with sandbox_of(self._name, self._asked, keep=True, parent=self._parent or "") as made:
                self._named = Sandbox.open(made.name)
            stack.callback(_forget_unused, self._named)
        return self._layers_of(self._named)

    @staticmethod
    def _layers_of(named: Sandbox) -> Sandbox:
        """As the tools get them, which lock nothing."""
        return Sandbox(named.metadata, named.upper, named.work, steps=named.steps)

    @contextmanager
    def _alone(self, *, goes_on: bool = False) -> Iterator[None]:
        """Holds a named sandbox for a change.  InUse: somebody is in it.  goes_on: as of `Sandbox.change`."""
        if self._named is None:
            yield
            return
        with self._named.change(goes_on=goes_on):
            yield

    def _one_layer(self) -> Sandbox:
        """The layers, when no command uses them, as one; the log forgets the steps of a named sandbox.  Call it
        `_alone`."""
        sandbox = self._idle()
        if self._named is not None and not pending(sandbox.work):
            forget(self._named)
            sandbox = self._idle()
        return sandbox

    def _of_directories(self, stack: ExitStack) -> Sandbox:
        upper, work = self._asked.upper, self._asked.work
        if upper is None:
            layers = Layers()
            made = layers.prepare(self._writable())
            assert made[0] is not None
            assert made[1] is not None
            stack.callback(weakref.finalize(self, _remove, layers.temporary, os.getpid()))
            upper, work = made[0], made[1]
            self._hidden = ["--hide", *layers.temporary]
        mount = self._asked.mount
        if self._build is not None and mount is not None and not os.path.isdir(mount):
            mount = None  # it is made for the build alone: for us the layers lie where the lower does
        return Sandbox.of(upper, self._asked.layers(), mount=mount, work=work, flags=self._asked.flags)

    def _writable(self) -> options.OverlaySpec:
        """What was asked for, with a layer of its own even where nothing may change it."""
        overlay = options.OverlaySpec()
        overlay.lowers = self._asked.lowers
        return overlay

    def _opened(self) -> Sandbox:
        if self._sandbox is None:
            raise Failure("overlay", "it is not open", "use it as a context manager, or call open()")
        if self._named is not None:  # whose layers come and go with each command
            self._named.metadata = Sandbox.open(self._named.name).metadata
            self._named.reload()
            self._sandbox = self._layers_of(self._named)
        return self._sandbox

    def _idle(self) -> Sandbox:
        """The layers, when no command uses them."""
        sandbox = self._opened()
        if self._process is not None and _runs(self._process):
            raise Failure("overlay", f"a command is running in it (process {self._process.pid})",
                          "wait for its end, or take another Overlay")
        return sandbox

    def in_use(self) -> bool:
        """Whether a command, of this process or of another one, uses the layer now."""
        sandbox = self._opened()
        return os.path.isdir(sandbox.upper) and sandbox.running() != 0

    # ---- layers ----

    @property
    def lowers(self) -> tuple[str, ...]:
        """The lower directories, topmost first."""
        return tuple(self._opened().lowers)

    @property
    def upper(self) -> str:
        """The upper directory, in the format of overlayfs.  It need not exist before the first command ran."""
        return self._opened().upper

    @property
    def mount(self) -> str:
        """Where the view appears."""
        return self._opened().mount


def _forget_unused(named: Sandbox) -> None:
    """Removes a sandbox that was made, and in which nothing ran."""
    try:
        with named.lock():
            if not os.path.isdir(named.upper):
                named.remove()
    except Failure:
        pass  # somebody is in it


@contextmanager
def told() -> Iterator[None]:
    """What the layers' file systems refuse is a Failure with the path in question."""
    try:
        yield
    except OSError as error:
        raise errors.from_os_error(os.fsdecode(error.filename or "overlay"), error) from error


def _runs(process: Process[Any] | asyncio.subprocess.Process) -> bool:
    return (process.poll() if isinstance(process, Process) else process.returncode) is None


def _remove(tops: Sequence[str], owner: int) -> None:
    """Throws temporary layers away; what was killed a moment ago may still be at it.  owner: process that made them,
    since one that was forked from it has no business with them."""
    if os.getpid() != owner:
        return
    end = time.monotonic() + _KILLED_PATIENCE
    for top in tops:
        while os.path.lexists(top):
            try:
                remove_tree(top)
            except OSError as error:
                if time.monotonic() > end:
                    errors.report(f"{top}: not removed: {error.strerror} ({error.filename!r})")
                    break
                time.sleep(0.02)
