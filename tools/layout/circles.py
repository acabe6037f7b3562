"""Circles of files that use each other, and the shortest chain that shows one.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from .core import Uses


def _reached(uses: Uses, start: str) -> dict[str, str]:
    """What a file leads to → over which file, the shortest way."""
    over: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        for other in sorted(uses.get(name, ())):
            if other not in over:
                over[other] = name
                waiting.append(other)
    return over


def _chain(over: dict[str, str], start: str) -> list[str]:
    chain = [start, over[start]]
    while chain[-1] != start:
        chain.append(over[chain[-1]])
    return chain[::-1]


def circles(uses: Uses) -> Iterator[tuple[list[str], list[str]]]:
    """(the files of a circle, the shortest chain in it, which ends where it begins)."""
    reached = {name: _reached(uses, name) for name in uses}
    rest = sorted(name for name in uses if name in reached[name])
    while rest:
        together = [name for name in rest if name in reached[rest[0]] and rest[0] in reached[name]]
        yield together, min((_chain(reached[name], name) for name in together), key=len)
        rest = [name for name in rest if name not in together]


def told(uses: Uses, chain: list[str]) -> str:
    """a.c → b.c (some, names) → a.c"""
    words = [chain[0]]
    for before, name in pairwise(chain):
        names = sorted(uses[before][name])
        shown = f" ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})" if names else ""
        words.append(f"{name}{shown}")
    return " → ".join(words)
