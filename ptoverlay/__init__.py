"""Overlayfs without a mount: run a program over a merged view of directories.

Importing this package imports nothing else: the start-up time of ``ptoverlay -- CMD`` is part of the
product.  The parts are `ptoverlay.options` (what was asked for), `ptoverlay.run` (carrying it out) and
`ptoverlay._core` (the compiled core: ``ffi`` and ``lib``, see csrc/ptoverlay.h).

SPDX-License-Identifier: GPL-2.0-or-later
"""

__version__ = "0.1.0"
