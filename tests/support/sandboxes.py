"""The command ptoverlay as a person uses it: sandboxes over a lower of the test's own, as root or an ordinary user.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .box import command
from .oracle import Done, Who, as_user, run

LIMIT = 60.0  # seconds that one command may take on a busy machine


class Tool:
    """Directories below `area`, all of them the user's:

    lower   where the sandboxes lie on
    state   XDG_STATE_HOME
    home    HOME, TMPDIR and the current directory
    """

    def __init__(self, area: Path, who: Who) -> None:
        self.who = who
        self.area = area
        self.lower = self.directory("lower")
        self.state = self.directory("state")
        self.home = self.directory("home")
        self.env = {**os.environ, "XDG_STATE_HOME": str(self.state), "HOME": str(self.home), "TMPDIR": str(self.home),
                    "PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": "xterm", "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"}
        self.env.pop("NO_COLOR", None)

    def directory(self, name: str) -> Path:
        """One more directory of the user's."""
        path = self.area / name
        path.mkdir()
        path.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(path, self.who.uid, self.who.gid)
        return path

    def put_in_path(self) -> None:
        """`ptoverlay` becomes a command that the user's shells find."""
        path = self.directory("bin") / "ptoverlay"
        path.write_text(f"#!/bin/sh\nexec {' '.join(command())} \"$@\"\n")
        path.chmod(0o755)
        self.env["PATH"] = f"{path.parent}:{self.env['PATH']}"

    def words(self, *words: str | Path) -> list[str]:
        """The command line that runs `ptoverlay WORDS` as the user."""
        return [*as_user(self.who), *command(), *map(str, words)]

    def __call__(self, *words: str | Path, cwd: Path | None = None) -> Done:
        """Runs ptoverlay and takes what it prints."""
        return run(self.words(*words), cwd=cwd or self.home, env=self.env, timeout=LIMIT)

    def ok(self, *words: str | Path, cwd: Path | None = None, status: int = 0) -> str:
        """The same for what has to end with this status and without a message: its output."""
        done = self(*words, cwd=cwd)
        assert (done.status, done.err) == (status, ""), f"{words}: {done.status}\n{done.out[-2000:]}\n{done.err}"
        return done.out

    def fails(self, *words: str | Path) -> str:
        """The one line of a command that has to fail with our own status."""
        done = self(*words)
        assert done.status == 125, f"{words}: status {done.status}\n{done.out}\n{done.err}"
        assert done.err.startswith("ptoverlay: ")
        assert done.err.count("\n") == 1, done.err
        return done.err[len("ptoverlay: "):-1]

    def json(self, *words: str | Path, status: int = 0) -> Any:
        """What it prints with --json."""
        return json.loads(self.ok(*words, "--json", status=status))

    def sh(self, script: str, cwd: Path | None = None) -> str:
        """A shell script on the host, as the user, in the lower: its output."""
        done = run([*as_user(self.who), "sh", "-euc", script], cwd=cwd or self.lower, env=self.env)
        assert done.status == 0, done.err
        return done.out

    def box(self, name: str, script: str) -> str:
        """A shell script in the named sandbox over the lower: its output."""
        return self.ok("run", "--name", name, "-l", self.lower, "-C", self.lower, "--", "sh", "-euc", script)

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Starts ptoverlay; its input and output are pipes."""
        return subprocess.Popen(self.words(*words), cwd=self.home, env=self.env, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def on_terminal(self, *words: str | Path, typed: str = "", columns: int = 0,
                    shows: Callable[[str], None] | None = None) -> tuple[int, str]:
        """Runs it on a pty of its own, with `typed` as what is typed: status, and all that the terminal showed.
        columns: how wide the terminal is; shows: called with what it has shown up to now, each time there is more."""
        return self.shell_on_terminal(self.words(*words), typed, columns, shows)

    def shell_on_terminal(self, line: list[str], typed: str, columns: int = 0,
                          shows: Callable[[str], None] | None = None) -> tuple[int, str]:
        """The same for any command line."""
        env = {name: value for name, value in self.env.items() if name != "COLUMNS" or not columns}
        pid, fd = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.home)
                termios.tcsetwinsize(0, (24, columns))
                os.execvpe(line[0], line, env)
            finally:
                os._exit(120)
        try:
            os.write(fd, typed.encode())
            shown = _read_all(fd, shows)
        finally:
            os.close(fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.replace("\r\n", "\n")


def _read_all(fd: int, shows: Callable[[str], None] | None) -> str:
    """What a terminal shows until everybody has closed it."""
    shown = b""
    end = time.monotonic() + LIMIT
    while select.select([fd], [], [], max(end - time.monotonic(), 0))[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:  # EIO: the other side is closed
            return shown.decode()
        if not data:
            return shown.decode()
        shown += data
        if shows:
            shows(shown.decode(errors="replace"))
    raise AssertionError(f"no end after {LIMIT} s: {shown!r}")


def wait_for(condition: Callable[[], object]) -> None:
    """Until it is true."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
