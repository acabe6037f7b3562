"""Programs with as many threads as the supervisor may have descriptors: EMFILE of ours is no error of theirs.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.box import command
from support.oracle import as_user, run
from support.world import World

LIMIT = 256
THREADS = 400
#: All threads are there before one ends, and each makes, reads and removes files of its own; no more of them have one
#: open at a time than the program itself may.
PROGRAM = f"""
import os, resource, threading
threading.stack_size(65536)
barrier, gate, wrong = threading.Barrier({THREADS}), threading.Semaphore({LIMIT // 2}), []
def work(n):
    barrier.wait()
    try:
        for i in range(3):
            with gate:
                fd = os.open(f"t{{n}}-{{i}}", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                os.write(fd, b"x")
                os.close(fd)
            os.stat("file")
        os.unlink(f"t{{n}}-0")
        os.rename(f"t{{n}}-1", f"r{{n}}")
    except OSError as error:
        wrong.append(error)
    barrier.wait()
threads = [threading.Thread(target=work, args=(n,)) for n in range({THREADS})]
for each in threads: each.start()
for each in threads: each.join()
print(wrong, resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.heavy
def test_more_threads_than_descriptors(world: World) -> None:
    """Under a hard limit; CMD has the limit that it was started with."""
    world.lay_out_standard()
    lowers = ":".join(map(str, world.lowers))
    words = [*command(), "run", "--trap", world.trap, "-l", lowers, "-u", str(world.upper), "-w", str(world.work),
             "-m", str(world.mount), "-C", str(world.mount), "--", sys.executable, "-c", PROGRAM]
    limited = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *as_user(world.who), *words]
    done = run(limited, env=world.env, cwd=world.mount, timeout=300)
    assert (done.status, done.out, done.err) == (0, f"[] ({LIMIT}, {LIMIT})\n", "")
    names = {path.name for path in Path(world.upper).iterdir()}
    assert names == {f"r{n}" for n in range(THREADS)} | {f"t{n}-2" for n in range(THREADS)}
