"""What ``ptoverlay serve`` and its clients say to each other: one JSON object a line, in UTF-8 (docs/serve.rst).

    server   {"hello": {"protocol": 1, "ptoverlay": …, "sandbox": …, "mount": …, "verbs": […], "longest": …}}
    client   {"id": ID, "verb": VERB, …}                    one of `REQUESTS`
    server   {"id": ID, "event": "started" | "output", …}   while a command runs
    server   {"id": ID, "ok": {…}}  or  {"id": ID, "error": {"code": …, "message": …}}

Rules: every line is answered, whatever it holds; a message of an error is one line; bytes that are no UTF-8 are base64
and never lost.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import base64
import binascii
import errno
import json
import typing
from dataclasses import MISSING as MISSING_VALUE
from dataclasses import dataclass, field, fields
from typing import Any

from ptoverlay import errors
from ptoverlay.commit.carry import HOST
from ptoverlay.errors import Failure, InUse, Missing, Taken
from ptoverlay.sandboxes import state

#: The number in the hello: another one means that a client of this one would misunderstand something.
PROTOCOL = 1
LONGEST = 16 << 20  # bytes of a line from a client
MOST_CHANGES = 1000  # in one answer, where nobody says otherwise
LONGEST_PATCH = 4 << 20  # bytes

Name = str | int
Id = Name | None
#: Kinds of errors: what a program can tell them by.
BAD_REQUEST, UNKNOWN_VERB, TOO_LONG, BUSY, CANCELLED = "bad-request", "unknown-verb", "too-long", "busy", "cancelled"
IN_USE, MISSING, TAKEN, FAILED = "in-use", "missing", "taken", "failed"
NOT_FOUND, NOT_EXECUTABLE, INTERNAL, PROTOCOL_ERROR = "not-found", "not-executable", "internal", "protocol"


class Refused(Exception):
    """A request that could not be carried out: code, and the message in one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = errors.one_line(message)

    def __str__(self) -> str:
        return self.message


def refusal(error: BaseException) -> Refused:
    """What to tell of an exception."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Failure):
        kinds = ((InUse, IN_USE), (Missing, MISSING), (Taken, TAKEN))
        return Refused(next((code for kind, code in kinds if isinstance(error, kind)), FAILED), str(error))
    if isinstance(error, OSError):
        code = {errno.ENOENT: NOT_FOUND, errno.EACCES: NOT_EXECUTABLE, errno.ENOEXEC: NOT_EXECUTABLE}
        what = f"{error.filename}: " if error.filename else ""
        return Refused(code.get(error.errno or 0, FAILED), f"{what}{error.strerror or error}")
    return Refused(INTERNAL, f"{type(error).__name__}: {error}")


# ---- requests: a dataclass each, whose fields are those of the line ----


@dataclass(frozen=True)
class Hello:
    """Whether the server speaks this protocol: an error of the code "protocol" if it does not."""

    protocol: int


@dataclass(frozen=True)
class RunRequest:
    """Runs a command, as a step.  argv, or command: for /bin/sh; cwd: in the view; env: besides the server's own;
    input, input_base64: what it reads; timeout: seconds until it is cancelled; patch: with the step's differences."""

    argv: list[str] | None = None
    command: str | None = None
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    input: str = ""
    input_base64: str = ""
    timeout: float | None = None
    patch: bool = False

    def words(self) -> list[str]:
        """Its command line."""
        if (self.argv is None) == (self.command is None) or self.argv == []:
            raise Refused(BAD_REQUEST, "run: either argv or command is meant")
        return self.argv if self.argv is not None else ["/bin/sh", "-c", self.command or ""]

    def data(self) -> bytes:
        """What it reads."""
        if self.input and self.input_base64:
            raise Refused(BAD_REQUEST, "run: either input or input_base64 is meant")
        try:
            return base64.b64decode(self.input_base64, validate=True) or self.input.encode("utf-8", "surrogateescape")
        except binascii.Error as error:
            raise Refused(BAD_REQUEST, f"run: input_base64: {error}") from error


@dataclass(frozen=True)
class Cancel:
    """Ends the command of the request with this id, or takes a request back that has not begun."""

    run: Name


@dataclass(frozen=True)
class Changes:
    """What step `step` changed; 0: what the whole sandbox changes.  paths: only what is there and below; offset, limit:
    of the list; patch: with the differences."""

    step: int = 0
    paths: list[str] = field(default_factory=list)
    offset: int = 0
    limit: int = MOST_CHANGES
    patch: bool = False


@dataclass(frozen=True)
class Log:
    """The last `count` steps, the newest first."""

    count: int = 50


@dataclass(frozen=True)
class Checkpoint:
    """Gives the last step a name."""

    message: str = ""


