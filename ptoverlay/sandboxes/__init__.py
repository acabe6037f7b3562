"""Layers that are kept: found by a name or by their directories, run in again, and what is known of their runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
