"""Removes a whole directory, whatever a program has left in it (csrc/front/tree.c says how).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os

from ptoverlay.core import ffi, lib

_NAME = 4096


def remove_tree(top: str) -> None:
    """Removes the directory `top` and all below it.  OSError, with the name of what cannot be removed."""
    failed = ffi.new("char[]", _NAME)
    error = lib.pto_remove_tree(os.fsencode(top), failed, _NAME)
    if error:
        raise OSError(-error, os.strerror(-error), os.fsdecode(ffi.string(failed)))
