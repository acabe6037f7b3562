"""A sandbox that several commands run in at a time: talk.py how they speak with its supervisor, host.py the supervisor,
guest.py who joins, live.py the history meanwhile.

SPDX-License-Identifier: GPL-2.0-or-later
"""
