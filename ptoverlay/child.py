"""What runs between a caller of the API and its CMD: `ptoverlay run`, whose failures go to a pipe instead of standard
error, so that they can be raised where the command was asked for.

Rules: CMD gets no descriptor that was not given to it; nothing is read from the environment, which is CMD's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import os

from ptoverlay import cli, options
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
        return run_and_exit(request)
    except Failure as failure:
        os.write(fd, pack(failure))
        return failure.status


def pack(failure: Failure) -> bytes:
    """For `unpack`."""
    fields = (str(failure.number), failure.what, failure.why, failure.remedy)
    return "\0".join(fields).encode("utf-8", "surrogateescape")


def unpack(data: bytes, command: str, cwd: str | None) -> Exception | None:
    """What to raise: an OSError when CMD or its directory is not there, else a Failure; None for no data."""
    if not data:
        return None
    number, what, why, remedy = data.decode("utf-8", "surrogateescape").split("\0")
    if number == "0":
        return Failure(what, why, remedy)
    return OSError(int(number), why, command if what == command or cwd is None else cwd)
