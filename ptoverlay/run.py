"""Carries a request out: layers, view, signals, the core's pto_run, reports, exit status.

Rules: whatever happens, `Layers` removes what was made for the run, with the signals still blocked and the view
already freed; the exit status of a run that began is CMD's own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys

from ptoverlay import errors, options
from ptoverlay.errors import Failure, InUse
from ptoverlay.layers import Layers
from ptoverlay.options import OverlaySpec, Request
from ptoverlay.signals import Signals

try:
    from ptoverlay._core import ffi, lib
except ImportError as error:
    raise Failure("the compiled core", str(error), "install again with a C compiler: pip install ptoverlay") from error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from ptoverlay.api.beginning import Beginning
    from ptoverlay.reports.trace import Trace

    # What is to be done after CMD, while its layers are there: for each overlay its upper and work directory (None
    # without one), and the struct pto_result.
    After = Callable[[list[tuple[OverlaySpec, str | None, str | None]], Any], None]

_MESSAGE_SIZE = 1024
_JUST_NOW = 200  # milliseconds
_NAMED = 3  # processes that a message names
_LONGEST = 60  # characters of a command line in it
#: Of the kernel's own making: never an overlay's business, whatever covers "/".  What root does to all of "/" (rm -r,
#: chown -R) must not take the host's devices away, so names and attributes stay, but where programs make names.
_ALWAYS_DIRECT = ("/proc", "/sys", "/dev")
_NOT_FIXED = ("/dev/mqueue", "/dev/pts", "/dev/shm", "/sys/fs/cgroup")
_TRAP_NAMES = {
    lib.PTO_TRAP_PTRACE: "ptrace trap",
    lib.PTO_TRAP_NOTIFY: "notify trap",
    lib.PTO_TRAP_OUTER: "trap of the run that it is inside",
}
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


class CoreView:
    """The core's merged view; freed when the context ends."""

    __slots__ = ("_message", "handle")

    def __init__(self) -> None:
        self._message = ffi.new("char[]", _MESSAGE_SIZE)

    def __enter__(self) -> CoreView:
        self.handle: Any = lib.pto_view_new()
        if not self.handle:
            raise Failure("view", os.strerror(errno.ENOMEM))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        lib.pto_view_free(self.handle)

    def _add_overlay(self, spec: Any) -> int:
        return lib.pto_view_add_overlay(self.handle, spec, self._message, _MESSAGE_SIZE)

    def _add_place(self, kind: int, path: str) -> int:
        return lib.pto_view_add_place(self.handle, kind, os.fsencode(path), self._message, _MESSAGE_SIZE)

    def run(self, command: Any, result: Any) -> int:
        """pto_run."""
        return lib.pto_run(self.handle, command, result)

    def add_overlay(self, overlay: OverlaySpec, upper: str | None, work: str | None) -> None:
        """Lays one overlay; upper and work exist, or are None for a view that cannot be changed."""
        if os.path.exists(overlay.mount_point()) and not os.path.isdir(overlay.mount_point()):
            raise Failure(f"{overlay.mount_point()}: mount point", os.strerror(errno.ENOTDIR))
        lowers = [ffi.new("char[]", os.fsencode(path)) for path in overlay.read_layers()]
        given = {name: ffi.NULL if path is None else ffi.new("char[]", os.fsencode(path))
                 for name, path in (("upper", upper), ("work", work), ("mount", overlay.mount_point()))}
        array = ffi.new("char *[]", lowers)
        spec: Any = ffi.new("struct pto_overlay *", {
            "lowers": ffi.cast("const char *const *", array), "n_lowers": len(lowers), "n_data": overlay.n_data,
            "flags": overlay.flags, **given})
        if overlay.upper is None and upper is not None:
            spec.flags |= lib.PTO_TEMPORARY
        self._check(self._add_overlay(spec), InUse)

    def add_place(self, kind: int, path: str) -> bool:
        """Makes one directory a direct, read-only or hidden place; False for what is to be hidden and is not there."""
        added = self._add_place(kind, path)
        self._check(added)
        return not added

    def has_directory(self, path: str) -> bool:
        """Whether there is one in the view."""
        out: Any = ffi.new("struct pto_stat *")
        error = lib.pto_stat(self.handle, os.fsencode(path), True, out)
        return stat.S_ISDIR(out.mode) if not error else error not in (-errno.ENOENT, -errno.ENOTDIR)

    def add_direct_places(self) -> None:
        """Those that are direct in every run; a view without such a directory has none there.  To be added before
        --direct, which takes away that they are fixed."""
        for path in (*_ALWAYS_DIRECT, *_NOT_FIXED):
            self._add_place(lib.PTO_DIRECT, path)
        for path in _ALWAYS_DIRECT:
            self._add_place(lib.PTO_PLACE_FIXED, path)

    def _check(self, result: int, busy: type[Failure] = Failure) -> None:
        """busy: what to raise for EBUSY."""
        if result < 0:
            raise errors.from_core(os.fsdecode(ffi.string(self._message)), -result,
                                   busy if result == -errno.EBUSY else Failure)


