"""What runs between a caller of the API and its CMD: `ptoverlay run`, which tells the caller by a pipe that CMD runs,
or why it could not, to be raised where CMD was asked for.

Rules: CMD gets no descriptor that was not given to it; nothing is read from the environment, which is CMD's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os

from ptoverlay import cli, options
from ptoverlay.api.beginning import Beginning, pack
from ptoverlay.errors import Failure

BUILD = "build"  # the first word of those that are of `ptoverlay build`


def main(fd: int, temporary: bool, words: list[str]) -> int:
    """Runs the words of `ptoverlay run`, or of `ptoverlay build` behind the word `BUILD`; a Failure is written to `fd`
    as `pack` has it.

    temporary: the upper goes away soon, so nothing need be synced.
    """
    os.set_inheritable(fd, False)
    try:
        if words[:1] == [BUILD]:
            from ptoverlay.commands.build import of_words, run_build
            build, request = of_words(words[1:])
            request.overlays[0].flags |= options.TEMPORARY * temporary
            return run_build(build, request, Beginning(fd))
        request = cli.parse(words)
        request.overlays[0].flags |= options.TEMPORARY * temporary
        if request.name is not None:
            from ptoverlay.sandboxes.keep import run_kept
            return run_kept(request, Beginning(fd))
        from ptoverlay.run import run_and_exit
        return run_and_exit(request, beginning=Beginning(fd))
    except Failure as failure:
        os.write(fd, pack(failure))
        return failure.status
