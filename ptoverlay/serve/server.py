"""``ptoverlay serve``: `protocol` on a socket of the sandbox, or on standard input and output.

    SANDBOX/serve/          0700; programs in the sandbox do not see it
                  socket    what clients connect to
                  lock      held (flock(2)) by the server

A connection's requests are carried out one after the other, in their order, but cancel and hello, which are answered at
once.  Who closes the sending side still gets all answers; of who is gone altogether the command is ended, and what it
has changed is a step.

Rules: what a client sends ends no server and no other connection; an answer that cannot be written is for nobody.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import os
import queue
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ptoverlay import errors
from ptoverlay.core import STACK_SIZE
from ptoverlay.errors import Failure, InUse
from ptoverlay.sandboxes.sandbox import SERVE, Sandbox
from ptoverlay.serve import protocol
from ptoverlay.serve.command import Command
from ptoverlay.serve.engine import Engine
from ptoverlay.serve.protocol import Cancel, Hello, Id, Refused, Request, line_of
from ptoverlay.shared.talk import address

SOCKET, LOCK = "socket", "lock"
_PIECE = 65536
_ROOM = 4096  # bytes that do not block where there is room for any (PIPE_BUF)
_MOST = 1000  # requests of a connection that wait
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Connection:
    """One client.  read, write: descriptors of its stream, which may be the same, and are not closed here."""

    def __init__(self, engine: Engine, read: int, write: int) -> None:
        self._engine = engine
        self._read = read
        self._write = write
        self._writing = threading.Lock()
        self._state = threading.Lock()
        self._waiting: queue.Queue[tuple[Id, Request] | None] = queue.Queue()
        self._ids: set[Id] = set()  # of requests that are not answered
        self._cancelled: set[Id] = set()
        self._current: tuple[Id, Command] | None = None
        self._gone = False
        self._over, self._told_over = os.pipe2(os.O_CLOEXEC)  # closed when all is answered
        self._ending, self._end = os.pipe2(os.O_CLOEXEC)  # closed when nothing is to be done any more

    def serve(self) -> None:
        """Until the client has gone, or wants nothing any more and has all its answers."""
        threading.stack_size(STACK_SIZE)
        worker = threading.Thread(target=self._work)
        try:
            self._send({"hello": self._engine.hello()})
            worker.start()
            self._receive()
            self._waiting.put(None)
            self._until_over()
            worker.join()
        finally:
            self.end()
            os.close(self._over)
            os.close(self._ending)

    def end(self) -> None:
        """Ends its command, and answers nothing any more."""
        with self._state:
            if self._gone:
                return
            self._gone = True
            current = self._current
        os.close(self._end)
        if current is not None:
            current[1].cancel()

    # ---- what comes

    def _receive(self) -> None:
        """Takes requests until there come no more."""
        line, skipping = bytearray(), False
        while data := self._piece():
            *whole, rest = data.split(b"\n")
            for piece in whole:
                if not skipping:
                    self._take(bytes(line) + piece)
                line, skipping = bytearray(), False
            line += rest
            if len(line) > protocol.LONGEST:
                if not skipping:
                    self._refuse(None, Refused(protocol.TOO_LONG, f"a line has at most {protocol.LONGEST} bytes"))
                line, skipping = bytearray(), True
        if line and not skipping:
            self._take(bytes(line))

    def _piece(self) -> bytes:
        """What has come, nothing at the end."""
        try:
            ready = select.select([self._read, self._ending], [], [])[0]
            return b"" if self._ending in ready else os.read(self._read, _PIECE)
        except OSError:
            return b""

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            if len(line) > protocol.LONGEST:
                raise Refused(protocol.TOO_LONG, f"a line has at most {protocol.LONGEST} bytes")
            number, request = protocol.parse(line)
        except Refused as refused:
            self._refuse(getattr(refused, "id", None), refused)
            return
        if isinstance(request, Cancel):
            self._send({"id": number, "ok": {"cancelled": self._cancel(request.run)}})
        elif isinstance(request, Hello):
            self._answer(number, request)
        else:
            self._put(number, request)

    def _put(self, number: Id, request: Request) -> None:
        with self._state:
            known, full = number is not None and number in self._ids, self._waiting.qsize() >= _MOST
            if not known and not full:
                self._ids.add(number)
                self._waiting.put((number, request))
        if known:
            self._refuse(number, Refused(protocol.BAD_REQUEST, f"id {number}: a request with it is not answered yet"))
        elif full:
            self._refuse(number, Refused(protocol.BUSY, f"{_MOST} requests wait already"))

    def _cancel(self, number: Id) -> bool:
        """Whether there is such a request."""
        with self._state:
            if number not in self._ids:
                return False
            self._cancelled.add(number)
            current = self._current
        if current is not None and current[0] == number:
            current[1].cancel()
        return True

    # ---- what is done

    def _work(self) -> None:
        """Carries out what waits, one after the other."""
        try:
            while (each := self._waiting.get()) is not None:
                number, request = each
                if number is not None and number in self._cancelled:
                    self._refuse(number, Refused(protocol.CANCELLED, "cancelled before it began"))
                elif not self._gone:
                    self._answer(number, request)
                with self._state:
                    self._ids.discard(number)
                    self._cancelled.discard(number)
        finally:
            os.close(self._told_over)

    def _answer(self, number: Id, request: Request) -> None:
        def told(event: str, members: dict[str, Any]) -> None:
            self._send({"id": number, "event": event, **members})

        def running(command: Command) -> None:
            with self._state:
                self._current = number, command
                late = self._gone or (number is not None and number in self._cancelled)
            if late:
                command.cancel()

        try:
            answer = self._engine.answer(request, told, running)
        except Exception as error:
            self._refuse(number, protocol.refusal(error))
        else:
            self._send({"id": number, "ok": answer})
        finally:
            with self._state:
                self._current = None

    # ---- what goes

    def _refuse(self, number: Id, refused: Refused) -> None:
        self._send({"id": number, "error": {"code": refused.code, "message": refused.message}})

    def _send(self, message: dict[str, Any]) -> None:
        """Writes a line; a client that does not read makes us wait."""
        left = memoryview(line_of(message))
        with self._writing:
            while left and not self._gone:
                try:
                    if self._ending not in select.select([self._ending], [self._write], [])[0]:
                        left = left[os.write(self._write, left[:_ROOM]):]
                except BlockingIOError:
                    pass
                except OSError:
                    self.end()

    def _until_over(self) -> None:
        """Until all is answered, or nobody is there who could read it."""
        poll = select.poll()
        poll.register(self._write, 0)  # POLLERR and POLLHUP come unasked
        poll.register(self._over, 0)
        while not self._gone:
            ready = {fd for fd, _ in poll.poll()}
            if self._write in ready and self._over not in ready:
                self.end()
            if self._over in ready:
                return


# ---- where clients come from ----


def serve_stdio(engine: Engine) -> None:
    """One client, on standard input and output."""
    read, write = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.dup2(2, 1)  # nothing else may write there
    connection = Connection(engine, read, write)
    with _at_a_signal(connection.end):
        connection.serve()


def serve_socket(engine: Engine) -> None:
    """Everybody who connects, until a signal ends it."""
    with bound(engine.name) as (listener, path):
        print(path, flush=True)
        connections: dict[Connection, threading.Thread] = {}
        stopped, stop = os.pipe2(os.O_CLOEXEC)
        with _at_a_signal(lambda: os.write(stop, b"x")):
            while stopped not in select.select([listener.fileno(), stopped], [], [])[0]:
                client = _accept(listener)
                if client is not None:
                    _forget_ended(connections)
                    connection = Connection(engine, client.fileno(), client.fileno())
                    connections[connection] = threading.Thread(target=_serve_one, args=(connection, client))
                    connections[connection].start()
        for connection in connections:
            connection.end()
        for thread in connections.values():
            thread.join()
        os.close(stopped)
        os.close(stop)


def _accept(listener: socket.socket) -> socket.socket | None:
    try:
        return listener.accept()[0]
    except OSError:  # it went again, or we have no descriptor for it
        return None


def _forget_ended(connections: dict[Connection, threading.Thread]) -> None:
    for connection in [each for each, thread in connections.items() if not thread.is_alive()]:
        connections.pop(connection).join()


def _serve_one(connection: Connection, client: socket.socket) -> None:
    with client:
        connection.serve()


@contextmanager
def bound(name: str) -> Iterator[tuple[socket.socket, str]]:
    """The sandbox's socket, and its path.  InUse: there is a server already."""
    box = Sandbox.open(name)
    assert box.directory is not None
    folder = box.directory / SERVE
    with ExitStack() as stack, _told(folder):
        folder.mkdir(0o700, exist_ok=True)
        os.chmod(folder, 0o700)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(f"serve {name}", "somebody serves it already", "connect to that one") from error
        path = folder / SOCKET
        path.unlink(missing_ok=True)  # of one that was killed
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        with address(folder, SOCKET) as there:
            listener.bind(there)
        stack.callback(path.unlink, missing_ok=True)
        listener.listen()
        yield listener, str(path)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.from_os_error(os.fsdecode(error.filename or folder), error) from error


@contextmanager
def _at_a_signal(end: Callable[[], object]) -> Iterator[None]:
    """What is called at a signal that is to end us, in this thread, which is the first one."""
    before = {number: signal.signal(number, lambda *_: end()) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def connect(name: str) -> socket.socket:
    """A connection to who serves the sandbox.  Failure: nobody does."""
    box = Sandbox.open(name)
    assert box.directory is not None
    client = socket.socket(socket.AF_UNIX)
    try:
        with address(box.directory / SERVE, SOCKET) as there:
            client.connect(there)
    except OSError as error:
        client.close()
        raise Failure(f"sandbox {name}", "nobody serves it", f"ptoverlay serve {name}") from error
    return client
