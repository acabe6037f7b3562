"""The compiled core, csrc/, as cffi has it: `lib` with the functions of csrc/ptoverlay.h, `ffi` with its types.

Failure: it is not there, or not of this machine.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from ptoverlay.errors import Failure

try:
    from ptoverlay._core import ffi, lib
except ImportError as error:
    raise Failure("the compiled core", str(error), "install again with a C compiler: pip install ptoverlay") from error

__all__ = ["STACK_SIZE", "ffi", "lib"]

#: Bytes of the stack that a thread needs in which the core does what it can do; musl's own default is 128 KiB.
STACK_SIZE = 1 << 20
