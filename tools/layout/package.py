"""How the files of the Python package use each other: by their imports, those inside functions included.

Rule: to import a file of a package runs the package's __init__ as well, so that one is used too; the top one imports
nothing that is not asked for, and is left out.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .core import Uses

PACKAGE = "ptoverlay"


class Modules:
    """The modules of the tree at `top`, by name."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.paths = {self._module(path): path for path in sorted((top / PACKAGE).rglob("*.py"))}
        self.trees = {name: ast.parse(path.read_text()) for name, path in self.paths.items()}

    def _module(self, path: Path) -> str:
        return ".".join(path.relative_to(self.top).with_suffix("").parts).removesuffix(".__init__")

    def file(self, module: str) -> str:
        return str(self.paths[module].relative_to(self.top))

    def imports(self) -> Uses:
        uses: Uses = {self.file(name): {} for name in self.paths}
        for name, tree in self.trees.items():
            for module, what in self._imported(name, tree):
                for one in self._run(module):
                    if one not in (name, PACKAGE):
                        names = uses[self.file(name)].setdefault(self.file(one), set())
                        names |= {what} if what and one == module else set()
        return uses

    def _run(self, module: str) -> Iterator[str]:
        """The module and the packages that it is in."""
        words = module.split(".")
        yield from (".".join(words[:n]) for n in range(1, len(words) + 1))

    def _imported(self, name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
        """(module, what is taken from it)."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names if alias.name in self.paths)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(name, node)
                for alias in node.names:
                    if (module := f"{base}.{alias.name}") in self.paths:
                        yield module, ""
                    elif base in self.paths:
                        yield base, alias.name

    def _base(self, name: str, node: ast.ImportFrom) -> str:
        """What `from … import` names, without dots."""
        if not node.level:
            return node.module or ""
        words = name.split(".") if self.paths[name].name == "__init__.py" else name.split(".")[:-1]
        words = words[: len(words) - node.level + 1]
        return ".".join([*words, *([node.module] if node.module else [])])

    def classes(self) -> dict[str, list[str]]:
        """The files in which a class of this name is."""
        found: dict[str, list[str]] = {}
        for module, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append(self.file(module))
        return found

    def functions(self) -> Iterator[tuple[str, str, int]]:
        """(file, name, lines)."""
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield self.file(name), node.name, (node.end_lineno or node.lineno) - node.lineno + 1
