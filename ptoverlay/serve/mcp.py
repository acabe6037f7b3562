"""``ptoverlay serve --mcp``: the verbs of `engine` as tools of the Model Context Protocol, by the official package.

Rules: an agent gets what it can read of an output, with what was left out told; an error is the one line that a person
gets; a call that is cancelled ends its command.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ptoverlay import __version__
from ptoverlay.serve import protocol
from ptoverlay.serve.command import Command
from ptoverlay.serve.engine import Engine

_LONGEST = 100_000  # bytes of an output, of which the first and the last half are told
_INSTRUCTIONS = (
    "Commands run over a layer: what they change is kept apart from the files below, step by step, until it is "
    "committed. Run commands with `run`; it tells what each changed. `undo` takes the last step back. Call `commit` "
    "only when the person has said so: it changes the real files.")


def serve_mcp(engine: Engine) -> None:
    """Until standard input ends."""
    server(engine).run()


def server(engine: Engine) -> Any:
    """The server, for any of its package's transports."""
    from mcp.server.mcpserver import MCPServer

    made = MCPServer("ptoverlay", version=__version__, instructions=_INSTRUCTIONS, log_level="ERROR")
    tools = Tools(engine)
    for tool in (tools.run, tools.changes, tools.log, tools.checkpoint, tools.undo, tools.redo, tools.commit,
                 tools.cancel):
        made.add_tool(tool)
    return made


class Tools:
    """One method a verb: its name, its documentation and its arguments are the tool's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._running: set[Command] = set()

    async def run(self, command: str, cwd: str | None = None, timeout: float | None = None) -> dict[str, Any]:
        """Run a shell command in the sandbox. Returns its exit status, its output, and what it changed as a diff; the
        real files stay as they are. timeout: seconds."""
        told = _Parts()
        answer = await self._do(protocol.RunRequest(command=command, cwd=cwd, timeout=timeout, patch=True), told)
        return {**answer, "stdout": told.text("stdout"), "stderr": told.text("stderr")}

    async def changes(self, step: int = 0, paths: list[str] | None = None, patch: bool = True) -> dict[str, Any]:
        """What a step changed, or with step 0 all that is not committed yet; patch: as a diff, too."""
        return await self._do(protocol.Changes(step, paths or [], patch=patch))

    async def log(self, count: int = 20) -> dict[str, Any]:
        """The last steps, the newest first: number, command, time, exit status."""
        return await self._do(protocol.Log(count))

    async def checkpoint(self, message: str) -> dict[str, Any]:
        """Give the last step a name, to find it again."""
        return await self._do(protocol.Checkpoint(message))

    async def undo(self, count: int = 1) -> dict[str, Any]:
        """Take back what the last steps changed. redo brings it back."""
        return await self._do(protocol.Undo(count))

    async def redo(self, count: int = 1) -> dict[str, Any]:
        """Bring back what undo took."""
        return await self._do(protocol.Redo(count))

    async def commit(self, paths: list[str] | None = None, dry_run: bool = False) -> dict[str, Any]:
        """Apply the changes to the real files, all or those at the paths. Only when the person has said so."""
        return await self._do(protocol.Commit(paths or [], dry_run=dry_run))

    async def cancel(self) -> dict[str, Any]:
        """End the commands that are running."""
        running = list(self._running)
        for each in running:
            each.cancel()
        return {"cancelled": len(running)}

    async def _do(self, request: protocol.Request,
                  told: Callable[[str, dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Carries it out on a thread."""
        import anyio.to_thread
        from mcp.server.mcpserver.exceptions import ToolError

        mine: list[Command] = []
        over = threading.Event()

        def began(command: Command) -> None:
            mine.append(command)
            self._running.add(command)
            if over.is_set():
                command.cancel()

        try:
            protocol.check(request)
            answer: dict[str, Any] = await anyio.to_thread.run_sync(
                lambda: self._engine.answer(request, told or _Parts(), began), abandon_on_cancel=True)
            return answer
        except Exception as error:
            raise ToolError(str(protocol.refusal(error))) from error
        finally:
            over.set()
            for command in mine:
                command.cancel()  # of a call that was cancelled; else it is over
                self._running.discard(command)


class _Parts:
    """What a command writes, as much as an agent can read."""

    def __init__(self) -> None:
        self._data = {"stdout": bytearray(), "stderr": bytearray()}
        self._cut = {"stdout": 0, "stderr": 0}

    def __call__(self, event: str, members: dict[str, Any]) -> None:
        if event != "output":
            return
        data = self._data[members["stream"]]
        data += protocol.data_of(members)
        too_many = len(data) - _LONGEST
        if too_many > 0:
            del data[_LONGEST // 2:_LONGEST // 2 + too_many]
            self._cut[members["stream"]] += too_many

    def text(self, stream: str) -> str:
        data, cut = bytes(self._data[stream]), self._cut[stream]
        if not cut:
            return data.decode(errors="backslashreplace")
        halves = (data[:_LONGEST // 2], data[_LONGEST // 2:])
        first, last = (half.decode(errors="backslashreplace") for half in halves)
        return f"{first}\n[… {cut} bytes left out …]\n{last}"
