"""A sandbox as an image: one layer for each sandbox that it was forked from, and its own on top; below them the layers
of the image that the first one was made on.

Rules: every layer is read through the view that its sandbox has: an image holds what its commands have seen.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from ptoverlay import __version__
from ptoverlay.console.progress import Progress, silent
from ptoverlay.history.fold import flattened
from ptoverlay.sandboxes.sandbox import Sandbox
from ptoverlay.ship import export
from ptoverlay.ship.base import remembered
from ptoverlay.ship.oci import Layer, write_layout

_MADE_BY = f"ptoverlay {__version__} export"  # nothing of where or by whom: --reproducible



def write_image(boxes: Sequence[Sandbox], directory: str, tag: str, compression: str, options: export.Style,
                progress: Progress = silent) -> str:
    """Writes an image of these sandboxes, the lowest first (see `Sandbox.chain`), into an image layout: its manifest's
    digest."""
    with ExitStack() as stack:
        boxes = [stack.enter_context(flattened(box)) for box in boxes]
        views = [(box, stack.enter_context(box.view()).show_faked()) for box in boxes]
        advance = stack.enter_context(progress(sum(export.size(box, view) for box, view in views)))
        layers = [Layer(partial(export.write, box, view, options=options, advance=advance), _MADE_BY)
                  for box, view in views]
        image = boxes[0].metadata.image
        below = remembered(image) if image else None
        return write_layout(directory, tag, compression, layers, options.epoch, below)
