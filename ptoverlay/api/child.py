"""What runs between a caller of the API and its CMD: `ptoverlay run`, which tells the caller by a pipe that CMD runs,
or why it could not, to be raised where CMD was asked for.

Rules: CMD gets no descriptor that was not given to it; nothing is read from the environment, which is CMD's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os

from ptoverlay import cli, options
from ptoverlay.api.beginning import Beginning, pack
from ptoverlay.errors import Failure


def main(fd: int, temporary: bool, words: list[str]) -> int:
    """Runs the words of `ptoverlay run`; a Failure is written to `fd` as `pack` has it.

    temporary: the upper goes away soon, so nothing need be synced.
    """
    os.set_inheritable(fd, False)
    try:
        request = cli.parse(words)
        request.overlays[0].flags |= options.TEMPORARY * temporary
        from ptoverlay.run import run_and_exit
        return run_and_exit(request, beginning=Beginning(fd))
    except Failure as failure:
        os.write(fd, pack(failure))
        return failure.status
