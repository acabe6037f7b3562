"""--record, --provenance, --depfile and --sbom: what is kept of a run while it runs, and written at its end.

Rules: a file that cannot be written is told before CMD runs; what is written is whole or not there; a run within a run
records nothing, since the one around knows what it asks.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ptoverlay import errors
from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.layer.changes import changes
from ptoverlay.layer.view import View
from ptoverlay.options import OverlaySpec, Request
from ptoverlay.record.asked import Asked, Stream
from ptoverlay.record.digests import Digests
from ptoverlay.record.record import RunRecord, made_of, of_kernel, used_of
from ptoverlay.record.states import States
from ptoverlay.ship.output import replaced

Prepared = Sequence[tuple[OverlaySpec, str | None, str | None]]
_TRAPS = {lib.PTO_TRAP_PTRACE: "ptrace", lib.PTO_TRAP_NOTIFY: "notify"}


def text_of(option: str, record: RunRecord, states: States, path: str) -> bytes:
    """Of the file of an option; what another form needs is not imported."""
    if option == "record":
        return record.text()
    form: Callable[[RunRecord, States, str], bytes] = import_module(f"ptoverlay.record.{option}").text
    return form(record, states, path)


class Recording:
    """Of one run.  fd: for struct pto_command."""

    def __init__(self, request: Request) -> None:
        if lib.pto_is_nested():
            raise Failure(_options(request)[0], "inside a run the run around records", "give it to that one")
        for option, path in request.records.items():
            _check_writable(option, path)
        self._stream = Stream()
        self._request = request
        self._cwd = os.getcwd()
        self._started = time.time()

    @property
    def fd(self) -> int:
        return self._stream.fd

    def close(self) -> None:
        """Nothing more is to be read."""
        self._stream.close()

    def finish(self, prepared: Prepared, result: Any, environment: dict[str, str]) -> None:
        """Writes the files.  prepared: the layers of the run, which are there."""
        asked, ended = self._stream.read(), time.time()
        with Digests() as digests, base_of(prepared, self._request, digests) as (base, states):
            record = RunRecord(
                self._request.told or self._request.argv, self._request.chdir or self._cwd, environment, self._started,
                ended, result.status, _TRAPS.get(result.trap, "auto"), self._request.network, asked.complete,
                asked.programs[1:], used_of(asked, states), [], kernel_of(asked), asked.sockets)
            own = len(prepared) - len(self._request.around)
            for overlay, upper, work in prepared[:own]:
                if upper is not None:
                    record.outputs += outputs_of(base, prepared[own:], overlay, upper, work, digests)
            for option, path in self._request.records.items():
                _write(option, path, text_of(option, record, states, path))


def kernel_of(asked: Asked) -> list[str]:
    """What of the kernel's own was asked about."""
    return sorted(path for path in asked.inputs if of_kernel(path))


@contextmanager
def base_of(prepared: Prepared, request: Request, digests: Digests) -> Iterator[tuple[View, States]]:
    """The view that a run began with, and what looks at it.  Overlays around hold mount points, and are as they are
    now."""
    own = len(prepared) - len(request.around)
    with View() as base:
        _lay_around(base, prepared[own:])
        for overlay, _upper, _work in prepared[:own]:
            base.lay(overlay.read_layers(), None, None, overlay.mount_point(), overlay.flags, overlay.n_data)
        for host, inside in request.binds:
            base.add_bind(host, inside)
        plain = not request.binds and all(overlay.layers() == ["/"] and overlay.mount_point() == "/"
                                          for overlay, _upper, _work in prepared)
        yield base, (States(digests) if plain else States(digests, lambda path: base.real(path)[1], base.list))


def _lay_around(view: View, around: Prepared) -> None:
    for overlay, upper, work in around:
        view.lay(overlay.read_layers(), upper, work, overlay.mount_point(),
                 overlay.flags | lib.PTO_READ_ONLY * (upper is not None), overlay.n_data)


def outputs_of(base: View, around: Prepared, overlay: OverlaySpec, upper: str, work: str | None,
               digests: Digests) -> list[Any]:
    """What a run that is over has made in an overlay."""
    with View() as view:
        _lay_around(view, around)
        view.lay(overlay.read_layers(), upper, work, overlay.mount_point(), overlay.flags | lib.PTO_READ_ONLY,
                 overlay.n_data)
        return made_of(changes(view, base, os.path.realpath(overlay.mount_point())), view, digests)


# ---- files ----


def _options(request: Request) -> list[str]:
    return [f"--{option}" for option in request.records]


def _check_writable(option: str, path: str) -> None:
    """Failure where the file could not be put into its directory."""
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise Failure(f"--{option} {path}", "it is a directory")
    if not os.path.isdir(directory):
        raise Failure(f"--{option} {path}", f"{directory}: no such directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Failure(f"--{option} {path}", f"{directory}: permission denied")


def _write(option: str, path: str, data: bytes) -> None:
    try:
        with replaced(Path(path)) as file:
            file.write(data)
    except OSError as error:
        raise errors.from_os_error(f"--{option} {path}", error) from error
