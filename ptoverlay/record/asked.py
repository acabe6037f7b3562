"""What CMD asked of the view: the core's struct pto_input records.

Rules: a path is told once, with all the ways in which it was asked about and all the programs that are known to have
asked; a program whose question was answered inside of it, or passed as one before, is not told again.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from enum import IntEnum

from ptoverlay.core import lib

_RECORD = struct.Struct("=IIII")


class Question(IntEnum):
    """How a path was asked about: PTO_INPUT_*."""

    LOOKED = lib.PTO_INPUT_LOOKED
    READ = lib.PTO_INPUT_READ
    TARGET = lib.PTO_INPUT_TARGET
    EXECUTED = lib.PTO_INPUT_EXECUTED
    LOADER = lib.PTO_INPUT_LOADER
    CHANGED = lib.PTO_INPUT_CHANGED

    @property
    def reads(self) -> bool:
        """Whether the answer is more than attributes."""
        return self in (Question.READ, Question.EXECUTED, Question.LOADER)


#: Those of which the answer is more than attributes.
READING = frozenset(question for question in Question if question.reads)


@dataclass(slots=True)
class Input:
    """A path that was asked about.

    questions: all of them; by: numbers of programs; own: the layer of the run had it whenever it was asked about, so
    that it is no input; host: no overlay covers it.
    """

    path: str
    questions: set[Question] = field(default_factory=set)
    by: set[int] = field(default_factory=set)
    own: bool = True
    host: bool = False


@dataclass(slots=True)
class Asked:
    """All of a run.  programs: by number, the first is none; sockets: names that were talked to, "" for a socket that
    leads elsewhere than to a name; clock: numbers of programs that asked for a time which is not fixed; complete:
    nothing was lost for want of memory or in a run within the run."""

    inputs: dict[str, Input] = field(default_factory=dict)
    programs: list[str] = field(default_factory=lambda: ["ptoverlay"])
    sockets: list[str] = field(default_factory=list)
    clock: list[int] = field(default_factory=list)
    complete: bool = True


def parse(data: bytes) -> Asked:
    """What the core has written; ValueError where it is cut short."""
    asked, at = Asked(), 0
    while at < len(data):
        try:
            kind, flags, program, length = _RECORD.unpack_from(data, at)
        except struct.error as error:
            raise ValueError(str(error)) from error
        at += _RECORD.size
        if at + length > len(data):
            raise ValueError("a record is cut short")
        path = os.fsdecode(data[at:at + length])
        at += length
        if flags & lib.PTO_INPUT_LOST:
            asked.complete = False
        elif kind == lib.PTO_INPUT_PROGRAM:
            # Who starts CMD is ourselves, who becomes it.
            asked.programs.append(path if len(asked.programs) > 1 else "ptoverlay")
        elif kind == lib.PTO_INPUT_SOCKET:
            asked.sockets.append(path)
        elif kind == lib.PTO_INPUT_CLOCK:
            asked.clock.append(program)
        else:
            _take(asked, Question(kind), flags, program, path)
    return asked


def _take(asked: Asked, question: Question, flags: int, program: int, path: str) -> None:
    found = asked.inputs.get(path)
    if found is None:
        found = asked.inputs[path] = Input(path)
    found.questions.add(question)
    found.by.add(program)
    found.own = found.own and bool(flags & lib.PTO_INPUT_OWN)
    found.host = found.host or bool(flags & lib.PTO_INPUT_HOST)


class Stream:
    """Where the core writes them: memory.  fd: for struct pto_command."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = os.memfd_create("ptoverlay-record")

    def read(self) -> Asked:
        """All that was written; the stream is over."""
        with open(self.fd, "rb") as file:
            self.fd = -1
            file.seek(0)
            return parse(file.read())

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
