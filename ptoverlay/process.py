"""A command that runs in an `Overlay`: subprocess.Popen with a supervisor between it and its caller.

Rules: everything but the words of the command line is Popen's own work; what keeps a command from running is raised
where it is started, as by Popen.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, AnyStr, TypedDict

from ptoverlay.api.beginning import BEGUN, unpack
from ptoverlay.errors import Failure

StrPath = str | os.PathLike[str]
Command = StrPath | Sequence[StrPath]

_START = "import sys; sys.path[:] = {path!r}; from ptoverlay.{module} import {function}; sys.exit({call})"
_PIECE = 65536


class Options(TypedDict, total=False):
    """Arguments of subprocess.Popen that `Overlay.start` and `Overlay.run` take, with the same meaning.

    cwd is a directory in the view; shell=True is the view's /bin/sh.
    """

    stdin: Any
    stdout: Any
    stderr: Any
    cwd: StrPath | None
    env: Any
    shell: bool
    bufsize: int
    close_fds: bool
    pass_fds: Sequence[int]
    restore_signals: bool
    start_new_session: bool
    process_group: int | None
    umask: int
    pipesize: int
    universal_newlines: bool | None


def supervisor(fd: int, temporary: bool, words: Sequence[str]) -> list[str]:
    """The command line that runs `ptoverlay.api.child`."""
    return _python("api.child", "main", f"main({fd}, {temporary}, sys.argv[1:])", words)


def plain(words: Sequence[str]) -> list[str]:
    """The command line that runs `ptoverlay run`."""
    return plain_command(["run", *words])


def plain_command(words: Sequence[str]) -> list[str]:
    """The command line that runs `ptoverlay`."""
    return _python("__main__", "command", "command(sys.argv[1:])", words)


def _python(module: str, function: str, call: str, words: Sequence[str]) -> list[str]:
    """By this Python with its modules, whatever CMD's environment says."""
    path = [os.path.abspath(entry) for entry in sys.path]
    start = _START.format(path=path, module=module, function=function, call=call)
    return [sys.executable, "-I", "-S", "-c", start, *words]


def words_of(args: Command, shell: bool) -> list[str]:
    """The words of a command as subprocess takes it."""
    words = [os.fsdecode(word) for word in ([args] if isinstance(args, str | bytes | os.PathLike) else args)]
    if not words:
        raise ValueError("no command given")
    return ["/bin/sh", "-c", *words] if shell else words


class Start:
    """The pipe through which a supervisor tells that its command has begun, or why it could not (api/child.py)."""

    def __init__(self, command: str, cwd: str | None) -> None:
        self._command = command
        self._cwd = cwd
        self._read, self.fd = os.pipe()
        self._closed = weakref.finalize(self, os.close, self._read)

    def handed_over(self) -> None:
        """The supervisor has its end."""
        os.close(self.fd)

    def wait(self) -> Exception | None:
        """Waits until the command has begun; else what to raise.  None, too, when the supervisor was killed."""
        data = self._read_piece()
        return None if not data or data.startswith(BEGUN) else unpack(data, self._command, self._cwd)

    def loss(self) -> Exception | None:
        """What to raise when the supervisor has ended and lost a command that had begun."""
        if not self._closed.alive:
            return None
        os.set_blocking(self._read, False)  # who was killed may leave it open for a moment
        try:
            data = self._read_piece()
        except BlockingIOError:
            data = b""
        self._closed()
        return unpack(data, self._command, self._cwd) if data else None

    def _read_piece(self) -> bytes:
        return os.read(self._read, _PIECE)


class Process(subprocess.Popen[AnyStr]):
    """A running command: what `Overlay.start` returns.

    A subprocess.Popen (stdin, stdout, stderr, args, returncode, poll, wait, communicate, send_signal, terminate,
    kill…), but:

    pid
        Process id of the supervisor. Signals sent to it reach the command; SIGKILL (`kill`) ends all that the
        command has started, too.
    wait, communicate
        They return when all that the command started has ended, unless the overlay was made with kill_on_exit.
        Failure: the supervisor has lost the command; returncode is 125 then.
    """

    def __init__(self, args: Command, options: Sequence[str], *, shell: bool = False, temporary: bool = False,
                 cwd: StrPath | None = None, pass_fds: Sequence[int] = (),
                 ended: Callable[[int], None] = lambda _: None, **popen: Any) -> None:
        """options: of `ptoverlay run`; temporary: see `ptoverlay.api.child`; ended: called once, with the returncode.

        It returns when the command runs.  OSError, Failure: it cannot.
        """
        words = words_of(args, shell)
        self._loss: Exception | None = None
        self._ended: Callable[[int], None] | None = None
        self._start = Start(words[0], None if cwd is None else os.fspath(cwd))
        try:
            line = supervisor(self._start.fd, temporary, command_line(options, cwd, words))
            super().__init__(line, pass_fds=(*pass_fds, self._start.fd), **popen)
        finally:
            self._start.handed_over()
        self.args = args
        self._wait_for_start()
        self._ended = ended

    def _wait_for_start(self) -> None:
        try:
            failure = self._start.wait()
            if failure is None:
                return
        except BaseException:
            self.kill()
            self._give_up()
            raise
        self._give_up()
        raise failure

    def _give_up(self) -> None:
        """As Popen leaves no pipes and no process behind when it raises."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        super().wait()

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end: the returncode.  timeout: in seconds; subprocess.TimeoutExpired after it."""
        code = super().wait(timeout)
        self._loss = self._loss or self._start.loss()
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(code)
        if self._loss is not None:
            raise self._loss
        return code


def command_line(options: Sequence[str], cwd: StrPath | None, words: Sequence[str]) -> list[str]:
    """The words of `ptoverlay run`."""
    return [*options, *(() if cwd is None else ("-C", os.fspath(cwd))), "--", *words]


def streams(popen: Options, input: object, capture_output: bool) -> None:
    """What run()'s own arguments mean for Popen's; as in subprocess.run."""
    if input is not None:
        if popen.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        popen["stdin"] = subprocess.PIPE
    if capture_output:
        if popen.get("stdout") is not None or popen.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        popen["stdout"] = popen["stderr"] = subprocess.PIPE


def completed(args: Command, code: int, out: Any, err: Any, check: bool) -> subprocess.CompletedProcess[Any]:
    """What run() returns, or raises; as subprocess.run."""
    done = subprocess.CompletedProcess(args, code, out, err)
    if check:
        done.check_returncode()
    return done


def reap(process: Process[Any]) -> None:
    """Waits for a process that is to end, and closes its pipes."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                pass  # what was written to it has no reader any more
    try:
        process.wait()
    except (OSError, Failure):
        pass  # it never ran
