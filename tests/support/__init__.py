"""What the tests share: subjects in C, trees to work on, snapshots of them, the kernel's overlayfs and the box itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""
