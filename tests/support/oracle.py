"""The kernel's overlayfs, and a plain directory, as the thing to compare with.

Each command runs in a mount namespace of its own (subjects/stage.c), so that a mount ends with the command,
whatever happens to it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from .snapshot import Snapshot, parse
from .subjects import Subjects

#: Options that make the kernel keep identities and rename directories, as the view does.
ROOT_OPTIONS = "index=on,redirect_dir=on,xino=on,metacopy=off"
#: With userxattr the kernel follows no redirects.
USER_OPTIONS = "userxattr,xino=on"


def escape(path: Path) -> str:
    """A path as a mount option of overlayfs holds it."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


@dataclass(frozen=True)
class Who:
    """Who runs a command."""

    name: str  # root or user
    uid: int
    gid: int

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def prefix(self) -> str:
        """Of the attributes of layers that are this user's."""
        return "trusted" if self.is_root else "user"


#: A machine of software is slow: tools/vm sets how many times as slow a command may be before it counts as hanging.
PATIENCE = int(os.environ.get("PTOVERLAY_TEST_PATIENCE", "1"))

ROOT = Who("root", 0, 0)
USER = Who("user", 1000, 1000) if os.geteuid() == 0 else Who("user", os.geteuid(), os.getegid())


@dataclass(frozen=True)
class Done:
    """What a command left: its status as a shell has it (128 + signal), and its output."""

    status: int
    out: str
    err: str


Words = Sequence[str | os.PathLike[str]]


class How(TypedDict, total=False):
    """How a command is run: cwd, None: where the place says; env, None: ours; stdin: what it reads; timeout: seconds
    after which it hangs, 120 where nothing is said."""

    cwd: Path | None
    env: Mapping[str, str] | None
    stdin: str
    timeout: float


def run(command: Words, **how: Unpack[How]) -> Done:
    """Runs a command and takes what it prints; a hang is a failure."""
    env, timeout = how.get("env"), how.get("timeout", 120) * PATIENCE
    process = subprocess.Popen(
        [os.fspath(c) for c in command],
        cwd=how.get("cwd"),
        env=dict(env) if env is not None else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(how.get("stdin", ""), timeout=timeout)
    except subprocess.TimeoutExpired as late:
        os.killpg(process.pid, 9)
        out, err = process.communicate()
        raise AssertionError(f"no end after {timeout} s: {command}\n{out[-2000:]}\n{err[-2000:]}") from late
    status = process.returncode
    return Done(128 - status if status < 0 else status, out, err)


class Place:
    """Somewhere to run commands: a tree that appears at `mount`."""

    def __init__(self, subjects: Subjects, who: Who, mount: Path) -> None:
        self.subjects = subjects
        self.who = who
        self.mount = mount

    def wrap(self, command: Words, cwd: Path | None) -> list[str]:
        """The command that runs `command` here."""
        raise NotImplementedError

    def run(self, command: Words, **how: Unpack[How]) -> Done:
        """Runs it as `who`, in the mount point unless `cwd` says otherwise."""
        where = how.pop("cwd", None) or self.mount
        return run(self.wrap(command, where), **how)

    def check(self, command: Words, **how: Unpack[How]) -> str:
        """The same, for a command that has to succeed: its output."""
        done = self.run(command, **how)
        assert done.status == 0, f"{command}: status {done.status}\n{done.out[-3000:]}\n{done.err[-3000:]}"
        return done.out

    def snapshot(self, path: Path | None = None) -> Snapshot:
        """Of the tree as it is seen from here."""
        return parse(self.check([self.subjects.path("tree"), path or self.mount]))


class _Staged(Place):
    """In a mount namespace of its own."""

    userns = False

    def mount_options(self) -> list[str]:
        raise NotImplementedError

    def wrap(self, command: Words, cwd: Path | None) -> list[str]:
        stage = [str(self.subjects.path("stage"))]
        become: list[str] = []
        if self.userns or os.geteuid() != 0:
            stage.append("--user-namespace")
            become = as_user(self.who)
        elif not self.who.is_root:
            stage += ["--drop", f"{self.who.uid}:{self.who.gid}"]
        where = ["--chdir", str(cwd)] if cwd else []
        return [*become, *stage, *where, *self.mount_options(), str(self.mount), "--", *(os.fspath(c) for c in command)]


class Plain(_Staged):
    """A plain directory at the mount point: bound there, or, where nobody may mount, moved there meanwhile.

    userns: bound in a user namespace, so that ids look as they do to `Kernel` there."""

    def __init__(self, subjects: Subjects, who: Who, mount: Path, directory: Path) -> None:
        super().__init__(subjects, who, mount)
        self.directory = directory

    def mount_options(self) -> list[str]:
        return ["--bind", str(self.directory)]

    def run(self, command: Words, **how: Unpack[How]) -> Done:
        """As Place.run."""
        if self.userns or os.geteuid() == 0:
            return super().run(command, **how)
        away = self.mount.with_name("mnt-away")
        self.mount.rename(away)
        self.directory.rename(self.mount)
        try:
            how["cwd"] = how.get("cwd") or self.mount
            return run(command, **how)
        finally:
            self.mount.rename(self.directory)
            away.rename(self.mount)


class Kernel(_Staged):
    """The kernel's overlayfs.  userns: mounted by `who` in a user namespace; else by root for `who`."""

    def __init__(
        self,
        subjects: Subjects,
        who: Who,
        mount: Path,
        lowers: Sequence[Path],
        upper: Path | None,
        work: Path | None,
        *,
        userns: bool = False,
        options: str | None = None,
    ) -> None:
        super().__init__(subjects, who, mount)
        self.userns = userns
        default = USER_OPTIONS if userns or os.geteuid() != 0 else ROOT_OPTIONS
        self.options = ["lowerdir=" + ":".join(map(escape, lowers)), default if options is None else options]
        if upper and work:
            self.options += [f"upperdir={escape(upper)}", f"workdir={escape(work)}"]

    def mount_options(self) -> list[str]:
        return ["--overlay", ",".join(o for o in self.options if o)]


def as_user(who: Who) -> list[str]:
    """What to put before a command so that it runs as `who`, without any capability if that is not root."""
    if who.is_root or os.geteuid() != 0:
        return []
    ids = ["--reuid", str(who.uid), "--regid", str(who.gid), "--clear-groups"]
    return ["setpriv", *ids, "--bounding-set=-all", "--inh-caps=-all", "--"]
