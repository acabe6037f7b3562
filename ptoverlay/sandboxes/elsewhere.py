"""A named sandbox comes to lie on something else.

What belongs to a sandbox is one directory, so a new one is made beside it, whole, and the two change places by one
rename: whoever looks sees the one or the other, whatever kills us.

Rules: call it with the sandbox's lock held; from the exchange on we hold that of the new one, which `Sandbox.lock`
takes over, or `Sandbox.release` lets go.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ptoverlay.commit import kernel
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes.locking import LOCK, lock_file
from ptoverlay.sandboxes.sandbox import GONE, NEW, Sandbox

_KEPT = ("stats.json",)


def put_on(box: Sandbox, lowers: list[str], parent: str, fill: Callable[[Path], None] = lambda _: None) -> None:
    """The sandbox lies on these lowers from now on, topmost first, of which the first ones are the parent's ("": none),
    and begins a new log.  fill: makes upper/ and work/ in the directory that it is given; without them it is empty."""
    directory = box.directory
    assert directory is not None
    new = directory.with_name(f"{NEW}{os.urandom(16).hex()}")
    new.mkdir(0o711)
    lock = -1
    try:
        lock = lock_file(new / LOCK)
        metadata = replace(box.metadata, lowers=lowers, parent=parent)
        fill(new)
        metadata.save(new / "sandbox.json")
        for name in _KEPT:
            if (directory / name).exists():
                shutil.copyfile(directory / name, new / name)
        _exchange(new, directory)
    except BaseException:
        if lock >= 0:
            os.close(lock)
        remove_tree(str(new))
        raise
    box.release()
    box.take_over(lock)
    box.metadata = metadata
    box.reload()
    gone = new.with_name(f"{GONE}{box.name}.{os.urandom(16).hex()}")
    os.rename(new, gone)
    remove_tree(str(gone))


def _exchange(new: Path, old: Path) -> None:
    fd = os.open(old.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.rename2(fd, new.name, fd, old.name, kernel.RENAME_EXCHANGE)
        os.fsync(fd)
    finally:
        os.close(fd)
