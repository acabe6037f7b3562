"""Figures about the layout.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from .circles import circles
from .core import Core, Uses
from .package import Modules

LONG = 120


def figures(core: Core, modules: Modules) -> Iterator[tuple[str, str]]:
    """(what, how much)."""
    sources = [name for name in core.texts if name.endswith(".c")]
    yield "files of csrc/ in circles", _in_circles(core.calls(), len(sources))
    yield "files of ptoverlay/ in circles", _in_circles(modules.imports(), len(modules.paths))
    strays = [name for name, where in core.defined.items() if not core.prefixed(name, where)]
    yield "external names without the prefix of their file or header", f"{len(strays)} of {len(core.defined)}"
    yield "static names in more than one file", _shared(core, sources)
    texts = {**core.texts, **{modules.file(name): path.read_text() for name, path in modules.paths.items()}}
    yield "lines over 120 columns", str(sum(len(line) > LONG for text in texts.values() for line in text.splitlines()))
    yield "longest file of csrc/", _longest_file(core.texts)
    yield "longest function of csrc/", _longest_function(
        (name, one.name, one.lines) for name in core.texts for one in core.functions(name))
    yield "longest file of ptoverlay/", _longest_file({n: t for n, t in texts.items() if n.endswith(".py")})
    yield "longest function of ptoverlay/", _longest_function(modules.functions())


def _in_circles(uses: Uses, total: int) -> str:
    sizes = sorted((len(files) for files, _ in circles(uses)), reverse=True)
    return f"{sum(sizes)} of {total}" + (f" ({' + '.join(map(str, sizes))})" if len(sizes) > 1 else "")


def _shared(core: Core, sources: list[str]) -> str:
    where: dict[str, set[str]] = defaultdict(set)
    for name in sources:
        for one in core.functions(name):
            if one.static:
                where[one.name].add(name)
    shared = {name: files for name, files in where.items() if len(files) > 1}
    most = max(shared, key=lambda name: len(shared[name]), default="")
    return f"{len(shared)}" + (f" ({most} in {len(shared[most])})" if most else "")


def _longest_function(functions: Iterable[tuple[str, str, int]]) -> str:
    file, name, lines = max(functions, key=lambda one: one[2], default=("", "", 0))
    return f"{lines} {file} {name}".strip()


def _longest_file(texts: dict[str, str]) -> str:
    name = max(texts, key=lambda name: texts[name].count("\n"))
    return f"{texts[name].count(chr(10))} {name}"
