"""Holds the layout of csrc/ and ptoverlay/, tells figures about it, and draws it: see tools/rooms.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from layout import floors
from layout.circles import circles, told
from layout.core import Core, Uses
from layout.drawing import draw
from layout.figures import LONG, figures
from layout.package import Modules

TOP = Path(__file__).resolve().parent.parent
DRAWING = "docs/rooms.svg"


@dataclass(frozen=True)
class House:
    core: Core
    modules: Modules


@dataclass(frozen=True)
class Rule:
    """held: the lint fails where it is broken; complaints: a line each."""

    name: str
    held: bool
    complaints: Callable[[House], Iterator[str]]


def in_circles(uses: Uses) -> Iterator[str]:
    for files, chain in circles(uses):
        yield f"{len(files)} files in a circle: {told(uses, chain)}"


def upward(uses: Uses) -> Iterator[str]:
    """Uses of a room that does not stand below."""
    for name in sorted(uses):
        for other in sorted(uses[name]):
            if not floors.may_use(name, other):
                yield f"{floors.room(name)} stands below: {told(uses, [name, other])}"


def outside_of_the_view(uses: Uses) -> Iterator[str]:
    for name in sorted(uses):
        for other in sorted(uses[name]):
            if floors.room(name).startswith(floors.ALONE) and not floors.room(other).startswith(floors.ALONE):
                yield f"csrc/view is to link alone: {told(uses, [name, other])}"


def writing(house: House) -> Iterator[str]:
    for name in sorted(house.core.texts):
        if floors.room(name) in floors.READERS and (found := house.core.strange(name) & floors.WRITERS):
            yield f"{name}: writes ({', '.join(sorted(found))})"


def guards(house: House) -> Iterator[str]:
    """Of two headers with one guard the second is empty for whoever includes both."""
    seen: dict[str, str] = {}
    for name, text in sorted(house.core.texts.items()):
        guard = re.search(r"^#ifndef (\w+_H)$", text, re.MULTILINE)
        if guard and (other := seen.setdefault(guard[1], name)) != name:
            yield f"{name}: has the guard of {other}, {guard[1]}"


def twins(house: House) -> Iterator[str]:
    for name, files in sorted(house.modules.classes().items()):
        if len(files) > 1:
            yield f"class {name}: in {' and '.join(files)}"


def long_lines(house: House) -> Iterator[str]:
    """clang-format breaks code, and leaves comments alone."""
    for name, text in sorted(house.core.texts.items()):
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > LONG:
                yield f"{name}:{number}: over {LONG} columns"


def stale_drawing(house: House) -> Iterator[str]:
    path = house.core.top / DRAWING
    if not path.exists() or path.read_text() != draw(house.core):
        yield f"{DRAWING} is not what the includes say: tools/rooms --svg {DRAWING}"


RULES = (
    Rule("circles of calls", True, lambda house: in_circles(house.core.calls())),
    Rule("circles of includes", True, lambda house: in_circles(house.core.includes())),
    Rule("calls upward", True, lambda house: upward(house.core.calls())),
    Rule("includes upward", True, lambda house: upward(house.core.includes())),
    Rule("the view alone", True, lambda house: outside_of_the_view(house.core.calls())),
    Rule("readers", True, writing),
    Rule("guards of headers", True, guards),
    Rule("long lines", True, long_lines),
    Rule("circles of imports", True, lambda house: in_circles(house.modules.imports())),
    Rule("class names", True, twins),
    Rule("the drawing", True, stale_drawing),
)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/rooms", description="The layout of the core and of the package.")
    parser.add_argument("--all", action="store_true", help="also the rules that are not held yet")
    parser.add_argument("--figures", action="store_true", help="sizes, circles, names")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the rooms of csrc/")
    parser.add_argument("--top", type=Path, default=TOP, metavar="DIR", help="of another tree")
    parser.add_argument("--objects", type=Path, metavar="DIR", help="compiled there (default: TOP/.venv/core/objects)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    top = options.top.resolve()
    house = House(Core(top, options.objects or top / ".venv/core/objects"), Modules(top))
    if options.figures:
        for what, how_much in figures(house.core, house.modules):
            print(f"{what:<60} {how_much}")
        return 0
    if options.svg:
        options.svg.write_text(draw(house.core))
        return 0
    status = 0
    for rule in RULES:
        if rule.held or options.all:
            for complaint in rule.complaints(house):
                print(f"{rule.name}{'' if rule.held else ' (not held yet)'}: {complaint}")
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
