"""Many starts of ptoverlay at the same moment, in processes that are forked from one which has imported it already.

Run as a program, by whoever the starts are to belong to: it reads a JSON list of rounds, each a list of command
lines, and prints for each round a list of [exit status, what was written to standard error], in their order.

CMD's standard input ends when all starts of the round but one have ended: who runs `read` runs until then.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import time

LIMIT = 60.0  # seconds that a round may take


def _start(words: list[str], begin: int, stdin: int, ends: tuple[int, ...]) -> int:
    """ends: descriptors that are the starter's alone."""
    from ptoverlay.__main__ import command

    with tempfile.TemporaryFile() as messages:
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                for fd in ends:
                    os.close(fd)
                os.dup2(stdin, 0)
                os.dup2(messages.fileno(), 2)
                faulthandler.enable()  # a crash says where
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
                os.read(begin, 1)  # its end: all are there
                status = command(words)
            finally:
                os._exit(status)
        _MESSAGES[pid] = os.dup(messages.fileno())
    return pid


_MESSAGES: dict[int, int] = {}


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def one_round(lines: list[list[str]]) -> list[tuple[int, str]]:
    """Starts all of them, lets them go at once, and waits for all."""
    (begin, go), (stdin, end) = os.pipe(), os.pipe()
    pids = [_start(words, begin, stdin, (go, end)) for words in lines]
    for fd in (begin, stdin, go):
        os.close(fd)
    statuses: dict[int, int] = {}
    deadline = time.monotonic() + LIMIT
    while len(statuses) < len(pids):
        if len(statuses) == len(pids) - 1 or time.monotonic() > deadline:
            _close(end)
            end = -1
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            statuses[pid] = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(0.001)
    _close(end)
    return [(statuses[pid], _message(_MESSAGES.pop(pid))) for pid in pids]


def _message(fd: int) -> str:
    try:
        return os.pread(fd, 65536, 0).decode()
    finally:
        os.close(fd)


def main() -> None:
    """The program."""

    sys.stdout.write(json.dumps([one_round(lines) for lines in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
