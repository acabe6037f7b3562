"""What tools/bench is made of: peers, trees, rows, rounds, figures, and the ways to show them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
