"""How subcommands speak with people: colours and columns, bars, completions for shells.

SPDX-License-Identifier: GPL-2.0-or-later
"""
