"""Subcommands: ``ptoverlay NAME …``, a module each, found and run by `dispatch`.

SPDX-License-Identifier: GPL-2.0-or-later
"""
