"""What layers hold and what they change: read through the merged view, and put right or undone.

SPDX-License-Identifier: GPL-2.0-or-later
"""
