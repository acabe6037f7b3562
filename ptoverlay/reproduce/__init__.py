"""Whether a command makes the same bytes under other circumstances, and if not, which of them it depends on.

SPDX-License-Identifier: GPL-2.0-or-later
"""
