"""Overlayfs without a mount: run a program over a merged view of directories.

    from ptoverlay import Overlay

    with Overlay(lower="/") as box:
        box.run(["make", "test"], check=True)

Importing this package imports nothing else, since the start-up time of ``ptoverlay -- CMD`` is part of the product; the
names of the API are looked up when they are used (`ptoverlay.api`, a package).  The other parts are `ptoverlay.options`
(what was asked for), `ptoverlay.run` (carrying it out) and `ptoverlay._core` (the compiled core: ``ffi`` and ``lib``,
see csrc/ptoverlay.h).

SPDX-License-Identifier: GPL-2.0-or-later
"""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ptoverlay.api.overlay import Overlay
    from ptoverlay.builds.build import Build
    from ptoverlay.commit.carry import Outcome
    from ptoverlay.errors import Failure
    from ptoverlay.history.record import HistoryStep
    from ptoverlay.layer.changes import Change, Kind
    from ptoverlay.layer.explain import Explanation
    from ptoverlay.layer.fsck import Problem
    from ptoverlay.layer.view import Stat
    from ptoverlay.process import Process
    from ptoverlay.serve.client import AsyncClient, Client
    from ptoverlay.serve.protocol import Refused
    from ptoverlay.ship.importing import Imported
    from ptoverlay.ship.output import Archive

__all__ = ["Archive", "AsyncClient", "Build", "Change", "Client", "Explanation", "Failure", "HistoryStep", "Imported",
           "Kind", "Outcome", "Overlay", "Problem", "Process", "Refused", "Stat"]

_PLACES = {"Archive": "ship.output", "AsyncClient": "serve.client", "Build": "builds.build", "Change": "layer.changes",
           "Client": "serve.client", "Explanation": "layer.explain", "Failure": "errors",
           "HistoryStep": "history.record",
           "Imported": "ship.importing", "Kind": "layer.changes", "Outcome": "commit.carry", "Overlay": "api.overlay",
           "Problem": "layer.fsck", "Process": "process", "Refused": "serve.protocol", "Stat": "layer.view"}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'ptoverlay' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"ptoverlay.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