class NestedView(CoreView):
    """A view within the view of the run that we are in, whose supervisor serves it.  layers: by mount point."""

    __slots__ = ("layers",)

    def __enter__(self) -> CoreView:
        self.layers: dict[str, list[str]] = {}
        self.handle = lib.pto_nested_new(self._message, _MESSAGE_SIZE)
        if not self.handle:
            self._check(-errno.EPERM)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        lib.pto_nested_free(self.handle)

    def _add_overlay(self, spec: Any) -> int:
        return lib.pto_nested_add_overlay(self.handle, spec, self._message, _MESSAGE_SIZE)

    def _add_place(self, kind: int, path: str) -> int:
        return lib.pto_nested_add_place(self.handle, kind, os.fsencode(path), self._message, _MESSAGE_SIZE)

    def add_overlay(self, overlay: OverlaySpec, upper: str | None, work: str | None) -> None:
        super().add_overlay(overlay, upper, work)
        self.layers[os.path.realpath(overlay.mount_point())] = [*overlay.read_layers(), *([upper] if upper else [])]

    def has_directory(self, path: str) -> bool:
        """As the layers have it: the view itself is the supervisor's."""
        tops = [mount for mount in self.layers if (path + "/").startswith(mount.rstrip("/") + "/")]
        if not tops:
            return True
        mount = max(tops, key=len)
        below = path[len(mount.rstrip("/")):].lstrip("/")
        return any(os.path.isdir(os.path.join(layer, below)) for layer in self.layers[mount])

    def run(self, command: Any, result: Any) -> int:
        """pto_nested_run."""
        return lib.pto_nested_run(self.handle, command, result)


def _new_view(request: Request) -> CoreView:
    if not lib.pto_is_nested():
        return CoreView()
    for option, given in (("--trace", request.trace), ("--stats", request.stats)):
        if given:
            raise Failure(option, "inside a run the run around traps the calls", f"give {option} to that one")
    return NestedView()


def run(request: Request, after: After | None = None, beginning: Beginning | None = None) -> tuple[int, Any]:
    """Runs the request's command and waits for it; the wait status (os.waitstatus_to_exitcode) and the result
    (struct pto_result).  beginning: is told how to ask whether CMD runs."""
    errors.need_proc()
    with Signals() as signals, Layers() as layers, _new_view(request) as view:
        prepared = []
        for overlay in request.overlays:
            upper, work = layers.prepare(overlay)
            view.add_overlay(overlay, upper, work)
            prepared.append((overlay, upper, work))
        view.add_direct_places()
        for kind, path in request.places:
            if not view.add_place(kind, path) and request.verbose >= 0 and not os.path.lexists(path):
                errors.report(f"--hide {path}: it is not there")
        for path in layers.temporary:
            view.add_place(options.HIDDEN, path)
        chdir = request.chdir if request.chdir is not None else _elsewhere(view, request)
        result: Any = ffi.new("struct pto_result *")
        trace = _start_trace(request)
        told = request.verbose >= 0 and _at_terminal()
        signals.forward(_Left(view, request), look=told)
        if beginning is not None:
            beginning.watch(lambda: lib.pto_began(view.handle) == 1)
        try:
            returned = _run(view, request, chdir, trace, result)
        finally:
            signals.stop()
            if beginning is not None:
                beginning.stop()
            if trace is not None:
                trace.finish()
        _check_stage(request, result, returned)
        layers.kept = True
        if request.verbose > 0:
            errors.report(f"{request.argv[0]}: ran with the {_TRAP_NAMES[result.trap]}")
        if after is not None:
            after(prepared, result)
        if told and layers.to_be_lost():
            errors.report("what was changed is thrown away (ptoverlay run --name NAME keeps it)")
        return result.status, result


