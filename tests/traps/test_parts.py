"""What the core tells apart where a run would need a race to ask it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY
from support.oracle import run
from support.subjects import Subjects

pytestmark = pytest.mark.quick
CORE = ROOT_DIRECTORY / "csrc"
MACHINE = os.uname().machine
#: What each file calls that is called here; the rest is left unresolved.
CALLED = {"view/upper/copy_ahead.c": (), "trap/notify/callers.c": ("calls/compat.c",),
          "trap/restart.c": ("process/family.c", "process/proc.c"), "trap/notify/interrupted.c": ("process/memory.c",)}


def told(subjects: Subjects, area: Path, part: str) -> dict[str, str]:
    """What parts.c prints of one file of the core."""
    names = [*CALLED[part], *([f"arch/{MACHINE}.c"] if part.startswith("trap/") else [])]
    flags = [*(str(CORE / name) for name in names), f"-DPART=\"{CORE / part}\"", "-Wno-unused-function",
             "-Wl,--unresolved-symbols=ignore-all", f"-DPART_{Path(part).stem.upper()}"]
    done = run([subjects.path("parts", *flags), area])
    assert done.status == 0, done.err
    return dict(line.split(" = ", 1) for line in done.out.splitlines())


def test_ahead(subjects: Subjects, area: Path) -> None:
    """A copy made without the lock is taken for its own file as it was, and for nothing else."""
    assert told(subjects, area, "view/upper/copy_ahead.c") == {
        "the same": "1", "another overlay": "0", **{f"another field {i}": "0" for i in range(5)}}


def test_continued(subjects: Subjects, area: Path) -> None:
    """An interrupted call keeps its EINTR only if it is the one that went on in the kernel."""
    assert told(subjects, area, "trap/notify/callers.c") == {
        "the same": "1", "another task": "0", "another call": "0", "of 32 bits": "1", "answered": "0",
        **{f"another argument {i}": "0" for i in range(6)}}


def test_restart(subjects: Subjects, area: Path) -> None:
    """A call that was interrupted for a renewal is made again, but not close(2), which has closed."""
    restarted = "1" if MACHINE == "x86_64" else "0"
    assert told(subjects, area, "trap/restart.c") == {
        "epoll_wait": restarted, "another error": "0", "close": "0", "no call": "0"}


def test_opens_that_wait(subjects: Subjects, area: Path) -> None:
    """Fifos wait, files and directories do not, and what cannot be looked at is taken for what does."""
    (area / "file").touch()
    (area / "dir").mkdir()
    os.mkfifo(area / "fifo")
    (area / "link-to-fifo").symlink_to("fifo")
    (area / "link-to-file").symlink_to("file")
    waits = {"file": "0", "dir": "0", "fifo": "1", "absent": "1", "link-to-fifo": "1", "link-to-file": "0"}
    calls = ["open", "openat", "openat2"] if MACHINE == "x86_64" else ["openat", "openat2"]
    assert told(subjects, area, "trap/notify/interrupted.c") == {
        "relative": "1", "unreadable": "1",
        **{f"{call} {name}": wait for call in calls for name, wait in waits.items()}}
