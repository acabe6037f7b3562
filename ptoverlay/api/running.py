"""Commands in an overlay: started, waited for, with threads and with asyncio.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from ptoverlay import options
from ptoverlay.api.child import BUILD
from ptoverlay.api.held import HeldLayers
from ptoverlay.process import (
    Command,
    Options,
    Process,
    Start,
    StrPath,
    command_line,
    completed,
    plain_command,
    reap,
    streams,
    supervisor,
    words_of,
)
from ptoverlay.sandboxes.sandbox import Sandbox

if TYPE_CHECKING:
    import asyncio


class Runs(HeldLayers):
    """The half of an `Overlay` that runs commands."""

    def start(self, args: Command, *, text: bool | None = None, encoding: str | None = None,
              errors: str | None = None, **popen: Unpack[Options]) -> Process[Any]:
        """Starts a command, as subprocess.Popen does; see `Process` for what differs.

        OSError (FileNotFoundError, PermissionError…) when the command or its directory is not there, or cannot be
        executed; Failure when another command is still running in this overlay, when the layers cannot be used, or
        when the machine does not allow it.

        >>> with Overlay() as box:
        ...     process = box.start(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ...     process.communicate("through a pipe", timeout=60)
        ('through a pipe', None)
        """
        with self._lock:
            sandbox = self._idle()
            given: dict[str, Any] = {**popen, "text": text, "encoding": encoding, "errors": errors}
            process: Process[Any] = Process(args, self._layer_options(sandbox), temporary=self._temporary, **given)
            self._process = process
            return process

    @overload
    def run(self, args: Command, *, input: str | None = None, capture_output: bool = False,
            timeout: float | None = None, check: bool = False, text: Literal[True], encoding: str | None = None,
            errors: str | None = None, **popen: Unpack[Options]) -> subprocess.CompletedProcess[str]: ...

    @overload
    def run(self, args: Command, *, input: bytes | None = None, capture_output: bool = False,
            timeout: float | None = None, check: bool = False, text: Literal[False] | None = None,
            encoding: None = None, errors: None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[bytes]: ...

    @overload
    def run(self, args: Command, *, input: Any = None, capture_output: bool = False, timeout: float | None = None,
            check: bool = False, text: bool | None = None, encoding: str | None = None, errors: str | None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]: ...

    def run(self, args: Command, *, input: Any = None, capture_output: bool = False, timeout: float | None = None,
            check: bool = False, text: bool | None = None, encoding: str | None = None, errors: str | None = None,
            **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]:
        """Runs a command and waits for it: subprocess.run's arguments, result and errors.

        timeout: in seconds; then all that the command has started is killed and subprocess.TimeoutExpired raised.
        subprocess.CalledProcessError with check when it fails; OSError when it is not there; Failure as for `start`.

        >>> with Overlay() as box:
        ...     box.run("echo kept nowhere >~/file; exit 3", shell=True).returncode
        3
        >>> with Overlay() as box:
        ...     box.run(["no-such-command"])
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'no-such-command'
        """
        streams(popen, input, capture_output)
        with self.start(args, text=text, encoding=encoding, errors=errors, **popen) as process:
            try:
                out, err = process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
            except BaseException:
                process.kill()
                raise
        return completed(args, process.returncode, out, err, check)

    async def start_async(self, args: Command, **popen: Unpack[Options]) -> asyncio.subprocess.Process:
        """Starts a command, as asyncio.create_subprocess_exec does; errors as of `start`.

        >>> import asyncio
        >>> async def main():
        ...     with Overlay() as box:
        ...         process = await box.start_async(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ...         return await process.communicate(b"through a pipe")
        >>> asyncio.run(main())
        (b'through a pipe', None)
        """
        import asyncio  # takes longer to import than all the rest

        sandbox = self._idle()
        given: dict[str, Any] = {**popen}
        shell, cwd = given.pop("shell", False), given.pop("cwd", None)
        words = words_of(args, shell)
        start = Start(words[0], None if cwd is None else os.fspath(cwd))
        try:
            line = supervisor(start.fd, self._temporary, command_line(self._layer_options(sandbox), cwd, words))
            given["pass_fds"] = (*given.get("pass_fds", ()), start.fd)
            process = self._process = await asyncio.create_subprocess_exec(*line, **given)
        finally:
            start.handed_over()
        failure = await asyncio.to_thread(start.wait)
        if failure is not None:
            await process.wait()
            raise failure
        return process

    def command(self, args: Command, *, cwd: StrPath | None = None, shell: bool = False) -> list[str]:
        """The command line that runs `args` in this overlay, for what starts processes by itself (pexpect, a test
        runner…).  One at a time; close() does not know of it.

        >>> with Overlay() as box:
        ...     subprocess.call(box.command("exit 3", shell=True))
        3
        """
        with self._lock:
            return plain_command(self._words(command_line(self._layer_options(self._opened()), cwd,
                                                          words_of(args, shell))))

    def _words(self, words: list[str]) -> list[str]:
        """For `ptoverlay`, of which a build is a subcommand."""
        return words if self._build is not None else ["run", *words]

    async def run_async(self, args: Command, *, input: Any = None, capture_output: bool = False,
                        timeout: float | None = None, check: bool = False, text: bool | None = None,
                        encoding: str | None = None, errors: str | None = None,
                        **popen: Unpack[Options]) -> subprocess.CompletedProcess[Any]:
        """`run` for asyncio: other tasks go on meanwhile; a task that is cancelled kills its command.

        >>> import asyncio
        >>> async def main():
        ...     with Overlay() as one, Overlay() as other:
        ...         return await asyncio.gather(one.run_async(["true"]), other.run_async(["false"]))
        >>> [done.returncode for done in asyncio.run(main())]
        [0, 1]
        """
        import asyncio

        streams(popen, input, capture_output)
        begin = asyncio.create_task(asyncio.to_thread(partial(
            self.start, args, text=text, encoding=encoding, errors=errors, **popen)))
        try:
            process = await asyncio.shield(begin)
        except asyncio.CancelledError:
            await asyncio.wait([begin])
            if begin.exception() is None:
                begin.result().kill()
                await asyncio.to_thread(reap, begin.result())
            raise
        talk = asyncio.create_task(asyncio.to_thread(process.communicate, input, timeout))
        try:
            out, err = await asyncio.shield(talk)
        except BaseException:
            process.kill()
            await asyncio.wait([talk])
            if talk.exception() is not None:
                await asyncio.to_thread(reap, process)
            raise
        return completed(args, process.returncode, out, err, check)

    @property
    def _temporary(self) -> bool:
        return self._name is None and self._asked.upper is None

    def _layer_options(self, sandbox: Sandbox) -> list[str]:
        if self._name is not None:  # it joins whoever is in it
            return [*self._options, "--name", self._name]
        lowers = options.lower_words(sandbox.stack, sandbox.metadata.n_data)
        flags = [word for option in options.words_of(sandbox.flags) for word in ("-o", option)]
        build = [] if self._build is None else [BUILD, *self._build]
        return [*build, *self._options, *self._hidden, *flags, "-l", lowers, "-u", sandbox.upper, "-w", sandbox.work,
                "-m", self._asked.mount or sandbox.mount]
