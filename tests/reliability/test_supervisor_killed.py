"""The supervisor is killed at random moments: nothing goes on without it, the lower is untouched, and the layer has all
that the program had done.

PTOVERLAY_TEST_KILLS: how often by each user and trap, in the test of what is lost (default: 4).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
from pathlib import Path

import pytest
from support import steps
from support.oracle import as_user, run
from support.snapshot import Snapshot, differences, parse
from support.trees import OLD, Node, remove
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


# ---- nothing is lost

KILLS = int(os.environ.get("PTOVERLAY_TEST_KILLS", "4"))
#: Steps of a program that nobody kills; which of them is the last one that is let be done, at most.
STEPS, LAST_STEP = 2000, 120
PROGRAM = Path(steps.__file__)
LOWER = [Node(".", "dir", 0o755), *(Node(name, content=b"old\n" * 500) for name in steps.FILES),
         *(Node(name, "dir", 0o755) for name in steps.DIRECTORIES),
         *(Node(f"{name}/inside", content=b"inside\n") for name in steps.DIRECTORIES)]


def _steps_done(world: World, seed: int, random_: random.Random) -> int:
    """Runs the program and kills the supervisor after some steps, or some time; how many steps it has told of."""
    program = world.home / "steps.py"
    command = world.box().wrap([sys.executable, program, str(seed), str(STEPS)], world.mount)
    alive, held = os.pipe()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=world.env,
                          pass_fds=[held]) as process:
        os.close(held)
        assert process.stdout is not None
        told = b""
        if random_.random() < 0.8:
            last = random_.randrange(1, LAST_STEP)
            while told.count(b"\n") < last and (more := os.read(process.stdout.fileno(), 1 << 16)):
                told += more
        else:
            select.select([process.stdout], [], [], random_.uniform(0, 0.3))
        process.kill()
        assert select.select([alive], [], [], 30)[0], "a process goes on"  # and what they said is all in the pipe
        told += process.stdout.read()
    os.close(alive)
    return told.count(b"\n")


def _native(world: World, seed: int, count: int) -> Snapshot:
    """What so many steps make of a copy of the lower."""
    copy = world.area / "native"
    assert run(["cp", "-a", world.lowers[0], copy]).status == 0
    done = run([*as_user(world.who), sys.executable, world.home / "steps.py", str(seed), str(count)], cwd=copy)
    assert done.status == 0, done.err
    found = parse(run([world.subjects.path("tree"), copy]).out)
    remove(copy)
    return found


def test_what_was_done_is_there(world: World) -> None:
    """A program tells of each step after it; a killed run leaves all that it told of, and at most one step more."""
    world.lay_out(LOWER)
    (world.home / "steps.py").write_bytes(PROGRAM.read_bytes())
    random_ = random.Random(f"{world.who.name} {world.trap}")
    some = 0
    for number in range(KILLS):
        seed = random_.randrange(1 << 30)
        done = _steps_done(world, seed, random_)
        some += 0 < done < STEPS
        found = world.box().snapshot()
        lost = differences(_native(world, seed, done), found)
        if lost and differences(_native(world, seed, done + 1), found):
            raise AssertionError("\n".join([f"kill {number}, seed {seed}, after {done} steps:", *lost[:40]]))
        world.assert_lowers_untouched()
        for layer in (world.upper, world.work):
            remove(layer)
            layer.mkdir(0o755)
            os.chown(layer, *world.owner)
            os.utime(layer, ns=(OLD, OLD))
    assert some > KILLS / 2
