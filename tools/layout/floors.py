"""The floors of csrc/, from the ground up, and what stands on none.

Rules: a room uses only what stands below it, and rooms of one floor do not use each other.  A folder that is named with
another one by "+" is of one room with it, and one that is not named is of the room that it is in.  Whoever adds a
folder to csrc/ gives it a place here.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import PurePath

FLOORS: tuple[tuple[str, ...], ...] = (
    ("arch",),
    ("process",),
    ("view/index",),
    ("view/layers",),
    ("view/upper",),
    ("view/walk",),
    ("view/ops",),
    ("view/super",),
    ("calls+calls/faked+calls/fixed+calls/handlers+calls/host+calls/programs+calls/shown+calls/tasks",),
    ("untouched+untouched/stub",),
    ("command",),
    ("trap+trap/descriptors",),
    ("trap/notify", "trap/ptrace"),
    ("run",),
    ("front",),
)
#: Headers of what several rooms do for others: included from outside they are the room's; those rooms themselves
#: include them to keep what they promise, and who calls whom nm tells.
DOORS = {"csrc/ptoverlay.h": "run", "csrc/view/view.h": "view/super"}
#: Files in the folder of a door may use it whatever their floor, and so may the other door.
INSIDE = {"csrc/ptoverlay.h": "csrc/", "csrc/view/view.h": "csrc/view/"}
#: Files beside the folders of their room.
ELSEWHERE: dict[str, str] = {}
#: It is linked without the rest, by tests and by tools/bench-view.
ALONE = "view/"

#: Folders in which nothing writes.
READERS = ("view/layers",)
#: Calls of the C library that change a file or a directory.  open, ioctl and fopen are told by their arguments alone.
_WRITERS = """
    chmod fchmod fchmodat lchmod chown fchown fchownat lchown
    link linkat symlink symlinkat mkdir mkdirat mknod mknodat mkfifo mkfifoat mkdtemp mkostemp mkstemp creat
    rename renameat renameat2 unlink unlinkat rmdir remove
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
    truncate ftruncate fallocate posix_fallocate
    utime utimes futimes lutimes utimensat futimens
    write pwrite writev pwritev pwritev2 copy_file_range sendfile splice
    fwrite fputs fputc putc fprintf vfprintf dprintf vdprintf __fprintf_chk __dprintf_chk
    mount umount umount2
"""
WRITERS = frozenset(_WRITERS.split())


def room(path: str) -> str:
    """The room of a file below csrc/, by its path in the tree."""
    folder = PurePath(ELSEWHERE.get(path, DOORS.get(path, str(PurePath(path).parent).removeprefix("csrc").strip("/"))))
    for above in (folder, *folder.parents):
        for one in rooms():
            if str(above) in one.split("+"):
                return one
    raise SystemExit(f"tools/rooms: {path} is in no room of tools/layout/floors.py")


def rooms() -> list[str]:
    return [one for floor in FLOORS for one in floor]


def floor(one: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if one in floor)


def is_inside(path: str, door: str) -> bool:
    """Whether a file is behind that door, of one of the rooms that it leads to."""
    return path.startswith(INSIDE.get(door, "\0")) and floor(room(path)) <= floor(room(door))


def may_use(path: str, other: str) -> bool:
    """Whether a file may use another one of csrc/."""
    here, there = room(path), room(other)
    return here == there or floor(here) > floor(there) or path in DOORS or is_inside(path, other)
