"""What a run did: its calls as they happen, its times and counts, and a page about all of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
