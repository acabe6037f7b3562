"""The rooms of csrc/ as a drawing: boxes on floors with the files that are in them, arrows from what they include.

Rules: the same tree gives the same bytes, so that the lint can tell whether the committed drawing has become stale.  An
arrow that follows from others is left out.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from . import floors
from .core import Core

WIDTH = 1060     # of the drawing
GAP = 44         # between floors, where the arrows are
LINE = 15        # of text
LETTER = 6.9     # width of one in the small text
MARGIN = 12
STYLE = """
  text { font: 11px monospace; fill: #333 }
  .room { font: bold 13px sans-serif; fill: #111 }
  rect { fill: #f6f4ee; stroke: #8a8272; rx: 4 }
  rect.view { fill: #e9f1f7; stroke: #6d8aa3 }
  path { fill: none; stroke: #555; stroke-width: 1.2; marker-end: url(#end) }
  path.up { stroke: #c22; stroke-dasharray: 5 3 }
""".strip("\n")


@dataclass(frozen=True)
class Box:
    room: str
    x: float
    y: float
    width: float
    lines: list[str]

    @property
    def height(self) -> float:
        return LINE * (len(self.lines) + 1) + 2 * MARGIN - 6


def draw(core: Core) -> str:
    files = _files(core)
    uses = _uses(core)
    boxes = dict(_boxes(files, uses))
    height = max(box.y + box.height for box in boxes.values()) + MARGIN
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
             f'viewBox="0 0 {WIDTH} {height:.0f}">',
             "<!-- Made by tools/rooms from the includes of csrc/. SPDX-License-Identifier: GPL-2.0-or-later -->",
             f"<style>\n{STYLE}\n</style>",
             '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
             'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#555;stroke:none;marker-end:none"/></marker></defs>']
    lines += [_arrow(boxes[one], boxes[other]) for one in boxes for other in sorted(_direct(uses, one))]
    for box in boxes.values():
        lines += _drawn(box)
    return "\n".join([*lines, "</svg>", ""])


def _files(core: Core) -> dict[str, list[str]]:
    """The files of each room that has any, without their endings, by name."""
    found: dict[str, set[str]] = {}
    doors = {Path(door).stem for door in floors.DOORS}
    for name in core.texts:
        found.setdefault(floors.room(name), set()).update({Path(name).stem} - doors)
    return {one: sorted(found[one]) for one in floors.rooms() if one in found}


def _uses(core: Core) -> dict[str, set[str]]:
    uses: dict[str, set[str]] = {}
    for name, others in core.includes().items():
        here = uses.setdefault(floors.room(name), set()) if name not in floors.DOORS else set()
        here |= {floors.room(other) for other in others if not floors.is_inside(name, other)}
        here.discard(floors.room(name))
    return uses


def _below(uses: dict[str, set[str]], one: str) -> set[str]:
    """What a room uses, directly or by others, as long as the way leads down."""
    found: set[str] = set()
    for other in uses.get(one, ()):
        if floors.floor(other) < floors.floor(one):
            found |= {other, *_below(uses, other)}
    return found


def _direct(uses: dict[str, set[str]], one: str) -> set[str]:
    """The arrows of a room: what does not follow from the others, and what leads up."""
    return {other for other in uses.get(one, ())
            if not any(other in _below(uses, over) for over in uses[one] if floors.floor(over) < floors.floor(one))}


def _level(uses: dict[str, set[str]], one: str) -> int:
    return max((1 + _level(uses, other) for other in uses.get(one, ()) if floors.floor(other) < floors.floor(one)),
               default=0)


def _boxes(files: dict[str, list[str]], uses: dict[str, set[str]]) -> Iterator[tuple[str, Box]]:
    """From the top floor down; rooms that are as far from the ground stand side by side."""
    y: float = MARGIN
    levels = {one: _level(uses, one) for one in files}
    for level in sorted(set(levels.values()), reverse=True):
        row = [one for one in files if levels[one] == level]
        width = min(620.0, (WIDTH - MARGIN * (2 + 3 * (len(row) - 1))) / len(row))
        x = (WIDTH - width * len(row) - 3 * MARGIN * (len(row) - 1)) / 2
        made = [Box(one, x + n * (width + 3 * MARGIN), y, width, _wrapped(files[one], width))
                for n, one in enumerate(row)]
        yield from ((box.room, box) for box in made)
        y += max(box.height for box in made) + GAP


def _wrapped(words: list[str], width: float) -> list[str]:
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > (width - 2 * MARGIN) / LETTER:
            lines.append("")
        lines[-1] += f"{'  ' if lines[-1] else ''}{word}"
    return lines


def _arrow(box: Box, other: Box) -> str:
    """From below the box that uses to above the one that is used, behind those between."""
    up = other.y <= box.y
    x1, x2 = box.x + box.width / 2, other.x + other.width / 2
    if len({box.x, other.x}) > 1:   # side by side with other arrows
        x1 += (x2 - x1) * 0.12
    y1, y2 = (box.y, other.y + other.height) if up else (box.y + box.height, other.y)
    bend = (y2 - y1) / 2 if abs(y2 - y1) <= GAP else (GAP if y2 > y1 else -GAP)
    kind = ' class="up"' if up else ""
    return (f'<path{kind} d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} '
            f'{x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"/>')


def _drawn(box: Box) -> list[str]:
    kind = ' class="view"' if box.room.startswith("view/") else ""
    title = " and ".join(f"{one}/" for one in box.room.split("+"))
    x = box.x + MARGIN
    lines = [f'<rect{kind} x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}"/>',
             f'<text class="room" x="{x:.0f}" y="{box.y + MARGIN + 6:.0f}">{escape(title)}</text>']
    for number, line in enumerate(box.lines, 1):
        y = box.y + MARGIN + 6 + LINE * number
        lines.append(f'<text x="{x:.0f}" y="{y:.0f}" xml:space="preserve">{escape(line)}</text>')
    return lines
