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
          "trap/restart.c": ("calls/compat.c", "calls/compat_table.c", "calls/table.c", "process/family.c",
                             "process/proc.c"),
          "trap/notify/interrupted.c": ("process/memory.c",),
          "view/index/index.c": ("view/index/arena.c",),
          "view/layers/lock.c": (), "view/layers/private.c": (), "view/walk/steps.c": ("view/layers/fd.c",),
          "view/upper/private_set.c": ("view/layers/acl.c", "view/layers/fd.c")}


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


def test_index(subjects: Subjects, area: Path) -> None:
    """Entries are found by all of their name and by nothing else, also where they have moved to, and what they and all
    that hangs on them took is given back and taken again."""
    rounds = {f"{what} {number}": count for number in range(4)
              for what, count in (("found", "3000"), ("count", "3002"))}
    assert told(subjects, area, "view/index/index.c") == {
        "open": "0", **rounds, "move": "0", "old name": "0", "found below": "3000", "left": "1",
        "held as before": "1", "taken as before": "1", "nothing": "0", "buckets alone": "0"}


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


def test_missed_names(subjects: Subjects, area: Path) -> None:
    """What is kept of a name that was not there ends with the next one that comes to be in its directory."""
    assert told(subjects, area, "view/layers/lock.c") == {
        "nothing missed": "10", "missed there": "15", "missed elsewhere": "10"}


def test_owners_of_layers(subjects: Subjects, area: Path) -> None:
    """An owner that an attribute tells is shown if its file is root's or ours, of anybody's only for a directory."""
    objects = [(0, "100000", "100000", "1"), (7, "100000", "100000", "1"), (8, "100000", "100000", "0"),
               (8, "40000", "40000", "1"), (8, "100000", "40000", "0"), (8, "40000", "100000", "0")]
    assert told(subjects, area, "view/layers/private.c") == {
        f"{uid} {mode} shown as {shown}, {owned}": value if owned == "owned" else "0"
        for uid, mode, shown, value in objects for owned in ("owned", "not owned")}


def test_modes_of_copies(subjects: Subjects, area: Path) -> None:
    """The copy of what has another owner can be read and written, and run if anybody may; the group gets no more."""
    assert told(subjects, area, "view/upper/private_set.c") == {
        "100044": "644", "100044 of another group": "644", "100010": "710", "100010 of another group": "700",
        "100001": "701", "100001 of another group": "700", "100461": "761", "100461 of another group": "700",
        "40044": "744", "40044 of another group": "744"}


def test_protected_links(subjects: Subjects, area: Path) -> None:
    """The directory that is asked is the one the link is in, at whatever depth."""
    root = os.geteuid() == 0
    for name, mode in (("open", 0o1777), ("open/shut", 0o755), ("shut", 0o755), ("shut/open", 0o1777)):
        (area / name).mkdir()
        (area / name).chmod(mode)
        (area / name / "link").symlink_to("x")
        if root:
            os.lchown(area / name / "link", 7, 7)
    refused = "-EACCES" if root else "0"   # links of the directory's owner
    assert told(subjects, area, "view/walk/steps.c") == {
        "/open/link": refused, "/open/shut/link": "0", "/shut/link": "0", "/shut/open/link": refused,
        "/link": "-ENOENT"}
