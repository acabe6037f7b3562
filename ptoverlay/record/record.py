"""The record of a run: docs/record.rst describes its form, which `VERSION` counts.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import platform
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ptoverlay import __version__
from ptoverlay.layer.changes import TYPE_NAMES, Change, Kind
from ptoverlay.layer.view import View
from ptoverlay.record.asked import Asked, Input, Question
from ptoverlay.record.digests import Digests
from ptoverlay.record.states import ABSENT, State, States

FORMAT = "ptoverlay-record"
VERSION = 1
#: Places that show the kernel and its tasks, and no file that somebody keeps.
KERNEL = ("/proc", "/sys", "/dev")
_BELOW_KERNEL = tuple(f"{place}/" for place in KERNEL)
_WORDS = {Question.LOOKED: "looked up", Question.READ: "read", Question.TARGET: "target", Question.EXECUTED: "executed",
          Question.LOADER: "loader", Question.CHANGED: "replaced"}


def of_kernel(path: str) -> bool:
    """Whether the path is the kernel's."""
    return path.startswith(_BELOW_KERNEL) or path in KERNEL


@dataclass(frozen=True, slots=True)
class Used:
    """An input, and what it was.  by: programs; host: no layer has it."""

    path: str
    questions: frozenset[Question]
    by: tuple[str, ...]
    state: State
    own: bool
    host: bool = False

    def words(self) -> list[str]:
        """How it was asked about."""
        listed = self.state.type == "directory"
        return sorted("listed" if question is Question.READ and listed else _WORDS[question]
                      for question in self.questions)

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"path": self.path, "how": self.words(), "by": list(self.by)}
        if self.own:
            return {**out, "own": True}
        return {**out, **_state_json(self.state)}


@dataclass(frozen=True, slots=True)
class Made:
    """A path that the run has changed.  kind: of `Kind`; state: what it is now, absent when it was removed; old_path:
    of what was renamed; link_to: another path that is the same file."""

    path: str
    kind: Kind
    state: State
    old_path: str | None = None
    link_to: str | None = None

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"path": self.path, "change": str(self.kind), **_state_json(self.state)}
        if self.old_path is not None and self.old_path != self.path:
            out["from"] = self.old_path
        if self.link_to is not None:
            out["link_to"] = self.link_to
        return out


@dataclass(slots=True)
class RunRecord:
    """One run.  started, ended: seconds since 1970; status: as waitpid(2) gives it."""

    argv: Sequence[str]
    cwd: str
    environment: dict[str, str]
    started: float
    ended: float
    status: int
    trap: str
    network: bool
    complete: bool
    programs: list[str]
    inputs: list[Used]
    outputs: list[Made]
    kernel: list[str]
    sockets: list[str]
    system: dict[str, str] = field(default_factory=lambda: {
        "kernel": platform.release(), "machine": platform.machine()})

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "version": VERSION, "ptoverlay": __version__,
            "command": list(self.argv), "cwd": self.cwd, "environment": self.environment,
            "started": stamp(self.started), "ended": stamp(self.ended), "status": status_json(self.status),
            "trap": self.trap, "network": self.network, "complete": self.complete, "system": self.system,
            "programs": self.programs, "inputs": [used.as_json() for used in self.inputs],
            "outputs": [made.as_json() for made in self.outputs], "kernel": self.kernel, "sockets": self.sockets,
        }

    def text(self) -> bytes:
        """The file of --record."""
        fields = [f" {json.dumps(name)}: {_laid(value)}" for name, value in self.as_json().items()]
        return ("{\n" + ",\n".join(fields) + "\n}\n").encode("utf-8", "surrogateescape")

    def files(self) -> Iterable[Used]:
        """Inputs that are files, whose bytes were used."""
        return (used for used in self.inputs if used.state.type == "file" and used.state.digest and not used.own)


def _laid(value: Any) -> str:
    """A list of objects has one a line, so that the encoder, which is slow where it is to indent, is not."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
    return json.dumps(value)


def stamp(seconds: float) -> str:
    """RFC 3339, in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def readable(name: str) -> str:
    """A name in UTF-8, which forms of others ask for: bytes that are none are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def status_json(status: int) -> dict[str, int]:
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return {"exit": os.WEXITSTATUS(status)}


def _state_json(state: State) -> dict[str, Any]:
    out: dict[str, Any] = {"type": state.type}
    if state.type == ABSENT:
        return out
    if state.type != "symlink":
        out["mode"] = f"{state.mode:04o}"
    out.update(uid=state.uid, gid=state.gid)
    if state.type == "file":
        out.update(size=state.size, mtime_ns=state.mtime)
    if state.digest:
        out["sha256"] = state.digest
    if state.target:
        out["target"] = state.target
    if state.device:
        out["device"] = f"{os.major(state.device)}:{os.minor(state.device)}"
    return out


def used_of(asked: Asked, states: States) -> list[Used]:
    """The inputs, sorted by path, but for those that are the kernel's."""
    found = []
    for path, one in sorted(asked.inputs.items()):
        if not of_kernel(path):
            found.append(_used(one, asked.programs, states))
    return found


def _used(one: Input, programs: Sequence[str], states: States) -> Used:
    by = tuple(sorted({programs[number] for number in one.by if number < len(programs)}))
    state = State(ABSENT) if one.own else states.of(one.path, one.questions)
    return Used(one.path, frozenset(one.questions), by, state, one.own, one.host)


def made_of(changed: Iterable[Change], view: View, digests: Digests) -> list[Made]:
    """The outputs, in the order of the changes."""
    return [Made(change.path, change.kind, _state_of(change, view, digests), change.old_path, change.link_to)
            for change in changed]


def _state_of(change: Change, view: View, digests: Digests) -> State:
    new = change.new
    if new is None:
        return State(ABSENT)
    digest = target = ""
    if new.is_file:
        digest = digests.sha256(view.real(change.path)[1])
    elif new.is_link:
        target = view.readlink(change.path)
    return State(TYPE_NAMES.get(new.type, "unknown"), 0 if new.is_link else stat.S_IMODE(new.mode), new.uid, new.gid,
                 new.size if new.is_file else 0, new.mtime if new.is_file else 0, digest, target, new.rdev)
