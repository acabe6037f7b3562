"""The steps of a sandbox: record.py what is remembered of them, steps.py how they come and go, fold.py how layers
become one, states.py what the view was after a step.

SPDX-License-Identifier: GPL-2.0-or-later
"""
