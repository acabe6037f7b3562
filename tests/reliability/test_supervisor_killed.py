"""The supervisor is killed at random moments of a build: nothing goes on without it, and the lower is untouched.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import random
import select
import subprocess

import pytest
from support.trees import Node
from support.world import World

BUILD = """
echo begun
for round in 1 2 3 4 5 6 7 8; do
    for part in a b c d; do
        (gcc -c -o $part$round.o source.c; cp header.h $part$round.h; mv $part$round.h moved-$part; rm -f moved-$part
         echo built) &
    done
    wait
    echo $round >>header.h; mkdir -p out; mv *.o out; setsid sh -c 'sleep 0; echo daemon >>log' &
done
"""


#: Descriptors are closed in their order when a process ends: this one after those that hold the layers.
LAST = 900


def _killed_run(world: World, moments: random.Random, by_output: bool) -> bool:
    """Starts a build and kills the supervisor.  True: all that ran, whoever it was, has ended."""
    script = BUILD.replace("echo $round", "echo '#define HEADER'")
    alive, held = os.pipe()
    os.dup2(held, LAST)
    os.close(held)
    with subprocess.Popen(world.box().wrap(["/bin/sh", "-c", script], world.mount), stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, env=world.env, pass_fds=[LAST]) as process:
        os.close(LAST)
        assert process.stdout is not None
        if by_output:
            for _ in range(moments.randrange(1, 20)):
                process.stdout.readline()
        else:
            select.select([process.stdout], [], [], moments.uniform(0, 0.4))
        process.kill()
    ended = bool(select.select([alive], [], [], 30)[0])
    os.close(alive)
    return ended


@pytest.mark.debian("gcc")
def test_killed_at_random_moments(world: World) -> None:
    """By what a build has printed, and by time while it starts."""
    moments = random.Random(1)
    world.lay_out([Node(".", "dir", 0o755), Node("source.c", content=b'#include "header.h"\nint main(void) {}\n'),
                   Node("header.h", content=b"#define HEADER\n")])
    for round_ in range(8):
        assert _killed_run(world, moments, by_output=round_ % 2 == 1), "a process goes on"
        world.assert_lowers_untouched()
    assert world.box().check(["cat", "source.c"], env=world.env).startswith("#include")
