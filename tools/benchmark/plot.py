"""The ratios as a picture: one line a row, one mark a peer, on a logarithmic scale.

Rules: the same figures give the same bytes; matplotlib is imported only here.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .peers import NATIVE, OURS
from .results import Results
from .rows import MIB, ROWS
from .table import TITLES

#: Of the peers: colour and mark; ours stand out.
STYLES = {"notify": ("#c00000", "o"), "ptrace": ("#e07000", "s"), "kernel": ("#303030", "D"), "fuse": ("#1060b0", "^"),
          "proot": ("#208040", "v"), "sandlock": ("#8040a0", "P"), "strace": ("#909090", "x")}


def plotted(results: Results) -> list[str]:
    """Rows with a ratio."""
    return [row for row in results.rows if ROWS[row].unit != MIB
            and any(results.ratio(row, peer) for peer in results.peers if peer != NATIVE)]


def draw_peer(axes: Axes, results: Results, peer: str, rows: list[str], offset: float) -> None:
    """All marks of one peer, with bars from the lowest to the highest ratio."""
    found = [(at + offset, results.ratio(row, peer)) for at, row in enumerate(rows)]
    there = [(at, ratio) for at, ratio in found if ratio]
    if not there:
        return
    colour, mark = STYLES[peer]
    medians = [ratio.median for _, ratio in there]
    bars = [[ratio.median - ratio.low for _, ratio in there], [ratio.high - ratio.median for _, ratio in there]]
    axes.errorbar(medians, [at for at, _ in there], xerr=bars, fmt=mark, color=colour, label=TITLES[peer],
                  markersize=6 if peer in OURS else 4.5, elinewidth=1, zorder=3 if peer in OURS else 2)


def draw(results: Results, path: Path) -> None:
    """Writes the picture; its suffix says in which format."""
    rows = plotted(results)
    peers = [peer for peer in STYLES if peer in results.peers]
    with mpl.rc_context({"svg.hashsalt": "ptoverlay", "svg.fonttype": "path", "font.size": 9}):
        whole = Figure(figsize=(9.5, 1.4 + 0.36 * len(rows)), layout="constrained")
        axes = whole.subplots()
        for i, peer in enumerate(peers):
            draw_peer(axes, results, peer, rows, (i - (len(peers) - 1) / 2) * 0.11)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [ROWS[row].title for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        for at in range(0, len(rows), 2):
            axes.axhspan(at - 0.5, at + 0.5, color="#f3f3f3", zorder=0)
        axes.grid(axis="x", which="both", linewidth=0.3)
        axes.set_xlabel("times native (logarithmic); bars: lowest and highest round")
        whole.legend(loc="outside upper center", ncols=len(peers), frameon=False)
        whole.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
