"""The core for those who compile it in another way: what csrc/build.py says of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from .box import ROOT_DIRECTORY


class Description:
    """sources: C files of this machine; flags: of the compiler."""

    def __init__(self) -> None:
        self._build = self._load()
        self.sources = [Path(source).resolve() for source in self._build.sources()]
        self.flags: list[str] = self._build.COMPILE

    @staticmethod
    def _load() -> ModuleType:
        spec = importlib.util.spec_from_file_location("core_build", ROOT_DIRECTORY / "csrc/build.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def write_binding(self, path: Path) -> Path:
        """Writes what cffi makes of ptoverlay.h."""
        self._build.builder.emit_c_code(str(path))
        return path


def object_name(source: Path) -> str:
    """A file name that no other source of the core has."""
    return f"{'-'.join(source.parts[-3:])}.o"
