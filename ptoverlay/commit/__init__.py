"""Commit: what a layer changes is done to the lower it lies on, and the layer holds it no more (`carry`).

SPDX-License-Identifier: GPL-2.0-or-later
"""
