"""Runs that are remembered: their changes, output and status in place of a run whose inputs are the same.

SPDX-License-Identifier: GPL-2.0-or-later
"""
