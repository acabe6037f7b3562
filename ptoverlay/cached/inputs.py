"""The inputs of a remembered run: what they were, whether they are the same, and what cannot be one.

Rules: the same questions with the same answers make the same run, so that each question that was asked is compared, in
any order; a path was canonical then, and must be now; what has no answer that could be compared later (a socket, a
file of the kernel's that changes by itself, a place outside of the layer) makes that a run is not remembered.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from ptoverlay.cached.key import has_terminal
from ptoverlay.record.asked import Asked, Input, Question
from ptoverlay.record.record import of_kernel
from ptoverlay.record.states import ABSENT, State, States

#: What is the same for everybody, or comes from the run's seed.
_SAME = frozenset(("/dev", "/proc", "/sys", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
                   "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/proc/sys/kernel/random/uuid",
                   "/proc/sys/kernel/random/boot_id"))
_OF_TASK = re.compile(r"/proc/\d+(/task/\d+)?(/(.*))?")
#: Of a task, what says no more than its program and descriptors do, or is as random as addresses are.
_OWN = re.compile(r"(exe|cwd|root|fd|fd/\d+|fdinfo|fdinfo/\d+|maps|comm|cmdline|auxv)?")
_TEXTS_OF_TASK = ("cgroup", "mounts", "mountinfo", "limits")
_TEXTS = ("/proc/filesystems", "/proc/version", "/proc/cmdline", "/proc/sys/", "/sys/devices/system/",
          "/sys/kernel/mm/", "/sys/fs/cgroup/", "/proc/mounts", "/proc/self")


def _text_of(path: str) -> str | None:
    """The file of the kernel's whose text is compared in place of this one; None: there is none."""
    task = _OF_TASK.fullmatch(path)
    if task is not None:
        return f"/proc/self/{task[3]}" if task[3] in _TEXTS_OF_TASK else None
    return path if path.startswith(_TEXTS) else None


def _text_digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        return str(error.errno)


class Found:
    """Those of one run.  files: path → questions and state; texts: of the kernel's, path → digest; kinds: of its paths
    that were only looked at, path → type."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[list[int], State]] = {}
        self.texts: dict[str, str] = {}
        self.kinds: dict[str, str] = {}

    # ---- taking them ----

    def take(self, asked: Asked, states: States, times: bool, began: int) -> str:
        """Takes what was asked; why that cannot be remembered, "" if it can.  began: nanoseconds since 1970: what was
        changed later is not what CMD found."""
        if not asked.complete:
            return "not all of its questions are known"
        for name in asked.sockets:
            return f"it talked to {name}" if name else "it used the network"
        for number in asked.clock:
            return (f"{asked.programs[number]} asked for the time (--epoch SECONDS fixes it, "
                    "--ignore-clock says that it does not matter)")
        for one in asked.inputs.values():
            why = self._take_of_kernel(one, states) if of_kernel(one.path) else self._take(one, states, times, began)
            if why:
                return why
        return ""

    def _take(self, one: Input, states: States, times: bool, began: int) -> str:
        if one.own:
            return ""
        if one.host:
            return f"it used {one.path}, which no layer covers"
        questions = {*one.questions}
        state = states.of(one.path, questions)
        if state.type == "file" and not times:  # then its bytes say what its time would
            questions.add(Question.READ)
            state = states.of(one.path, questions)
        if changed_since(states, one.path, state, began):
            return f"{one.path} was changed while it ran"
        self.files[one.path] = (sorted(map(int, questions)), state)
        return ""

    def _take_of_kernel(self, one: Input, states: States) -> str:
        task = _OF_TASK.fullmatch(one.path)
        nowhere = one.path == "/dev/tty" and not has_terminal()  # which is in the key
        if nowhere or one.path in _SAME or (task is not None and _OWN.fullmatch(task[3] or "")):
            return ""
        if not any(question.reads or question is Question.CHANGED for question in one.questions):
            if task is None:
                self.kinds[one.path] = states.of(one.path, ()).type
            return ""
        text = _text_of(one.path)
        if text is None or Question.CHANGED in one.questions:
            return f"it used {one.path}"
        self.texts[text] = _text_digest(text)
        return ""

    # ---- comparing them ----

    def difference(self, states: States, times: bool) -> str:
        """What is another than it was, in words; "" when nothing is."""
        return next(self._differences(states, times), "")

    def _differences(self, states: States, times: bool) -> Iterator[str]:
        canonical: dict[str, bool] = {}
        for path, (questions, was) in sorted(self.files.items()):
            now = states.of(path, [Question(number) for number in questions])
            what = _different(was, now, times)
            if what:
                yield f"{path}: {what}"
            directory = os.path.dirname(path)
            if directory not in canonical:
                canonical[directory] = os.path.realpath(directory) == directory
            if not canonical[directory]:
                yield f"{path}: a directory above it is a symlink now"
        for path, digest in self.texts.items():
            if _text_digest(path) != digest:
                yield f"{path}: another text"
        for path, kind in self.kinds.items():
            now = states.of(path, ())
            if now.type != kind:
                yield f"{path}: {now.type}, and was {kind}"

    # ---- keeping them ----

    def as_json(self) -> dict[str, Any]:
        return {"files": [[path, questions, *astuple(state)] for path, (questions, state) in self.files.items()],
                "texts": self.texts, "kinds": self.kinds}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Found:
        """ValueError, TypeError, KeyError for what is none."""
        made = cls()
        made.files = {path: (questions, State(*state)) for path, questions, *state in data["files"]}
        made.texts, made.kinds = dict(data["texts"]), dict(data["kinds"])
        return made


def _different(was: State, now: State, times: bool) -> str:
    if was.type != now.type:
        gone = "it is gone" if now.type == ABSENT else f"it is a {now.type}"
        return "it is there now" if was.type == ABSENT else gone
    if was.digest != now.digest:
        return "other names in it" if now.type == "directory" else "other contents"
    if was.target != now.target:
        return f"it leads to {now.target}"
    if (was.mode, was.uid, was.gid) != (now.mode, now.uid, now.gid):
        return "another mode or owner"
    if (was.size, was.device) != (now.size, now.device):
        return "another size"
    return "another time" if times and was.mtime != now.mtime else ""


_CLOCK = 20_000_000  # nanoseconds by which times of files may be behind the clock


def changed_since(states: States, path: str, state: State, began: int) -> bool:
    """Whether what was asked about was changed after that: its ctime says so, and a directory's mtime of its list."""
    try:
        status = os.lstat(states.real(path))
    except OSError:
        return False
    if state.type == "directory":
        return bool(state.digest) and status.st_mtime_ns + _CLOCK > began
    return status.st_ctime_ns + _CLOCK > began
