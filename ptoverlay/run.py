"""Carries a request out: layers, view, signals, the core's pto_run, reports, exit status.

Rules: whatever happens, `Layers` removes what was made for the run, with the signals still blocked and the view
already freed; the exit status of a run that began is CMD's own.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from ptoverlay import errors, options
from ptoverlay.core import ffi, lib
from ptoverlay.errors import Failure, InUse
from ptoverlay.layers import Layers
from ptoverlay.options import OverlaySpec, Request
from ptoverlay.signals import Signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import closing
    from types import TracebackType
    from typing import Any

    from ptoverlay.api.beginning import Beginning
    from ptoverlay.reports.trace import Trace
    from ptoverlay.timeout import Timeout

    # What is to be done after CMD, while its layers are there: for each overlay its upper and work directory (None
    # without one), and the struct pto_result.
    After = Callable[[list[tuple[OverlaySpec, str | None, str | None]], Any], None]

_MESSAGE_SIZE = 1024
_TRAP_NAMES = {
    lib.PTO_TRAP_PTRACE: "ptrace trap",
    lib.PTO_TRAP_NOTIFY: "notify trap",
    lib.PTO_TRAP_OUTER: "trap of the run that it is inside",
}
#: What a cleared environment still has: without it hardly a program finds its way.
_KEPT = (b"PATH", b"HOME", b"TERM", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"TZ")
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")


class CoreView:
    """The core's merged view; freed when the context ends."""

    __slots__ = ("_message", "handle")
    is_nested: bool = False

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

    def add_bind(self, host: str, inside: str) -> None:
        """Shows a directory or a file of the host at a path of the view, whose directory is there."""
        self._check(lib.pto_view_add_bind(self.handle, os.fsencode(host), os.fsencode(inside), self._message,
                                          _MESSAGE_SIZE))

    def _add_place(self, kind: int, path: str) -> int:
        return lib.pto_view_add_place(self.handle, kind, os.fsencode(path), self._message, _MESSAGE_SIZE)

    def run(self, command: Any, result: Any) -> int:
        """pto_run."""
        return lib.pto_run(self.handle, command, result)

    def add_overlay(self, overlay: OverlaySpec, upper: str | None, work: str | None) -> None:
        """Lays one overlay; upper and work exist, or are None for a view that cannot be changed."""
        spec, _kept = spec_of(overlay, upper, work)
        if overlay.upper is None and upper is not None:
            spec.flags |= lib.PTO_TEMPORARY
        result = self._add_overlay(spec)
        if result == -errno.ENOENT and upper and not (os.path.exists(upper) and os.path.exists(work or upper)):
            raise InUse(upper, "in use by another run", "it has just removed the directory: try again")
        self._check(result, InUse)

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

    def add_usual_places(self) -> None:
        """Those that every run has.  To be added before --direct, which takes away that they are fixed."""
        kind, i = ffi.new("int *"), 0
        while path := lib.pto_usual_place(i, kind):
            self._add_place(kind[0], os.fsdecode(ffi.string(path)))
            i += 1

    def _check(self, result: int, busy: type[Failure] = Failure) -> None:
        """busy: what to raise for EBUSY."""
        if result < 0:
            raise errors.from_core(os.fsdecode(ffi.string(self._message)), -result,
                                   busy if result == -errno.EBUSY else Failure)


class NestedView(CoreView):
    """A view within the view of the run that we are in, whose supervisor serves it.  layers: by mount point."""

    __slots__ = ("layers",)
    is_nested: bool = True

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

    def add_bind(self, host: str, inside: str) -> None:
        if host != inside:
            raise Failure(f"--bind {host}:{inside}", "within a run nothing is shown at another path")
        self.add_place(options.DIRECT, inside)

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


def spec_of(overlay: OverlaySpec, upper: str | None, work: str | None) -> tuple[Any, object]:
    """An overlay as the core takes it, and what must live as long."""
    if os.path.exists(overlay.mount_point()) and not os.path.isdir(overlay.mount_point()):
        raise Failure(f"{overlay.mount_point()}: mount point", os.strerror(errno.ENOTDIR))
    lowers = [ffi.new("char[]", os.fsencode(path)) for path in overlay.read_layers()]
    given = {name: ffi.NULL if path is None else ffi.new("char[]", os.fsencode(path))
             for name, path in (("upper", upper), ("work", work), ("mount", overlay.mount_point()))}
    array = ffi.new("char *[]", lowers)
    spec: Any = ffi.new("struct pto_overlay *", {
        "lowers": ffi.cast("const char *const *", array), "n_lowers": len(lowers), "n_data": overlay.n_data,
        "flags": overlay.flags, **given})
    return spec, (lowers, given, array)


