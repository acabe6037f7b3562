"""Layers as archives: written for others, and read from them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
