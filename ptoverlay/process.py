"""A command that runs in an `Overlay`: subprocess.Popen with a supervisor between it and its caller.

Rules: everything but the words of the command line is Popen's own work; what kept a command from running is raised by
wait() and communicate(), as the same exception each time.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any, AnyStr

from ptoverlay.child import unpack

StrPath = str | os.PathLike[str]
Command = StrPath | Sequence[StrPath]

_START = "import sys; sys.path[:] = {path!r}; from ptoverlay.{module} import {function}; sys.exit({call})"
_PIECE = 65536


def supervisor(fd: int, temporary: bool, words: Sequence[str]) -> list[str]:
    """The command line that runs `ptoverlay.child`."""
    return _python("child", "main", f"main({fd}, {temporary}, sys.argv[1:])", words)


def plain(words: Sequence[str]) -> list[str]:
    """The command line that runs `ptoverlay run`."""
    return _python("cli", "command", "command(['run', *sys.argv[1:]])", words)


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


class Complaint:
    """The pipe through which a supervisor tells why a command never ran."""

    def __init__(self) -> None:
        self._read, self.fd = os.pipe()
        os.set_blocking(self._read, False)  # who was killed may leave it open for a moment
        self._closed = weakref.finalize(self, os.close, self._read)

    def started(self) -> None:
        """The supervisor has its end."""
        os.close(self.fd)

    def take(self, command: str, cwd: str | None) -> Exception | None:
        """The exception, once the supervisor has ended."""
        if not self._closed.alive:
            return None
        try:
            data = os.read(self._read, _PIECE)
        except BlockingIOError:
            data = b""
        self._closed()
        return unpack(data, command, cwd)


class Process(subprocess.Popen[AnyStr]):
    """A running command: what `Overlay.start` returns.

    A subprocess.Popen (stdin, stdout, stderr, args, returncode, poll, wait, communicate, send_signal, terminate,
    kill…), but:

    pid
        Process id of the supervisor. Signals sent to it reach the command; SIGKILL (`kill`) ends all that the
        command has started, too.
    wait, communicate
        They return when all that the command started has ended, unless the overlay was made with kill_on_exit.
        FileNotFoundError, PermissionError or another OSError: the command or its directory is not there, or
        cannot be executed. Failure: the layers cannot be used, or the machine does not allow it. returncode is 127,
        126 or 125 then.
    """

    def __init__(self, args: Command, options: Sequence[str], *, shell: bool = False, temporary: bool = False,
                 cwd: StrPath | None = None, pass_fds: Sequence[int] = (),
                 ended: Callable[[int], None] = lambda _: None, **popen: Any) -> None:
        """options: of `ptoverlay run`; temporary: see `ptoverlay.child`; ended: called once, with the returncode."""
        words = words_of(args, shell)
        self._command = words[0]
        self._cwd = None if cwd is None else os.fspath(cwd)
        self._failure: Exception | None = None
        self._ended: Callable[[int], None] | None = ended
        complaint = Complaint()
        try:
            line = supervisor(complaint.fd, temporary, command_line(options, self._cwd, words))
            super().__init__(line, pass_fds=(*pass_fds, complaint.fd), **popen)
        finally:
            complaint.started()
        self._complaint = complaint
        self.args = args

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end: the returncode.  timeout: in seconds; subprocess.TimeoutExpired after it."""
        code = super().wait(timeout)
        self._failure = self._failure or self._complaint.take(self._command, self._cwd)
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(code)
        if self._failure is not None:
            raise self._failure
        return code


def command_line(options: Sequence[str], cwd: StrPath | None, words: Sequence[str]) -> list[str]:
    """The words of `ptoverlay run`."""
    return [*options, *(() if cwd is None else ("-C", os.fspath(cwd))), "--", *words]
