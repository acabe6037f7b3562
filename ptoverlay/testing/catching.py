"""Catches the programs that this process starts, so that they run in a box: for tests that know nothing of it.

    with Catching(box):
        subprocess.run(["make", "clean"], check=True)

Caught are, by the function of Python that each comes down to (`_CAUGHT`): subprocess with all that is made of it
(os.popen, asyncio), os.system, os.posix_spawn, os.spawn*, os.exec* after os.fork or pty.fork (pty.spawn, pexpect), and
the spawn method of multiprocessing.  Not caught is what needs none of these: code of a fork that executes no program
(the fork and forkserver methods of multiprocessing), and C code that starts programs by itself.

A layer serves one supervisor at a time: a program that starts while another one runs gets a layer on top of that one's.

Rules: a program is never started outside of the layers because one inside could not be; a process that is forked keeps
one layer to itself until it has ended, since what it will execute cannot be known.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import util
from typing import Any, ClassVar

from ptoverlay.api.overlay import Overlay
from ptoverlay.errors import Failure
from ptoverlay.process import Process, words_of
from ptoverlay.testing import Box

_Function = Callable[..., Any]


@dataclass(frozen=True)
class Started:
    """A process that has a layer.  popen: what waits for it, None: its parent's own affair."""

    layer: Overlay
    pid: int
    popen: subprocess.Popen[Any] | None = None

    def has_ended(self) -> bool:
        """Whether it has; its exit status is left to whoever waits for it."""
        if self.popen is not None:
            return self.popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def end(self) -> None:
        """Ends it if it uses its layer."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()
        elif self.layer.in_use():
            os.kill(self.pid, signal.SIGKILL)


class Catching:
    """While its context lasts, what this process starts runs in the box, unless it is paused."""

    active: ClassVar[Catching | None] = None

    def __init__(self, box: Box) -> None:
        self.paused = 0
        self._box = box
        self._lock = threading.Lock()
        self._running: list[Started] = []
        self._forked: Overlay | None = None  # in a process that was forked: its layer
        self._inside = threading.local()
        self._originals: list[tuple[object, str, _Function]] = []

    def __enter__(self) -> None:
        Catching.active = self
        for owner, name, handler in _CAUGHT:
            original = getattr(owner, name)
            self._originals.append((owner, name, original))
            setattr(owner, name, self._caught(original, handler))

    def __exit__(self, *_: object) -> None:
        for owner, name, original in reversed(self._originals):
            setattr(owner, name, original)
        Catching.active = None
        for process in self._running:
            if not process.has_ended():
                process.end()

    def _caught(self, original: _Function, handler: _Function) -> _Function:
        """What takes the place of a function: one function that is caught may be made of another one."""
        def call(*arguments: Any, **options: Any) -> Any:
            if self.paused or getattr(self._inside, "handler", False):
                return original(*arguments, **options)
            self._inside.handler = True
            try:
                return handler(self, original, *arguments, **options)
            finally:
                self._inside.handler = False

        return call

    # ---- layers ----

    def layer(self) -> Overlay:
        """The topmost layer, if no process has it, else a new one on top of it, which shows what it holds by now."""
        self._running = [process for process in self._running if not process.has_ended()]
        top = self._box.layers[-1] if self._forked is None else self._forked
        if all(process.layer is not top for process in self._running):
            return top
        if self._forked is not None:
            raise Failure("overlay", "a forked process of a test starts one program at a time", "let it wait for the "
                          "end of the other one")
        return self._box.lay_another()

    def line(self, layer: Overlay, words: list[str], env: Mapping[str, str] | None, cwd: Any = None) -> list[str]:
        """The command line that runs these words in a layer; FileNotFoundError when there is no such program."""
        _look_for(self._box, words, cwd, env)
        return layer.command(words, cwd=cwd)

    def start(self, words: list[str], env: Mapping[str, str] | None, start: Callable[[list[str]], int]) -> int:
        """Starts a process by a function that takes its command line and returns its id."""
        with self._lock:
            layer = self.layer()
            pid = start(self.line(layer, words, env))
            self._running.append(Started(layer, pid))
        return pid

    # ---- one handler for each function ----

    def popen(self, original: _Function, popen: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        bound = inspect.signature(original).bind(popen, *arguments, **options)
        given = bound.arguments
        if isinstance(popen, Process):  # which is in a box already
            original(*bound.args, **bound.kwargs)
            return
        args = given["args"]
        words = words_of(args, given.get("shell", False))
        executable = given.pop("executable", None)
        if executable is not None:
            words[0] = os.fsdecode(executable)
        with self._lock:
            layer = self.layer()
            line = self.line(layer, words, given.get("env"), given.pop("cwd", None))
            bound.arguments.update(args=line, shell=False)
            original(*bound.args, **bound.kwargs)
            self._running.append(Started(layer, popen.pid, popen))
        popen.args = args

    def system(self, _: _Function, command: str) -> int:
        self._inside.handler = False  # what we call is to be caught
        code = subprocess.call(command, shell=True)
        return -code if code < 0 else code << 8

    def posix_spawn(self, original: _Function, path: Any, argv: Sequence[Any], env: Any, **options: Any) -> int:
        return self.start([_file(path), *map(os.fsdecode, argv[1:])], env,
                          lambda line: original(line[0], line, env, **options))

    def posix_spawnp(self, original: _Function, path: Any, argv: Sequence[Any], env: Any, **options: Any) -> int:
        return self.start([os.fsdecode(path), *map(os.fsdecode, argv[1:])], env,
                          lambda line: original(line[0], line, env, **options))

    def execv(self, original: _Function, path: Any, argv: Sequence[Any]) -> None:
        line = self.line(self.layer(), [_file(path), *map(os.fsdecode, argv[1:])], None)
        original(line[0], line)

    def execve(self, original: _Function, path: Any, argv: Sequence[Any], env: Any) -> None:
        line = self.line(self.layer(), [_file(path), *map(os.fsdecode, argv[1:])], env)
        original(line[0], line, env)

    def fork(self, original: _Function) -> Any:
        with self._lock:
            layer = self.layer()
            result = original()
            pid = result[0] if isinstance(result, tuple) else result
            if pid:
                self._running.append(Started(layer, pid))
                return result
        self._forked, self._running, self._lock = layer, [], threading.Lock()
        return result

    def multiprocessing(self, original: _Function, path: Any, args: Sequence[Any], passfds: Sequence[int]) -> Any:
        if not any(os.fsdecode(word) == _WORKER for word in args):
            return original(path, args, passfds)
        return self.start([os.fsdecode(path), *map(os.fsdecode, args[1:])], None,
                          lambda line: original(os.fsencode(line[0]), line, passfds))


#: What is replaced, and by which handler.
_CAUGHT = (
    (subprocess.Popen, "__init__", Catching.popen), (os, "system", Catching.system),
    (os, "posix_spawn", Catching.posix_spawn), (os, "posix_spawnp", Catching.posix_spawnp),
    (os, "execv", Catching.execv), (os, "execve", Catching.execve), (os, "fork", Catching.fork),
    (os, "forkpty", Catching.fork), (util, "spawnv_passfds", Catching.multiprocessing),
)
#: In the command line of a process of multiprocessing, but not of its servers, which outlive a test.
_WORKER = "--multiprocessing-fork"


@contextmanager
def paused() -> Iterator[None]:
    """Nothing is caught in this context."""
    catching = Catching.active
    if catching is None:
        yield
        return
    catching.paused += 1
    try:
        yield
    finally:
        catching.paused -= 1


def _file(path: Any) -> str:
    """The path of a program as execve(2) takes it, for those who look for names in PATH."""
    if isinstance(path, int):
        return f"/proc/self/fd/{path}"
    text = os.fsdecode(path)
    return text if "/" in text else f"./{text}"


def _look_for(box: Box, words: Sequence[str], cwd: Any, env: Mapping[Any, Any] | None) -> None:
    """FileNotFoundError, as Popen raises it, when there is no such program or directory."""
    here = os.path.abspath(os.fsdecode(cwd)) if cwd is not None else os.getcwd()
    if cwd is not None and not os.path.isdir(here) and not box.has(here):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fsdecode(cwd))
    name = words[0]
    variables = os.environ if env is None else {os.fsdecode(key): os.fsdecode(env[key]) for key in env}
    path = variables.get("PATH", os.defpath)
    places = [here] if "/" in name else path.split(os.pathsep)
    if shutil.which(name, path=path) is None and not any(
            box.has(os.path.join(here, place, name)) for place in places):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
