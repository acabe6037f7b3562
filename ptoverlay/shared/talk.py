"""How a command speaks with the supervisor of its sandbox: a socket in the sandbox's directory, lines of JSON.

A request is one object with a "verb", the answer one object; an answer with "error" is a `Failure`.  With a request
descriptors may go along.  The verbs are those of `host.Host`.

Rules: both ends ask the kernel who the other one is (SO_PEERCRED) and speak with nobody but this user and root; a line
that is none, or of a length that none has, ends the talk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ptoverlay import errors
from ptoverlay.errors import Failure, InUse
from ptoverlay.shared.others import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ptoverlay.options import Request

SOCKET = "socket"
_LONGEST = 8 << 20  # bytes of a line; a command line may take 2 MiB
_PIECE = 1 << 16
_DESCRIPTORS = 8
_PATIENCE = 20.0  # seconds for an answer that is not for the end of something


class Gone(Exception):
    """Nobody is there, or is not any more."""


@contextmanager
def address(directory: Path | str, name: str = SOCKET) -> Iterator[str]:
    """A socket's name in a directory, by default of a sandbox's, however long the directory's is (unix(7))."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def peer(connection: socket.socket) -> int:
    """The process id of who is at the other end; `Gone` for another user's."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, os.geteuid()):
        raise Gone
    return int(pid)


class Talk:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = b""
        self.descriptors: list[int] = []  # that came along, and are the owner's of this

    @classmethod
    def to(cls, directory: Path | str) -> Talk:
        """With the supervisor of the sandbox that is kept here; `Gone` when there is none."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address(directory) as name:
                connection.connect(name)
            peer(connection)
        except (OSError, Gone) as error:
            connection.close()
            raise Gone from error
        return cls(connection)

    def close(self) -> None:
        self._connection.close()
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors = []

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """`Gone` when nobody hears."""
        data = json.dumps(message).encode() + b"\n"
        try:
            sent = socket.send_fds(self._connection, [data], list(descriptors)) if descriptors else 0
            self._connection.sendall(data[sent:])
        except OSError as error:
            raise Gone from error

    def receive(self) -> dict[str, Any]:
        """The next message; `Gone` at the end."""
        while b"\n" not in self._rest:
            try:
                data, descriptors, flags, _ = socket.recv_fds(self._connection, _PIECE, _DESCRIPTORS,
                                                              socket.MSG_CMSG_CLOEXEC)
            except OSError as error:
                raise Gone from error
            self.descriptors += descriptors
            if not data or flags & socket.MSG_CTRUNC or len(self._rest) > _LONGEST:
                raise Gone
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Gone from error
        if not isinstance(message, dict):
            raise Gone
        return message

    def ask(self, message: dict[str, Any], descriptors: Sequence[int] = (), *, waits: bool = False) -> dict[str, Any]:
        """The answer; waits: it may take as long as it takes.  Failure that the other one tells."""
        self._connection.settimeout(None if waits else _PATIENCE)
        self.send(message, descriptors)
        answer = self.receive()
        self._connection.settimeout(None)
        if "error" in answer:
            raise unpack(answer)
        return answer


def pack(failure: Failure) -> dict[str, Any]:
    """For `unpack`."""
    return {"error": [failure.what, failure.why, failure.remedy], "status": failure.status, "number": failure.number,
            "in_use": isinstance(failure, InUse)}


def unpack(answer: dict[str, Any]) -> Failure:
    what, why, remedy = map(str, answer["error"])
    kind = InUse if answer.get("in_use") else Failure
    return kind(what, why, remedy, int(answer.get("status", errors.OWN_ERROR)), int(answer.get("number", 0)))


def wishes(request: Request) -> dict[str, Any]:
    """What a command asks for, as `enter` takes it."""
    overlays = [{"lowers": [os.path.abspath(path) for path in overlay.lowers], "n_data": overlay.n_data,
                 "upper": overlay.upper and os.path.abspath(overlay.upper),
                 "mount": overlay.mount and os.path.abspath(overlay.mount), "flags": overlay.flags}
                for overlay in request.overlays]
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        cwd = ""
    return {"argv": request.argv, "cwd": cwd, "overlays": overlays, "keep": request.keep_steps, "limit": request.limit,
            "places": [[kind, os.path.abspath(path)] for kind, path in request.places],
            "binds": [list(bind) for bind in request.binds],
            "namespaces": namespaces()}
