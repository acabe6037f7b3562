"""What named sandboxes are called, and where they are kept.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re

from ptoverlay.errors import Failure

_NAME = re.compile(r"\w[\w.+@-]{0,99}")


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """The name, or Failure for one that cannot be a sandbox's."""
    if not is_name(name):
        raise Failure(f"sandbox {name!r}", "a name is made of letters, digits and . _ + @ -, and begins with a letter "
                      "or digit")
    return name


def sandboxes_path() -> str:
    """Where named sandboxes are kept; it need not exist.

    Root's own home is closed to the programs that change their ids, so root's sandboxes are below /var/lib.  XDG Base
    Directory Specification; platformdirs says the same, and takes as long to be imported as all that joining needs.
    """
    named = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(named):
        state = named
    elif named or os.geteuid() != 0:
        state = os.path.expanduser("~/.local/state")
    else:
        state = "/var/lib"
    return os.path.join(state, "ptoverlay", "sandboxes")
