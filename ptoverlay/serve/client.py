"""The other end of `ptoverlay serve`, with threads and with asyncio.

    from ptoverlay import Client

    with Client.start("work", "-l", "/srv/project") as client:
        ran = client.run("make install", cwd="/srv/project", patch=True)
        print(ran.status, ran.step, ran.patch.decode())
        client.undo() if ran.status else client.commit()

Rules: an answer is for who has asked; when the server has gone everybody who waits is told.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import queue
import signal
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self

from ptoverlay.commit.carry import HOST
from ptoverlay.errors import OWN_ERROR, Failure
from ptoverlay.history.record import HistoryStep
from ptoverlay.process import plain_command
from ptoverlay.sandboxes.sandbox import SERVE, Sandbox
from ptoverlay.serve import protocol
from ptoverlay.serve.answers import (
    Committed,
    Greeting,
    OnOutput,
    Ran,
    RunningCall,
    StepChanges,
    answer_of,
    asked,
    step_of,
    steps_of,
)
from ptoverlay.serve.server import SOCKET, connect
from ptoverlay.shared.talk import address

_LONGEST = 64 << 20  # bytes of a line from a server
_GONE = {"error": {"code": "gone", "message": "server: it has ended"}}


def _server(name: str, options: Sequence[str]) -> list[str]:
    return plain_command(["serve", "--stdio", *options, name])


class Client:
    """A connection to a server, for any number of threads; a context manager.  hello: what the server is."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes],
                 server: subprocess.Popen[bytes] | socket.socket) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._server = server
        self._writing = threading.Lock()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._asking: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._runs: set[int] = set()
        self._over = False
        try:
            self.hello = Greeting.of(json.loads(incoming.readline() or b"{}"))
        except BaseException:
            self._shut()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def connect(cls, name: str) -> Self:
        """To the `ptoverlay serve NAME` that runs.  Failure: none does."""
        server = connect(name)
        return cls(server.makefile("rb"), server.makefile("wb"), server)

    @classmethod
    def start(cls, name: str, *options: str) -> Self:
        """To a server of its own, which ends with it.  options: of `ptoverlay run`, for every command."""
        process = subprocess.Popen(_server(name, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        return cls(process.stdout, process.stdin, process)

    def close(self) -> None:
        """Ends the command that is running, and the connection."""
        self._shut()
        self._reader.join()
        self._incoming.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    # ---- verbs ----

    def run(self, args: Sequence[str] | str, *, cwd: str | None = None, env: Mapping[str, str] | None = None,
            input: bytes | str = b"", timeout: float | None = None, patch: bool = False,
            on_output: OnOutput | None = None) -> Ran:
        """Runs a command and waits for its end.  args: words, or a text for /bin/sh; cwd: in the view; env: besides the
        server's own; input: what it reads; timeout: seconds, then it is ended; patch: with the differences; on_output:
        is given "stdout" or "stderr" and each piece as it comes, instead of the result.

        Refused (code, message) when it cannot be started; the code is "not-found" when it is not there.
        """
        running = RunningCall(on_output)
        return running.end(self._call("run", asked(args, cwd, env or {}, input, timeout, patch), running))

    def cancel(self) -> bool:
        """Ends the commands of this client, those that wait too; from another thread, or from on_output.  Whether there
        were any."""
        with self._lock:
            runs = list(self._runs)
        return True in [self._call("cancel", {"run": number})["cancelled"] for number in runs]

    def changes(self, step: int = 0, paths: Sequence[str] = (), *, patch: bool = False, offset: int = 0,
                limit: int = protocol.MOST_CHANGES) -> StepChanges:
        """What a step changed; 0: what the whole sandbox changes."""
        return StepChanges.of(self._call("changes", {"step": step, "paths": list(paths), "patch": patch,
                                                     "offset": offset, "limit": limit}))

    def log(self, count: int = 50) -> list[HistoryStep]:
        """The last steps, the newest first."""
        return steps_of(self._call("log", {"count": count}))

    def checkpoint(self, message: str = "") -> HistoryStep:
        """Gives the last step a name."""
        return step_of(self._call("checkpoint", {"message": message})["step"])

    def undo(self, count: int = 1) -> list[HistoryStep]:
        """Takes the last steps back."""
        return steps_of(self._call("undo", {"count": count}))

    def redo(self, count: int = 1) -> list[HistoryStep]:
        """Brings back what undo took."""
        return steps_of(self._call("redo", {"count": count}))

    def commit(self, paths: Sequence[str] = (), *, force: bool = False, dry_run: bool = False,
               to: str = HOST, merge: bool = False) -> Committed:
        """Applies changes to what the sandbox lies on.  to: of a fork: "host", or its parent's name; merge: of texts
        that the host has changed since, what both have made of them."""
        return Committed.of(self._call("commit", {"paths": list(paths), "force": force, "dry_run": dry_run, "to": to,
                                                  "merge": merge}))

    # ---- messages ----

    def _call(self, verb: str, members: dict[str, Any], running: RunningCall | None = None) -> dict[str, Any]:
        number, messages = next(self._numbers), queue.SimpleQueue[dict[str, Any]]()
        line = protocol.line_of({"id": number, "verb": verb, **members})
        try:
            with self._lock:
                if self._over:
                    answer_of(_GONE)
                self._asking[number] = messages
                if running is not None:
                    self._runs.add(number)
            self._write(line)
            while True:
                message = messages.get()
                answer = answer_of(message)
                if answer is not None:
                    return answer
                if running is not None:
                    running.add(message)
        except KeyboardInterrupt:
            self._write(protocol.line_of({"verb": "cancel", "run": number}))
            raise
        finally:
            with self._lock:
                self._asking.pop(number, None)
                self._runs.discard(number)

    def _write(self, line: bytes) -> None:
        try:
            with self._writing:
                self._outgoing.write(line)
                self._outgoing.flush()
        except (OSError, ValueError):
            pass  # the reader tells that the server has gone

    def _read(self) -> None:
        """Hands the messages to who waits for them."""
        try:
            while line := self._incoming.readline(_LONGEST):
                message = json.loads(line)
                with self._lock:
                    waiting = self._asking.get(message.get("id"))
                if waiting is not None:
                    waiting.put(message)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._over = True
                for waiting in self._asking.values():
                    waiting.put(_GONE)

    def _shut(self) -> None:
        """The server sees that nobody is here any more."""
        with contextlib.suppress(OSError, ValueError):
            self._outgoing.close()
        if isinstance(self._server, socket.socket):
            with contextlib.suppress(OSError), self._server:
                self._server.shutdown(socket.SHUT_RDWR)
        else:
            _end(self._server)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a server of ours.  Failure: what it said instead of a hello."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    _raise_what_it_said(process.wait(), said)


def _raise_what_it_said(status: int, said: bytes) -> None:
    lines = said.decode(errors="replace").splitlines()
    if status == OWN_ERROR and lines:
        what, _, why = lines[-1].removeprefix("ptoverlay: ").partition(": ")
        raise Failure(what, why)


class AsyncClient:
    """The same for asyncio: `async with AsyncClient.start("work") as client`.  A task that is cancelled ends its
    command."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hello: Greeting) -> None:
        self._reader = reader
        self._writer = writer
        self.hello = hello
        self._numbers = itertools.count(1)
        self._asking: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._runs: set[int] = set()
        self._over = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, name: str) -> AsyncIterator[Self]:
        """To the `ptoverlay serve NAME` that runs.  Failure: none does."""
        box = Sandbox.open(name)
        assert box.directory is not None
        try:
            with address(box.directory / SERVE, SOCKET) as there:
                reader, writer = await asyncio.open_unix_connection(there, limit=_LONGEST)
        except OSError as error:
            raise Failure(f"sandbox {name}", "nobody serves it", f"ptoverlay serve {name}") from error
        async with cls._talking(reader, writer) as made:
            yield made

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, name: str, *options: str) -> AsyncIterator[Self]:
        """To a server of its own, which ends with it.  options: of `ptoverlay run`, for every command."""
        process = await asyncio.create_subprocess_exec(
            *_server(name, options), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            limit=_LONGEST)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        speaks = False
        try:
            async with cls._talking(process.stdout, process.stdin) as made:
                speaks = True
                yield made
        finally:
            if speaks:  # else it ends by itself, and to signal what has ended loses its status (asyncio asks twice)
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            said = await process.stderr.read()
            _raise_what_it_said(await process.wait(), said)

    @classmethod
    @contextlib.asynccontextmanager
    async def _talking(cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Self]:
        made = None
        try:
            made = cls(reader, writer, Greeting.of(json.loads(await reader.readline() or b"{}")))
            yield made
        finally:
            writer.close()
            if made is not None:
                made._reading.cancel()

    async def run(self, args: Sequence[str] | str, *, cwd: str | None = None, env: Mapping[str, str] | None = None,
                  input: bytes | str = b"", timeout: float | None = None, patch: bool = False,
                  on_output: OnOutput | None = None) -> Ran:
        """As `Client.run`."""
        running = RunningCall(on_output)
        return running.end(await self._call("run", asked(args, cwd, env or {}, input, timeout, patch), running))

    async def cancel(self) -> bool:
        """As `Client.cancel`, from another task."""
        runs = list(self._runs)
        return True in [(await self._call("cancel", {"run": number}))["cancelled"] for number in runs]

    async def changes(self, step: int = 0, paths: Sequence[str] = (), *, patch: bool = False, offset: int = 0,
                      limit: int = protocol.MOST_CHANGES) -> StepChanges:
        """As `Client.changes`."""
        return StepChanges.of(await self._call("changes", {"step": step, "paths": list(paths), "patch": patch,
                                                           "offset": offset, "limit": limit}))

    async def log(self, count: int = 50) -> list[HistoryStep]:
        """As `Client.log`."""
        return steps_of(await self._call("log", {"count": count}))

    async def checkpoint(self, message: str = "") -> HistoryStep:
        """As `Client.checkpoint`."""
        return step_of((await self._call("checkpoint", {"message": message}))["step"])

    async def undo(self, count: int = 1) -> list[HistoryStep]:
        """As `Client.undo`."""
        return steps_of(await self._call("undo", {"count": count}))

    async def redo(self, count: int = 1) -> list[HistoryStep]:
        """As `Client.redo`."""
        return steps_of(await self._call("redo", {"count": count}))

    async def commit(self, paths: Sequence[str] = (), *, force: bool = False, dry_run: bool = False,
                     to: str = HOST, merge: bool = False) -> Committed:
        """As `Client.commit`."""
        return Committed.of(await self._call("commit", {"paths": list(paths), "force": force, "dry_run": dry_run,
                                                        "to": to, "merge": merge}))

    async def _call(self, verb: str, members: dict[str, Any], running: RunningCall | None = None) -> dict[str, Any]:
        if self._over:
            answer_of(_GONE)
        number = next(self._numbers)
        messages = self._asking[number] = asyncio.Queue[dict[str, Any]]()
        if running is not None:
            self._runs.add(number)
        try:
            await self._write({"id": number, "verb": verb, **members})
            while True:
                message = await messages.get()
                answer = answer_of(message)
                if answer is not None:
                    return answer
                if running is not None:
                    running.add(message)
        except asyncio.CancelledError:
            self._writer.write(protocol.line_of({"verb": "cancel", "run": number}))
            raise
        finally:
            del self._asking[number]
            self._runs.discard(number)

    async def _write(self, message: dict[str, Any]) -> None:
        try:
            self._writer.write(protocol.line_of(message))
            await self._writer.drain()
        except OSError:
            pass  # the reader tells that the server has gone

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                waiting = self._asking.get(message.get("id"))
                if waiting is not None:
                    waiting.put_nowait(message)
        except (OSError, ValueError):
            pass
        finally:
            self._over = True
            for waiting in self._asking.values():
                waiting.put_nowait(_GONE)
