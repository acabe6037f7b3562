"""Programs that a debugger traces, inside the view or around the run, by the trap that leaves ptrace(2) to them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess

import pytest
from support.box import traps
from support.trees import Node
from support.world import World

pytestmark = [
    pytest.mark.parametrize("trap", [trap for trap in traps() if trap == "notify"], indirect=True),
    pytest.mark.debian("strace", "gcc", "libc6-dev"),
]

PROGRAM = rb"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
int main(int argc, char **argv) {
    printf("%s %s %d", argv[0], (char *)getauxval(AT_EXECFN), argc);
    for (int i = 1; i < argc; i++)
        printf(" %s", argv[i]);
    printf(" %s\n", getenv("WORD") ? getenv("WORD") : "none");
    return 3;
}
"""
BUILD = r"""
gcc -o a.out program.c
printf '#!/bin/sh\necho script "$0" "$#" "$@" $WORD\nexit 4\n' >s.sh; chmod +x s.sh
printf '#!/bin/sh -e\nfalse; echo wrong\n' >failing; chmod +x failing
printf '#!./a.out arg\n' >by-own; chmod +x by-own
"""
#: Each is run in the directory of the program, after BUILD, with and without a debugger.
DIRECT = ("./a.out", "./a.out 1 22 333 ''", '"$PWD/a.out" x', "WORD=word ./a.out x", "./s.sh 1 22 ''", '"$PWD/s.sh" 1',
          "./failing")
COMMANDS: dict[str, str | tuple[str, ...]] = {
    "direct": DIRECT,
    "shell": "sh -c './a.out y; ./s.sh z; echo $?; cd lower; ../a.out; cd ..; ./a.out'",
    "bash": "bash -c './a.out y; ./s.sh z; echo $?; cd lower; pwd; ../a.out; cd ..; ./a.out'",
    "python": """python3 -c 'import os, subprocess
for line in (["./a.out", "1"], ["./s.sh", "1", "2"], ["lower/../a.out"]):
    print(subprocess.run(line, stdout=subprocess.PIPE))
os.chdir("lower")
print(os.getcwd(), os.path.exists("file"), os.path.exists("new"), subprocess.run(["../a.out"]))'""",
    "directories": r"""sh -c 'mkdir -p build/deep; cd build; pwd; ../a.out; cd deep; pwd -P; echo x >file
(cd ..; ls; pwd); cat ../deep/file; cd ../../lower; ls; cd /; cd "$OLDPWD"; pwd; mv ../build ../moved; cd ../moved/deep
/bin/pwd; ls file; readlink /proc/self/cwd; cd ..; rmdir deep; rm deep/file; rmdir deep; mkdir -p 1/2
cd 1/2; rm -r ../../1; pwd; cd ..
cd "$HOME/../mnt"; find moved lower -type f; rm -r moved; cd nowhere || cd s.sh || ls -d *r*'""",
    "descriptors of directories": """python3 -c 'import os
os.mkdir("new-dir")
here, there = os.open(".", os.O_RDONLY), os.open("new-dir", os.O_RDONLY)
os.chdir("new-dir"); open("x", "w").close()
os.fchdir(here); print(os.getcwd(), os.path.exists("x"))
os.fchdir(there); print(os.getcwd(), os.listdir("."))
if os.fork() == 0:
    os.chdir(".."); os.mkdir("of-child"); os.chdir("of-child"); print(os.getcwd(), flush=True); os._exit(0)
os.wait(); print(os.getcwd()); os.rmdir("../of-child"); os.unlink("x"); os.rmdir("../new-dir")
for call in (os.getcwd, lambda: os.fchdir(there), lambda: os.fchdir(99), lambda: os.fchdir(os.open("/etc/passwd", 0))):
    try:
        print(call())
    except OSError as error:
        print(error)'""",
    "make": "make -s -f makefile",
}
MAKEFILE = b"""all:
\tgcc -c program.c -o other.o && gcc -o other other.o
\t-./other x
\t-./s.sh x
\tcat lower/new
"""


@pytest.fixture
def tree(world: World) -> World:
    """A program's source, a directory that the view has more in."""
    world.lay_out([
        Node(".", "dir", 0o755), Node("program.c", "file", 0o644, PROGRAM), Node("makefile", "file", 0o644, MAKEFILE),
        Node("lower", "dir", 0o755), Node("lower/file", "file", 0o644, b"lower\n"),
    ])
    return world


@pytest.mark.parametrize("what", COMMANDS)
def test_what_was_just_built(tree: World, what: str) -> None:
    """It runs under strace as it does without, and is told the same."""
    found = COMMANDS[what]
    commands = (found,) if isinstance(found, str) else found
    traced = [f"strace -f -o trace {c}".replace("strace -f -o trace WORD=word", "WORD=word strace -f -o trace")
              for c in commands]
    lines = [BUILD, "echo new >lower/new; touch trace", *(f"{c}; echo status $?" for c in commands), "echo =====",
             *(f"{c}; echo status $?" for c in traced), "grep -c execve trace >/dev/null"]
    done = tree.box().run(["sh", "-c", "\n".join(lines)], env=tree.env)
    expected, under_strace = done.out.split("=====\n")
    assert under_strace == expected, done.err
    assert "status" in expected


def test_around_the_run(tree: World) -> None:
    """strace -f of ptoverlay itself."""
    script = BUILD + "echo new >lower/new; ./a.out x; ./s.sh y; cd lower; cat new; ../a.out z; cd ..; cat lower/new"
    expected = tree.box().run(["sh", "-c", script], env=tree.env)
    command = ["strace", "-f", "-o", os.devnull, *tree.box().wrap(["sh", "-c", script], tree.mount)]
    done = subprocess.run(command, env=tree.env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (expected.out, "", 0)
    assert "script ./s.sh 1 y" in done.stdout
