"""The Python API: what the command line does, as objects.

    from ptoverlay import Overlay

    with Overlay(lower="/") as box:                       # a temporary layer
        box.run(["make", "install"], check=True)
        for change in box.changes():
            print(change.kind, change.path, change.size)
        box.commit(["/usr/local/bin"])

Commands run below a supervisor that is a process of its own, so the GIL is never held for them, signals and pipes are
the kernel's, and any number of overlays can be used in one process and in its threads.

Rules: an overlay holds its layers from open() to close(), and a temporary one leaves nothing behind, however the
process ends that Python can still notice; what is done here is done by the modules of the command line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from ptoverlay import errors, fsck, options
from ptoverlay.changes import Change, absolute, changes, select
from ptoverlay.commit.carry import Outcome, commit
from ptoverlay.discard import discard, discard_all
from ptoverlay.errors import Failure
from ptoverlay.explain import Explanation, explain
from ptoverlay.keep import sandbox_of
from ptoverlay.layers import Layers, default_work
from ptoverlay.process import (
    Command,
    Options,
    Process,
    Start,
    StrPath,
    command_line,
    completed,
    plain,
    reap,
    streams,
    supervisor,
    words_of,
)
from ptoverlay.remove import remove_tree
from ptoverlay.sandbox import Metadata, Run, Sandbox, check_name
from ptoverlay.ship import export, importing
from ptoverlay.ship.image import write_image
from ptoverlay.ship.output import COMPRESSIONS, Archive, compression_of, write_archive

if TYPE_CHECKING:
    import asyncio

    from ptoverlay.fsck import Problem
    from ptoverlay.ship.importing import Imported

_KILLED_PATIENCE = 5.0  # seconds until what a killed supervisor leaves has to be gone


class Overlay:
    """A view of read-only lower directories with a writable upper layer on top: the place to run commands.

    lower: one directory or several, topmost first, None: "/", or what a sandbox that exists lies on; upper: the
    directory that all changes go to, made if it is missing, None: a temporary one below $TMPDIR that close() throws
    away; work: scratch on the upper's file system, None: .NAME.work beside the upper; mount: directory where the view
    appears, None: the topmost lower's own path; name: use, or make, the named sandbox of the command line (`ptoverlay
    list`), which this object then holds until close().

    direct, read_only, hide: directories that are as on the host, cannot be changed, are not there; mount_options: those
    of overlayfs, without directories ("volatile,metacopy=on"); trap: "auto", "ptrace" or "notify"; strict: a call that
    cannot be carried out faithfully kills the program; kill_on_exit: when a command ends, end what it has started.

    It is a context manager; without one call open() and close().  At one time one command runs in an overlay; take
    several overlays, each with a layer of its own, to run several.  Its methods may be called from any thread.

    Failure (one line: what, why, remedy) when the layers cannot be used or the machine does not allow it.

    >>> import pathlib, tempfile
    >>> lower = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (lower / "greeting").write_text("hello")
    >>> with Overlay(lower) as box:
    ...     done = box.run("rm greeting; echo bye >farewell; ls", shell=True, cwd=lower, capture_output=True, text=True)
    ...     print(done.stdout, end="")
    ...     for change in box.changes():
    ...         print(change.kind, os.path.basename(change.path), change.size)
    farewell
    added farewell 4
    removed greeting 0
    >>> [path.name for path in lower.iterdir()]
    ['greeting']
    """

    def __init__(self, lower: StrPath | Sequence[StrPath] | None = None, upper: StrPath | None = None, *,
                 work: StrPath | None = None, mount: StrPath | None = None, name: str | None = None,
                 direct: Sequence[StrPath] = (), read_only: Sequence[StrPath] = (), hide: Sequence[StrPath] = (),
                 mount_options: str = "", trap: Literal["auto", "ptrace", "notify"] = "auto", strict: bool = False,
                 kill_on_exit: bool = False) -> None:
        self._asked = options.Overlay()
        options.parse_mount_options(mount_options, self._asked, "mount_options", [])
        if self._asked.lowers or self._asked.upper is not None or self._asked.work is not None:
            raise Failure("mount_options", "directories are given by lower, upper and work")
        if name is not None and (upper is not None or work is not None):
            raise Failure("name", "it has an upper and a work directory of its own", "leave upper and work out")
        if name is not None and self._asked.flags & options.READ_ONLY:
            raise Failure("name", "a layer that nothing can change is not kept", "leave ro out")
        if work is not None and upper is None:
            raise Failure("work", "there is no upper directory that it could belong to", "give upper too")
        lowers = [lower] if isinstance(lower, str | os.PathLike) else lower or []
        self._asked.lowers = [os.path.abspath(path) for path in lowers]
        self._asked.upper = None if upper is None else os.path.abspath(upper)
        self._asked.work = None if work is None else os.path.abspath(work)
        self._asked.mount = None if mount is None else os.path.abspath(mount)
        self._name = None if name is None else check_name(name)
        places = (("--direct", direct), ("--read-only", read_only), ("--hide", hide))
        self._options = ["--trap", trap, *["--strict"] * strict, *["--kill-on-exit"] * kill_on_exit,
                         *(word for option, paths in places for path in paths for word in (option, os.fspath(path)))]
        self._hidden: list[str] = []
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
        assert self._name is not None
        named = self._named = stack.enter_context(sandbox_of(self._name, self._asked))
        # We hold its lock: the object that the tools get is one that needs none.
        return Sandbox(named.metadata, named.upper, named.work)

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
        elif work is None:
            work = default_work(upper)
        metadata = Metadata("", [os.path.realpath(path) for path in self._asked.layers()],
                            os.path.realpath(self._asked.mount_point()), flags=self._asked.flags)
        return Sandbox(metadata, upper, work)

    def _writable(self) -> options.Overlay:
        """What was asked for, with a layer of its own even where nothing may change it."""
        overlay = options.Overlay()
        overlay.lowers = self._asked.lowers
        return overlay

    def _opened(self) -> Sandbox:
        if self._sandbox is None:
            raise Failure("overlay", "it is not open", "use it as a context manager, or call open()")
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

    # ---- running ----

    def start(self, args: Command, *, text: bool | None = None, encoding: str | None = None,
              errors: str | None = None, **popen: Unpack[Options]) -> Process[Any]:
        """Starts a command, as subprocess.Popen does; see `Process` for what differs.

        OSError (FileNotFoundError, PermissionError…) when the command or its directory is not there, or cannot be
        executed; Failure when another command is still running in this overlay, when the layers cannot be used, or
        when the machine does not allow it.

        >>> with Overlay() as box:
        ...     process = box.start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ...     process.communicate("through a pipe", timeout=60)
        ('through a pipe', None)
        """
        with self._lock:
            sandbox = self._idle()
            given: dict[str, Any] = {**popen, "text": text, "encoding": encoding, "errors": errors}
            run = Run([os.fspath(word) for word in words_of(args, given.get("shell", False))], os.getcwd(), time.time())
            process: Process[Any] = Process(args, self._layer_options(sandbox), temporary=self._temporary,
                                            ended=partial(self._ended, run), **given)
            self._process = process
            self._remember(run, 1)
            return process

    @overload
    def run(self, args: Command, *, input: str | None = None, capture_output: bool = False,
            timeout: float | None = None, check: bool = False, text: Literal[True], encoding: str | None = None,
            errors: str | None = None, **popen: Unpack[Options]) -> subprocess.CompletedProcess[str]: ...

    @overload
    def run(self, args: Command, *, input: bytes | None = None, capture_output: bool = False,
            timeout: float | None = None, check: bool = False, text: Literal[False] | None = None,
            encoding: None = None, errors: None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[bytes]: ...

    @overload
    def run(self, args: Command, *, input: Any = None, capture_output: bool = False, timeout: float | None = None,
            check: bool = False, text: bool | None = None, encoding: str | None = None, errors: str | None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]: ...

    def run(self, args: Command, *, input: Any = None, capture_output: bool = False, timeout: float | None = None,
            check: bool = False, text: bool | None = None, encoding: str | None = None, errors: str | None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]:
        """Runs a command and waits for it: subprocess.run's arguments, result and errors.

        timeout: in seconds; then all that the command has started is killed and subprocess.TimeoutExpired raised.
        subprocess.CalledProcessError with check when it fails; OSError when it is not there; Failure as for `start`.

        >>> with Overlay() as box:
        ...     box.run("echo kept nowhere >~/file; exit 3", shell=True).returncode
        3
        >>> with Overlay() as box:
        ...     box.run(["no-such-command"])
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'no-such-command'
        """
        streams(popen, input, capture_output)
        with self.start(args, text=text, encoding=encoding, errors=errors, **popen) as process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            except BaseException:
                process.kill()
                raise
        return completed(args, process.returncode, out, err, check)

    async def start_async(self, args: Command, **popen: Unpack[Options]) -> asyncio.subprocess.Process:
        """Starts a command, as asyncio.create_subprocess_exec does; errors as of `start`.

        >>> import asyncio
        >>> async def main():
        ...     with Overlay() as box:
        ...         process = await box.start_async(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ...         return await process.communicate(b"through a pipe")
        >>> asyncio.run(main())
        (b'through a pipe', None)
        """
        import asyncio  # takes longer to import than all the rest

        options = self._layer_options(self._idle())
        given: dict[str, Any] = {**popen}
        words, cwd = words_of(args, given.pop("shell", False)), given.pop("cwd", None)
        start = Start(words[0], None if cwd is None else os.fspath(cwd))
        try:
            line = supervisor(start.fd, self._temporary, command_line(options, cwd, words))
            given["pass_fds"] = (*given.get("pass_fds", ()), start.fd)
            process = self._process = await asyncio.create_subprocess_exec(*line, **given)
        finally:
            start.handed_over()
        failure = await asyncio.to_thread(start.wait)
        if failure is not None:
            await process.wait()
            raise failure
        return process

    def command(self, args: Command, *, cwd: StrPath | None = None, shell: bool = False) -> list[str]:
        """The command line that runs `args` in this overlay, for what starts processes by itself (pexpect, a test
        runner…).  One at a time; close() does not know of it.

        >>> with Overlay() as box:
        ...     subprocess.call(box.command("exit 3", shell=True))
        3
        """
        return plain(command_line(self._layer_options(self._opened()), cwd, words_of(args, shell)))

    async def run_async(self, args: Command, *, input: Any = None, capture_output: bool = False,
                        timeout: float | None = None, check: bool = False, text: bool | None = None,
                        encoding: str | None = None, errors: str | None = None,
                        **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]:
        """`run` for asyncio: other tasks go on meanwhile; a task that is cancelled kills its command.

        >>> import asyncio
        >>> async def main():
        ...     with Overlay() as one, Overlay() as other:
        ...         return await asyncio.gather(one.run_async(["true"]), other.run_async(["false"]))
        >>> [done.returncode for done in asyncio.run(main())]
        [0, 1]
        """
        import asyncio

        streams(popen, input, capture_output)
        begin = asyncio.create_task(asyncio.to_thread(partial(
            self.start, args, text=text, encoding=encoding, errors=errors, **popen)))
        try:
            process = await asyncio.shield(begin)
        except asyncio.CancelledError:
            await asyncio.wait([begin])
            if begin.exception() is None:
                begin.result().kill()
                await asyncio.to_thread(reap, begin.result())
            raise
        talk = asyncio.create_task(asyncio.to_thread(process.communicate, input, timeout))
        try:
            out, err = await asyncio.shield(talk)
        except BaseException:
            process.kill()
            await asyncio.wait([talk])
            if talk.exception() is not None:
                await asyncio.to_thread(reap, process)
            raise
        return completed(args, process.returncode, out, err, check)

    @property
    def _temporary(self) -> bool:
        return self._name is None and self._asked.upper is None

    def _layer_options(self, sandbox: Sandbox) -> list[str]:
        lowers = options.lower_words(sandbox.lowers, sandbox.metadata.n_data)
        flags = [word for option in options.words_of(sandbox.flags) for word in ("-o", option)]
        return [*self._options, *self._hidden, *flags, "-l", lowers, "-u", sandbox.upper, "-w", sandbox.work,
                "-m", sandbox.mount]

    def _remember(self, run: Run, count: int) -> None:
        if self._named is not None:
            self._named.metadata.last_run = run
            self._named.metadata.runs += count
            self._named.save()

    def _ended(self, run: Run, status: int) -> None:
        run.ended, run.status = time.time(), status
        with self._lock:
            self._remember(run, 0)

    # ---- what became of it ----

    def changes(self, paths: Sequence[str] = (), *, content: bool = True) -> list[Change]:
        """What the layer changes, sorted by path; also while a command is running.

        paths: only what is there and below, with wildcards as `ptoverlay diff` has them; content: compare bytes;
        without it a file of the same size and time counts as the same.
        """
        sandbox = self._opened()
        with _told(), sandbox.view() as view, sandbox.base() as base:
            found = changes(view, base, sandbox.mount, content=content)
        return select(found, paths, sandbox.mount) if paths else found

    def read(self, path: StrPath) -> bytes:
        """The content of a file of the view.  OSError as open(2)."""
        sandbox = self._opened()
        with sandbox.view() as view:
            return view.read(absolute(os.fspath(path), sandbox.mount))

    def explain(self, path: StrPath) -> Explanation:
        """Which layer a path of the view comes from, and why.

        >>> with Overlay("/usr") as box:
        ...     box.explain("/usr/bin/env").why
        'lower'
        """
        sandbox = self._opened()
        with _told(), sandbox.view() as view, sandbox.base() as base:
            return explain(sandbox, view, base, absolute(os.fspath(path), sandbox.mount))

    def fork(self, **arguments: Any) -> Overlay:
        """A new overlay, not yet open, that goes on from this one at no copy: this one's upper is its topmost lower, so
        run nothing here as long as that one is used.  arguments: of `Overlay`, without lower and mount.

        >>> with Overlay() as box:
        ...     done = box.run("echo one >/tmp/file", shell=True)
        ...     with box.fork() as fork:
        ...         done = fork.run("echo two >>/tmp/file", shell=True)
        ...         fork.read("/tmp/file"), box.read("/tmp/file")
        (b'one\\ntwo\\n', b'one\\n')
        """
        sandbox = self._idle()
        if not os.path.isdir(sandbox.upper):
            return Overlay(sandbox.lowers, mount=sandbox.mount, **arguments)
        return Overlay([sandbox.upper, *sandbox.lowers], mount=sandbox.mount, **arguments)

    def commit(self, paths: Sequence[str] = (), *, force: bool = False, trust: bool = False,
               dry_run: bool = False) -> Outcome:
        """Applies changes to the topmost lower, all or those at `paths`, and takes them out of the layer.

        The outcome's `refused` tells what was not committed and why: path → reason.  force: also what the host has
        changed since; trust: also what only this user may set, in a layer that another one has made.  Failure when
        nothing could be done, with everything as it was.

        >>> import pathlib, tempfile
        >>> lower = pathlib.Path(tempfile.mkdtemp())
        >>> with Overlay(lower) as box:
        ...     done = box.run(["sh", "-c", "echo >wanted; echo >unwanted"], cwd=lower, check=True)
        ...     outcome = box.commit(["wanted"])
        >>> (outcome.refused, [path.name for path in lower.iterdir()])
        ({}, ['wanted'])
        """
        with self._lock, _told():
            return commit(self._idle(), paths, force=force, trust=trust, dry_run=dry_run)

    def discard(self, paths: Sequence[str] = ()) -> list[Change]:
        """Undoes changes, all or those at `paths`; returns what was undone.  Failure: nothing was undone."""
        with self._lock, _told():
            sandbox = self._idle()
            if not os.path.isdir(sandbox.upper):
                return []
            with sandbox.view(writable=True) as view, sandbox.base() as base:
                found = changes(view, base, sandbox.mount)
                if paths:
                    return discard(sandbox, view, base, found, select(found, paths, sandbox.mount))
                discard_all(sandbox)
            return found

    def export(self, path: StrPath, *, format: Literal["oci", "overlayfs"] = "oci",
               compression: Literal["none", "gzip", "zstd"] | None = None, reproducible: bool = False) -> Archive:
        """Writes the layer as an archive, which appears when it is whole; its digest and sizes.

        format: "oci", a layer of a container's image, or "overlayfs", the upper as it is; compression: None: by the end
        of the name (.tar, .tar.gz, .tgz, .tar.zst); reproducible: the same changes give the same bytes
        (SOURCE_DATE_EPOCH).  Failure: the file is as it was.
        """
        name = os.fspath(path)
        how = export.Options.of(format, reproducible=reproducible)
        if compression is not None and compression not in COMPRESSIONS:
            raise ValueError(f"compression: {compression!r} is none of {', '.join(COMPRESSIONS)}")
        with self._lock, _told(), self._idle().view() as view:
            return write_archive(name, compression or compression_of(name),
                                 partial(export.write, self._opened(), view, options=how))

    def export_image(self, directory: StrPath, *, tag: str = "latest", reproducible: bool = False) -> str:
        """Writes an image into an OCI image layout, made if it is missing: its manifest's digest.

        It has this layer, on top of those of the sandboxes that a named one was forked from.
        """
        how = export.Options.of("oci", reproducible=reproducible)
        with self._lock, _told():
            below = self._named.chain()[:-1] if self._named is not None else []
            return write_image([*below, self._idle()], os.fspath(directory), tag, "gzip", how)


    def import_layer(self, archive: StrPath) -> Imported:
        """Fills the layer, which must be empty, from an archive that `export` wrote, or from a layer of an image.

        Failure: it is not one, or the layer is not empty; the layer is as it was.

        >>> import pathlib, tempfile
        >>> lower, archive = pathlib.Path(tempfile.mkdtemp()), pathlib.Path(tempfile.mkdtemp(), "layer.tar.zst")
        >>> with Overlay(lower) as one, Overlay(lower) as other:
        ...     done = one.run(["mkdir", "made"], cwd=lower, check=True)
        ...     made = one.export(archive)
        ...     imported = other.import_layer(archive)
        ...     [pathlib.Path(change.path).name for change in other.changes()]
        ['made']
        """
        with self._lock, _told():
            return importing.fill(self._idle(), importing.sources_of(os.fspath(archive), None))

    def fsck(self, *, repair: bool = False) -> list[Problem]:
        """What the kernel's overlayfs would refuse or misread in the layer; repair: put right what can be.

        >>> with Overlay() as box:
        ...     box.fsck()
        []
        """
        with self._lock, _told():
            sandbox = self._idle()
            return fsck.check(sandbox, repair=repair) if os.path.isdir(sandbox.upper) else []


@contextmanager
def _told() -> Iterator[None]:
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
