"""A command that `engine` runs: its input, its output, its end, and how it is ended before.

Rules: nothing it writes is lost, however much and whatever it is; who does not read makes it wait; it is ended by
SIGTERM first, and all that it has started by SIGKILL of its supervisor when that did not help.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ptoverlay.process import Start, supervisor
from ptoverlay.serve.protocol import Pieces

PATIENCE = 5.0  # seconds between SIGTERM and SIGKILL
_PIECE = 65536


@dataclass(frozen=True)
class Ended:
    """status: as os.waitstatus_to_exitcode has it; cancelled, timed_out: whether we have ended it."""

    status: int
    cancelled: bool
    timed_out: bool


class Output:
    """Takes the output in pieces that cut no character; tell: is given "stdout" or "stderr" and each."""

    def __init__(self, tell: Callable[[str, bytes], None]) -> None:
        self._tell = tell
        self._pieces = {"stdout": Pieces(), "stderr": Pieces()}

    def add(self, stream: str, data: bytes) -> None:
        """No data: its end."""
        piece = self._pieces[stream].cut(data, end=not data)
        if piece:
            self._tell(stream, piece)


class Command:
    """words: of `ptoverlay run`; command, cwd: what an error names; env: besides our own.  OSError, Failure: it could
    not be started."""

    def __init__(self, words: list[str], command: str, cwd: str | None, env: Mapping[str, str]) -> None:
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._waking = threading.Lock()
        self._cancelled = threading.Event()
        self._start = Start(command, cwd)
        try:
            try:
                self._process = subprocess.Popen(
                    supervisor(self._start.fd, False, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, env={**os.environ, **env}, pass_fds=(self._start.fd,), bufsize=0,
                    start_new_session=True)
            finally:
                self._start.handed_over()
            failure = self._start.wait()
            if failure is not None:
                self._forget()
                raise failure
        except BaseException:
            self._close()
            raise

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._process.pid

    def cancel(self) -> None:
        """Ends it; from any thread."""
        self._cancelled.set()
        with self._waking:
            if self._woken >= 0:
                try:
                    os.write(self._woken, b"x")
                except BlockingIOError:
                    pass  # it is woken already

    def talk(self, data: bytes, output: Output, timeout: float | None) -> Ended:
        """Gives it `data` to read, takes what it writes, and waits for its end."""
        talking = _Talk(self._process, data, output, None if timeout is None else time.monotonic() + timeout)
        try:
            talking.until_end(self._wake, self._cancelled)
            status = self._process.wait()
            loss = self._start.loss()
            if loss is not None:
                raise loss
        finally:
            self._forget()
            self._close()
        return Ended(status, talking.ended_by == "cancel", talking.ended_by == "timeout")

    def _forget(self) -> None:
        """Nothing of the process is left."""
        if self._process.poll() is None:
            self._process.kill()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._process.wait()

    def _close(self) -> None:
        with self._waking:
            if self._woken >= 0:
                os.close(self._wake)
                os.close(self._woken)
                self._woken = -1


class _Talk:
    """One command from its start to its end.  deadline: when it is ended, by time.monotonic()."""

    def __init__(self, process: subprocess.Popen[bytes], data: bytes, output: Output, deadline: float | None) -> None:
        assert process.stdin is not None
        self._process = process
        self._input = process.stdin
        self._data = memoryview(data)
        self._output = output
        self._deadline = deadline
        self.ended_by = ""

    def until_end(self, wake: int, cancelled: threading.Event) -> None:
        """Until its pipes are closed, and that is when all that it has started has ended."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            left = {"stdout": self._process.stdout, "stderr": self._process.stderr}
            for name, stream in left.items():
                selector.register(stream, selectors.EVENT_READ, name)
            selector.register(wake, selectors.EVENT_READ, "wake")
            self._begin_input(selector)
            while left:
                for key, _ in selector.select(self._wait()):
                    if key.data == "stdin":
                        self._feed(selector)
                    elif key.data == "wake":
                        selector.unregister(wake)
                    elif not self._read(key.data, key.fd):
                        selector.unregister(left.pop(key.data))
                if self.ended_by == "" and cancelled.is_set():
                    self._end("cancel")
                elif self._deadline is not None and time.monotonic() >= self._deadline:
                    self._end("timeout")

    def _wait(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0)

    def _end(self, why: str) -> None:
        """Asks it to end; the second time it is not asked any more."""
        self._process.send_signal(signal.SIGKILL if self.ended_by else signal.SIGTERM)
        self._deadline = None if self.ended_by else time.monotonic() + PATIENCE
        self.ended_by = self.ended_by or why

    def _read(self, stream: str, fd: int) -> bool:
        data = os.read(fd, _PIECE)
        self._output.add(stream, data)
        return bool(data)

    def _begin_input(self, selector: selectors.BaseSelector) -> None:
        if not self._data:
            self._input.close()
            return
        os.set_blocking(self._input.fileno(), False)
        selector.register(self._input, selectors.EVENT_WRITE, "stdin")

    def _feed(self, selector: selectors.BaseSelector) -> None:
        try:
            self._data = self._data[os.write(self._input.fileno(), self._data[:_PIECE]):]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self._data = self._data[:0]  # it reads no more
        if not self._data:
            selector.unregister(self._input)
            self._input.close()