def _new_view(request: Request) -> CoreView:
    if not lib.pto_is_nested():
        return CoreView()
    for option, given in (("--trace", request.trace), ("--stats", request.stats), ("--limit", request.limit)):
        if given:
            raise Failure(option, "inside a run the run around traps the calls", f"give {option} to that one")
    return NestedView()


def run(request: Request, after: After | None = None, beginning: Beginning | None = None) -> tuple[int, Any]:
    """Runs the request's command and waits for it; the wait status (os.waitstatus_to_exitcode) and the result
    (struct pto_result).  beginning: is told how to ask whether CMD runs."""
    errors.need_proc()
    with recorded(request) as recording, Signals() as signals, Layers() as layers, _new_view(request) as view:
        prepared = lay(request, layers, view)
        if request.limit:
            from ptoverlay.quota import bound

            bound(view.handle, request.limit, [upper for _, upper, _ in prepared if upper is not None])
        chdir = request.chdir if request.chdir is not None else _elsewhere(view, request)
        result: Any = ffi.new("struct pto_result *")
        carry_out(request, view, chdir, result, signals, beginning, recording)
        layers.kept = True
        if request.ending is not None:
            request.ending([upper for overlay, upper, _ in prepared if upper is not None and overlay.upper is not None])
        if recording is not None:
            recording.finish(prepared, result, environment_of(request))
        if after is not None:
            after(prepared, result)
        if request.verbose >= 0 and _at_terminal() and layers.to_be_lost():
            errors.report("what was changed is thrown away (ptoverlay run --name NAME keeps it)")
        return result.status, result


def lay(request: Request, layers: Layers, view: CoreView) -> list[tuple[OverlaySpec, str | None, str | None]]:
    """Makes the layers of a request, and of them the view."""
    prepared = []
    for overlay in (*request.around, *request.overlays):
        upper, work = layers.prepare(overlay)
        if features(request) & lib.PTO_FEATURE_FAKE_ROOT and not view.is_nested:
            from ptoverlay.stand_ins import make

            if (above := make(overlay)) is not None:
                layers.temporary.append(above)
                overlay.above = [above]
        view.add_overlay(overlay, upper, work)
        prepared.append((overlay, upper, work))
    prepared = [*prepared[len(request.around):], *prepared[:len(request.around)]]
    rootfs = request.overlays[0].rootfs
    if rootfs and not view.is_nested:
        from ptoverlay.rootfs import make_mount_points

        make_mount_points(view)
    view.add_usual_places()
    if rootfs or request.binds:
        from ptoverlay.rootfs import add

        add(request, view)
    for kind, path in request.places:
        if not view.add_place(kind, path) and request.verbose >= 0 and not os.path.lexists(path):
            errors.report(f"--hide {path}: it is not there")
    for path in layers.temporary:
        view.add_place(options.HIDDEN, path)
    return prepared


def carry_out(request: Request, view: CoreView, chdir: str | None, result: Any, signals: Signals,
              beginning: Beginning | None, recording: Any = None) -> None:
    """Runs CMD in the view; Failure when it never ran."""
    trace = _start_trace(request)
    told = request.verbose >= 0 and _at_terminal()
    signals.forward(view.handle, request.argv[0] if told else None)
    if beginning is not None:
        beginning.watch(lambda: lib.pto_began(view.handle) == 1)
    try:
        with _limit(view, request):
            returned = _run(view, request, chdir, signals.blocked, trace, recording, result)
    finally:
        signals.stop()
        if beginning is not None:
            beginning.stop()
        if trace is not None:
            trace.finish()
    _check_stage(request, result, returned)
    if result.stats.no_room:
        from ptoverlay.quota import tell

        tell(request, result)
    if request.verbose > 0:
        errors.report(f"{request.argv[0]}: ran with the {_TRAP_NAMES[result.trap]}")
        if result.inside < 0 or result.stats.inside_calls:
            errors.report(_inside(result))


def recorded(request: Request) -> closing[Any] | _Nothing:
    """What records the run, if something does; closed at the end of the context."""
    if request.recorder is None:
        return _NOTHING
    import contextlib

    return contextlib.closing(request.recorder)


def environment_of(request: Request) -> dict[str, str]:
    """What CMD gets, as text."""
    return {os.fsdecode(name): os.fsdecode(value) for name, value in _environment(request)}


def _limit(view: CoreView, request: Request) -> Timeout | _Nothing:
    """What ends CMD when its time is over."""
    if request.timeout:
        from ptoverlay.timeout import Timeout

        return Timeout(view.handle, request)
    return _NOTHING


class _Nothing:
    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


_NOTHING = _Nothing()