@dataclass(frozen=True)
class Undo:
    """Takes the last steps back."""

    count: int = 1


@dataclass(frozen=True)
class Redo:
    """Brings back what undo took."""

    count: int = 1


@dataclass(frozen=True)
class Commit:
    """Applies changes to what the sandbox lies on, all or those at `paths`.  to: of a fork: "host", or its parent;
    merge: texts that the host has changed since become what both have made of them."""

    paths: list[str] = field(default_factory=list)
    force: bool = False
    dry_run: bool = False
    to: str = HOST
    merge: bool = False


Request = Hello | RunRequest | Cancel | Changes | Log | Checkpoint | Undo | Redo | Commit
#: The verbs.
REQUESTS: dict[str, type[Request]] = {"hello": Hello, "run": RunRequest, "changes": Changes, "log": Log,
                                      "checkpoint": Checkpoint, "undo": Undo, "redo": Redo, "commit": Commit,
                                      "cancel": Cancel}
_SMALLEST = {"count": 1, "step": 0, "offset": 0, "limit": 0, "timeout": 0}


def parse(line: bytes) -> tuple[Id, Request]:
    """The request that a line makes.  Refused, with the id as `id` where one could be read."""
    try:
        found = json.loads(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise Refused(BAD_REQUEST, f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(BAD_REQUEST, "not an object")
    number = found.pop("id", None)
    try:
        if not (number is None or type(number) in (str, int)):
            number = None
            raise Refused(BAD_REQUEST, "id: a text or a number is meant")
        return number, _request(found)
    except Refused as refused:
        refused.id = number  # type: ignore[attr-defined]
        raise


def _request(found: dict[str, Any]) -> Request:
    verb = found.pop("verb", None)
    kind = REQUESTS.get(verb) if isinstance(verb, str) else None
    if kind is None:
        meant = errors.did_you_mean(verb, REQUESTS) if isinstance(verb, str) else ""
        raise Refused(UNKNOWN_VERB, f"verb {json.dumps(verb)}: {meant}one of {', '.join(REQUESTS)} is meant")
    made: Request = kind(**_members(verb, kind, found))
    check(made)
    return made


def check(request: Request) -> None:
    """Refused for numbers that mean nothing."""
    for name, least in _SMALLEST.items():
        value = getattr(request, name, None)
        if value is not None and not least <= value < 1 << 31:
            verb = type(request).__name__.lower()
            raise Refused(BAD_REQUEST, f"{verb}: {name}: a number from {least} on is meant")


def _members(verb: str, kind: type[Request], found: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request, with the types that they are to have."""
    hints = typing.get_type_hints(kind)
    for name in found.keys() - hints.keys():
        raise Refused(BAD_REQUEST, f"{verb}: it takes no {json.dumps(name)}")
    for each in fields(kind):
        if each.default is MISSING_VALUE and each.default_factory is MISSING_VALUE and each.name not in found:
            raise Refused(BAD_REQUEST, f"{verb}: {each.name} is missing")
    members = {}
    for name, value in found.items():
        try:
            members[name] = value if hints[name] == Name and type(value) in (str, int) else state.of(hints[name], value)
        except (ValueError, KeyError) as error:
            raise Refused(BAD_REQUEST, f"{verb}: {name}: {error or 'not of its type'}") from error
    return members


# ---- what both ends write ----


def line_of(message: dict[str, Any]) -> bytes:
    """A message as a line; names that are no UTF-8 have each stray byte as U+DC80 to U+DCFF, as ``--json`` has them."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def as_data(data: bytes, name: str = "text") -> dict[str, str]:
    """Bytes as a member of a message: `name`, or `name`_base64 (for "text": base64) where they are no UTF-8."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return packed(data, name)


def packed(data: bytes, name: str) -> dict[str, str]:
    """The same as base64 in any case."""
    return {"base64" if name == "text" else f"{name}_base64": base64.b64encode(data).decode("ascii")}


def data_of(message: dict[str, Any], name: str = "text") -> bytes:
    """The bytes that `as_data` has written."""
    coded = message.get("base64" if name == "text" else f"{name}_base64")
    return base64.b64decode(coded) if coded is not None else str(message.get(name, "")).encode()


class Pieces:
    """Cuts a stream where no character is cut, so that text stays text."""

    def __init__(self) -> None:
        self._left = b""

    def cut(self, data: bytes, *, end: bool = False) -> bytes:
        """What can be sent by now."""
        data = self._left + data
        self._left = b""
        if not end:
            at = _unfinished(data)
            data, self._left = data[:at], data[at:]
        return data


def _unfinished(data: bytes) -> int:
    """Where a character begins whose end is missing; the length if none does."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if needed > back else len(data)
        if byte < 0x80:
            break
    return len(data)
