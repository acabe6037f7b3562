"""with_sandlock.py LAYER TREE CMD…: runs CMD in TREE with sandlock's copy-on-write over TREE, all that it covers.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import sys


def main(layer: str, tree: str, *command: str) -> int:
    """CMD's exit status."""
    from sandlock import BranchAction, Sandbox, StdioMode

    box = Sandbox(workdir=tree, cwd=tree, fs_readable=["/"], fs_writable=[tree, "/dev"], fs_storage=layer,
                  on_exit=BranchAction.ABORT, on_error=BranchAction.ABORT)
    same = StdioMode.INHERIT
    return int(box.popen(command, stdin=same, stdout=same, stderr=same).wait().exit_code)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
