"""What a run depended on and what it made, and the forms in which that is written: docs/record.rst.

SPDX-License-Identifier: GPL-2.0-or-later
"""
