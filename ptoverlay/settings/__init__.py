"""What users and projects have set: profiles for runs, and what review and commit leave out.

SPDX-License-Identifier: GPL-2.0-or-later
"""