def _elsewhere(view: CoreView, request: Request) -> str | None:
    """Where CMD starts when the view has no directory where we are; None: it starts there."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return None  # removed, and CMD finds out as it would without a view
    return None if view.has_directory(here) else told_elsewhere(here, request)


def told_elsewhere(here: str, request: Request) -> str:
    """Where CMD starts then, and that it does."""
    if request.verbose >= 0:
        errors.report(f"{here}: not there in the view: {request.argv[0]} starts in / (--chdir names another directory)")
    return "/"


def _run(view: CoreView, request: Request, chdir: str | None, blocked: int, trace: Trace | None, recording: Any,
         result: Any) -> int:
    argv = [ffi.new("char[]", os.fsencode(word)) for word in request.argv]
    envp = [ffi.new("char[]", b"=".join(pair)) for pair in _environment(request)]
    argv_array = ffi.new("char *[]", [*argv, ffi.NULL])
    envp_array = ffi.new("char *[]", [*envp, ffi.NULL])
    where = ffi.NULL if chdir is None else ffi.new("char[]", os.fsencode(chdir))
    uid, gid, others = request.identity or (0, 0, [])
    groups = ffi.new("uint32_t[]", others)
    command = ffi.new("struct pto_command *", {
        "uid": uid, "gid": gid, "n_groups": len(others), "groups": groups,
        "argv": ffi.cast("const char *const *", argv_array), "envp": ffi.cast("const char *const *", envp_array),
        "chdir": where, "trap": request.trap,
        "flags": lib.PTO_KILL_ON_EXIT * request.kill_on_exit | lib.PTO_STRICT * request.strict
                 | lib.PTO_INSIDE * request.inject | lib.PTO_NO_NETWORK * (not request.network)
                 | lib.PTO_BECOME * (request.identity is not None) | lib.PTO_BY_PYTHON,
        "blocked": blocked,
        "data_limit": request.memory,
        "features": features(request) | lib.PTO_FEATURE_RECORD * (recording is not None), **request.members,
        "trace_fd": -1 if trace is None else trace.fd,
        "record_fd": -1 if recording is None else recording.fd,
        "message_fd": -1 if request.verbose < 0 or sys.stderr is None else 2,
        "verbose": max(request.verbose, 0)})
    return view.run(command, result)


def features(request: Request) -> int:
    """PTO_FEATURE_* of a request.  Who is root has what a fake root only sees."""
    return (request.features | lib.PTO_FEATURE_FAKE_ROOT * (request.fake_root and os.geteuid() != 0)
            | lib.PTO_FEATURE_LIMIT * (request.limit > 0))


def _inside(result: Any) -> str:
    """What of calls was answered inside of programs, or why none was; check.py reads it."""
    if result.inside < 0:
        return f"answered inside of programs: no calls: {os.strerror(-result.inside)}"
    return f"answered inside of programs: {result.stats.inside_calls} calls"


def _environment(request: Request) -> list[tuple[bytes, bytes]]:
    """What CMD gets: our own, without the LC_CTYPE that Python sets for itself in the C locale (PEP 538), and what was
    asked for."""
    variables = dict(os.environb)
    if variables.get(b"LC_CTYPE") in _COERCED:
        with open("/proc/self/environ", "rb") as file:  # as it was at the start
            if b"\0LC_CTYPE=" not in b"\0" + file.read():
                del variables[b"LC_CTYPE"]
    ours = variables
    if request.bare_environment:
        variables = {}
    elif request.clear_environment:
        variables = {name: value for name, value in ours.items() if name in _KEPT or name.startswith(b"LC_")}
    for text in request.environment:
        name, equals, value = os.fsencode(text).partition(b"=")
        if equals:
            variables[name] = value
        elif name in ours:
            variables[name] = ours[name]
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
    if request.inject and request.verbose > 0:
        errors.report("--trace: no call is answered inside of a program, so that each has its line")
    from ptoverlay import extras
    extras.need("--trace", "trace")
    from ptoverlay.reports.trace import Trace
    return Trace(request.trace)


def run_and_exit(request: Request, after: After | None = None, beginning: Beginning | None = None) -> int:
    """Runs the request (see `run`); returns CMD's exit status, or dies of the signal that CMD died of."""
    if request.verbose > 0:
        for note in request.notes:
            errors.report(note)
    status, result = run(request, after, beginning)
    return exit_as(request, status, result)


def exit_as(request: Request, status: int, result: Any) -> int:
    """What is to be told of a run that is over, and how we end: the exit status, or by CMD's signal."""
    if request.stats:
        from ptoverlay.reports.stats import print_table
        print_table(result)
    if request.timed_out:
        return errors.TIMED_OUT
    if os.WIFSIGNALED(status):
        return die_of(os.WTERMSIG(status))
    return os.WEXITSTATUS(status)


def _at_terminal() -> bool:
    return os.isatty(0) and os.isatty(2)


def die_of(number: int) -> int:
    """Ends this process by the signal, without a core dump of ours; returns only if that is not possible."""
    import resource
    import signal

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return 128 + number
