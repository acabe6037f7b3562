"""What clients make of the answers of `protocol`.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptoverlay.errors import Failure
from ptoverlay.history.record import HistoryStep
from ptoverlay.sandboxes import state
from ptoverlay.serve import protocol
from ptoverlay.serve.protocol import Refused, data_of

#: Is given "stdout" or "stderr", and a piece of what the command writes.
OnOutput = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Greeting:
    """What a server says first.  sandbox: its name; mount: where its view appears."""

    protocol: int
    ptoverlay: str
    sandbox: str
    mount: str

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> Greeting:
        """Failure when it speaks another protocol."""
        hello = message.get("hello")
        if not isinstance(hello, dict) or hello.get("protocol") != protocol.PROTOCOL:
            spoken = hello.get("protocol") if isinstance(hello, dict) else "none that is known"
            raise Failure("server", f"it speaks protocol {spoken}, we speak {protocol.PROTOCOL}",
                          "use the same ptoverlay at both ends")
        made: Greeting = state.of(cls, hello)
        return made


@dataclass(frozen=True)
class ChangedPath:
    """One change: as `ptoverlay diff --json` tells it.  kind: "added", "modified", "removed", "renamed" or "metadata";
    more: all that is told of it."""

    path: str
    kind: str
    type: str
    old_path: str | None = None
    size: int | None = None
    old_size: int | None = None
    more: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, told: dict[str, Any]) -> ChangedPath:
        return cls(told["path"], told["kind"], told["type"], told.get("old_path"), told.get("size"),
                   told.get("old_size"), told)


@dataclass(frozen=True)
class StepChanges:
    """step: None for the whole sandbox; total: how many there are, of which `changes` may hold the first only; patch:
    their differences, if asked for, of as many files as there is room for (truncated)."""

    step: int | None
    total: int
    changes: list[ChangedPath]
    patch: bytes | None = None
    truncated: bool = False

    @classmethod
    def of(cls, told: dict[str, Any]) -> StepChanges:
        return cls(told.get("step"), told["total"], [ChangedPath.of(each) for each in told["changes"]], _patch(told),
                   bool(told.get("truncated")))


@dataclass(frozen=True)
class Ran(StepChanges):
    """A command that has ended, and what it changed.  status: negative for a signal; step: None when it changed
    nothing; stdout, stderr: what it wrote, unless somebody else took it; cancelled, timed_out: whether it was ended
    before."""

    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    cancelled: bool = False
    timed_out: bool = False


@dataclass(frozen=True)
class Committed:
    """changes: what was committed, of `total`; refused: path → reason."""

    total: int
    changes: list[ChangedPath]
    refused: dict[str, str]

    @classmethod
    def of(cls, told: dict[str, Any]) -> Committed:
        return cls(told["total"], [ChangedPath.of(each) for each in told["committed"]],
                   {each["path"]: each["why"] for each in told["refused"]})


class RunningCall:
    """A command's messages, one after the other."""

    def __init__(self, on_output: OnOutput | None) -> None:
        self._output = {"stdout": bytearray(), "stderr": bytearray()}
        self._take: OnOutput = on_output or (lambda stream, data: self._output[stream].extend(data))

    def add(self, message: dict[str, Any]) -> None:
        """An event."""
        if message.get("event") == "output":
            self._take(message["stream"], data_of(message))

    def end(self, told: dict[str, Any]) -> Ran:
        """Its answer."""
        found = StepChanges.of(told)
        return Ran(found.step, found.total, found.changes, found.patch, found.truncated, told["status"],
                   bytes(self._output["stdout"]), bytes(self._output["stderr"]), bool(told.get("cancelled")),
                   bool(told.get("timed_out")))


def asked(args: Sequence[str] | str, cwd: str | None, env: Mapping[str, str], given: bytes | str,
          timeout: float | None, patch: bool) -> dict[str, Any]:
    """The members of a request to run."""
    words: dict[str, Any] = {"command": args} if isinstance(args, str) else {"argv": list(args)}
    optional = {"cwd": cwd, "timeout": timeout, "env": dict(env) or None, "patch": patch or None}
    data = given.encode("utf-8", "surrogateescape") if isinstance(given, str) else given
    if data:
        words.update(protocol.as_data(data, "input") if b"\0" not in data else protocol.packed(data, "input"))
    return {**words, **{name: value for name, value in optional.items() if value is not None}}


def answer_of(message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer in a message; None in an event.  Refused: it is an error."""
    error = message.get("error")
    if error is not None:
        raise Refused(error["code"], error["message"])
    return message.get("ok")


def step_of(told: dict[str, Any]) -> HistoryStep:
    made: HistoryStep = state.of(HistoryStep, {**told, "ended": told.get("ended") or 0.0})
    return made


def steps_of(told: dict[str, Any]) -> list[HistoryStep]:
    return [step_of(each) for each in told["steps"]]


def _patch(told: dict[str, Any]) -> bytes | None:
    return data_of(told, "patch") if "patch" in told or "patch_base64" in told else None
