"""Builds whose result depends on nothing but their inputs: what is fixed, and what they may see.

SPDX-License-Identifier: GPL-2.0-or-later
"""
