"""Subcommands on the layers of a world, as its user.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .box import command
from .oracle import Done, Who, as_user, run
from .world import World


class Tool:
    """`ptoverlay SUBCOMMAND -l LOWERS -u UPPER -w WORK -m MOUNT …`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def layers(self) -> list[str]:
        """The options that name the layers."""
        world = self.world
        lowers = ":".join(map(str, world.lowers))
        return ["-l", lowers, "-u", str(world.upper), "-w", str(world.work), "-m", str(world.mount)]

    def argv(self, name: str, *words: str) -> list[str]:
        """The whole command line."""
        return [*as_user(self.world.who), *command(), name, *self.layers(), *words]

    def run(self, name: str, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Done:
        """Runs it, in the mount point unless told otherwise."""
        return run(self.argv(name, *words), cwd=cwd or self.world.mount, env={**self.world.env, **(env or {})})

    def check(self, name: str, *words: str, status: int = 0, env: Mapping[str, str] | None = None) -> str:
        """Runs it and wants this exit status: standard output."""
        done = self.run(name, *words, env=env)
        assert done.status == status, f"{name} {words}: status {done.status}\n{done.out}\n{done.err}"
        assert done.err == "" or status != 0, done.err
        return done.out

    def script(self, text: str) -> None:
        """Runs a shell script in the box, which has to succeed."""
        self.world.box().check(["sh", "-ec", text], env=self.world.env)


class Terminal:
    """A command on a pseudo-terminal of its own, as a person would use it."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.text = ""
        self._seen = 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(cwd)
                os.execvpe(argv[0], list(argv), {**env, "TERM": "xterm"})
            finally:
                os._exit(99)

    def expect(self, wanted: str, timeout: float = 90) -> str:
        """Waits until the text appears after what was expected before; returns all that came up to its end."""
        deadline = time.monotonic() + timeout
        while (at := self.text.find(wanted, self._seen)) < 0:
            left = deadline - time.monotonic()
            ready = select.select([self.fd], [], [], max(left, 0))[0]
            data = self._read() if ready else b""
            assert data, f"{wanted!r} did not come:\n{self.text}"
            self.text += data.decode(errors="replace")
        start, self._seen = self._seen, at + len(wanted)
        return self.text[start:self._seen]

    def send(self, text: str) -> None:
        """Types."""
        os.write(self.fd, text.encode())

    def end(self, timeout: float = 90) -> int:
        """Waits for the end: the exit status, 128 + signal."""
        deadline = time.monotonic() + timeout
        while True:
            ready = select.select([self.fd], [], [], max(deadline - time.monotonic(), 0))[0]
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError(f"no end:\n{self.text}")
            data = self._read()
            if not data:
                break
            self.text += data.decode(errors="replace")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return b""


def tool_for(who: Who, *words: str) -> list[str]:
    """A command line of ptoverlay without layers."""
    return [*as_user(who), *command(), *words]
