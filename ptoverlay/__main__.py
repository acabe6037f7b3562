"""``python -m ptoverlay`` and the command ``ptoverlay``.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import sys

from ptoverlay.cli import command


def main() -> int:
    """The command line of this process; the return value is its exit status."""
    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
