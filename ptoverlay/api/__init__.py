"""The Python API: `overlay` puts its two halves together, commands (`running`) and what became of the layer (`work`).

SPDX-License-Identifier: GPL-2.0-or-later
"""