def _elsewhere(view: CoreView, request: Request) -> str | None:
    """Where CMD starts when the view has no directory where we are; None: it starts there."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return None  # removed, and CMD finds out as it would without a view
    if view.has_directory(here):
        return None
    if request.verbose >= 0:
        errors.report(f"{here}: not there in the view: {request.argv[0]} starts in / (--chdir names another directory)")
    return "/"


def _run(view: CoreView, request: Request, chdir: str | None, trace: Trace | None, result: Any) -> int:
    argv = [ffi.new("char[]", os.fsencode(word)) for word in request.argv]
    envp = [ffi.new("char[]", b"=".join(pair)) for pair in _environment()]
    argv_array = ffi.new("char *[]", [*argv, ffi.NULL])
    envp_array = ffi.new("char *[]", [*envp, ffi.NULL])
    where = ffi.NULL if chdir is None else ffi.new("char[]", os.fsencode(chdir))
    command = ffi.new("struct pto_command *", {
        "argv": ffi.cast("const char *const *", argv_array), "envp": ffi.cast("const char *const *", envp_array),
        "chdir": where, "trap": request.trap,
        "flags": lib.PTO_KILL_ON_EXIT * request.kill_on_exit | lib.PTO_STRICT * request.strict
                 | lib.PTO_INSIDE * request.inject,
        "trace_fd": -1 if trace is None else trace.fd,
        "message_fd": -1 if request.verbose < 0 or sys.stderr is None else 2,
        "verbose": max(request.verbose, 0)})
    return view.run(command, result)


class _Left:
    """CMD and what it leaves running, for `Signals`."""

    __slots__ = ("_name", "_view")

    def __init__(self, view: CoreView, request: Request) -> None:
        self._view = view
        self._name = request.argv[0]

    def send(self, number: int) -> bool:
        """To CMD; False when there is none (yet) that could take it."""
        return lib.pto_signal(self._view.handle, number) == 0

    def over(self) -> bool:
        """Whether CMD has ended, and not just now: what came with the signal that ended it was for CMD."""
        return lib.pto_ended(self._view.handle) > _JUST_NOW

    def end(self) -> None:
        """Ends what is left of the run."""
        lib.pto_end(self._view.handle)

    def tell(self) -> bool:
        """Tells who sits at the terminal why there is no prompt; True while there is nothing to tell."""
        if not self.over():
            return True
        found = ffi.new("int[]", _NAMED)
        count = lib.pto_left(self._view.handle, found, _NAMED)
        if not count:
            return True
        names = [_name_of(pid) for pid in found[0:min(count, _NAMED)]]
        names += [f"{count - _NAMED} more"] * (count > _NAMED)
        shown = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        errors.report(f"{self._name}: ended; {shown} {'is' if count == 1 else 'are'} still running (Ctrl-C ends "
                      f"{'it' if count == 1 else 'them'}, --kill-on-exit does so at once)")
        return False


def _name_of(pid: int) -> str:
    """A process as a user knows it: its command line, or what is left of it in a line, and its id."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = os.fsdecode(file.read(4096)).split("\0")
    except OSError:
        words = []
    text = " ".join(words).strip()
    return f"{text if len(text) <= _LONGEST else text[:_LONGEST - 1] + '…'} ({pid})".lstrip()


def _environment() -> list[tuple[bytes, bytes]]:
    """What CMD gets: our own, without the LC_CTYPE that Python sets for itself in the C locale (PEP 538)."""
    variables = dict(os.environb)
    if variables.get(b"LC_CTYPE") in _COERCED:
        with open("/proc/self/environ", "rb") as file:  # as it was at the start
            if b"\0LC_CTYPE=" not in b"\0" + file.read():
                del variables[b"LC_CTYPE"]
    return list(variables.items())


def _check_stage(request: Request, result: Any, returned: int) -> None:
    """Failure when CMD never ran, or when the core lost it."""
    number = result.error or -min(returned, 0)
    message = os.fsdecode(ffi.string(result.message))
    if result.stage == lib.PTO_STAGE_EXEC:
        status = errors.NOT_FOUND if number == errno.ENOENT else errors.NOT_EXECUTABLE
        raise Failure(request.argv[0], os.strerror(number), status=status, number=number)
    if result.stage == lib.PTO_STAGE_CHDIR:
        raise Failure(f"--chdir {request.chdir}" if request.chdir else "current directory", os.strerror(number),
                      number=number)
    if result.stage != lib.PTO_STAGE_NONE or returned < 0:
        nested = result.trap == lib.PTO_TRAP_OUTER
        raise errors.from_core(message, number) if nested else errors.trap_refused(message, number)


def _start_trace(request: Request) -> Trace | None:
    if request.trace is None:
        return None
    if request.inject and request.verbose >= 0:
        errors.report("--inject: without effect, since --trace has a line for each call")
    from ptoverlay.reports.trace import Trace
    return Trace(request.trace)


def run_and_exit(request: Request, after: After | None = None, beginning: Beginning | None = None) -> int:
    """Runs the request (see `run`); returns CMD's exit status, or dies of the signal that CMD died of."""
    if request.verbose > 0:
        for note in request.notes:
            errors.report(note)
    status, result = run(request, after, beginning)
    if request.stats:
        from ptoverlay.reports.stats import print_table
        print_table(result)
    if os.WIFSIGNALED(status):
        return die_of(os.WTERMSIG(status))
    return os.WEXITSTATUS(status)


def _at_terminal() -> bool:
    return os.isatty(0) and os.isatty(2)


def die_of(number: int) -> int:
    """Ends this process by the signal, without a core dump of ours; returns only if that is not possible."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number
