"""Faults that tools/mutants puts into the core, one at a time, and the tests that have to notice them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
