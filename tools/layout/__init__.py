"""What tools/rooms knows: the floors of the house, and how files use each other.

SPDX-License-Identifier: GPL-2.0-or-later
"""
