"""Packages that a plain run does without: setup.cfg's extras, each asked for where it is needed.

Rules: what is missing is told before anything has been done, in one line with what installs it; what is only nice to
have (bars of progress, names of rare calls) is left out in silence.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from ptoverlay.errors import Failure


class Extra(NamedTuple):
    """package: its name for pip; module: what it is imported as."""

    package: str
    module: str


#: Extra → what it installs.
EXTRAS = {
    "list": Extra("psutil", "psutil"),
    "mcp": Extra("mcp", "mcp.server.mcpserver"),
    "progress": Extra("rich", "rich"),
    "report": Extra("jinja2", "jinja2"),
    "trace": Extra("python-ptrace", "ptrace"),
    "zstd": Extra("backports.zstd", "backports.zstd"),
}


def missing(extra: str) -> str:
    """Why it cannot be used; "" if it is there."""
    package, module = EXTRAS[extra]
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be part of
        found = False
    return "" if found else f"{package} is not installed"


def remedy(extra: str) -> str:
    return f"pip install 'ptoverlay[{extra}]'"


def need(what: str, extra: str) -> None:
    """Failure where it is not there."""
    if why := missing(extra):
        raise Failure(what, why, remedy(extra))
