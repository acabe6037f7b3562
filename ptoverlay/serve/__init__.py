"""A sandbox for programs that drive it: `protocol` says what is spoken, `server` and `mcp` speak it, `client` is the
other end, `engine` does the work.

SPDX-License-Identifier: GPL-2.0-or-later
"""
