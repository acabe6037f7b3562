"""execve and all that starts programs: scripts, interpreters, descriptors, threads.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.box import Box
from support.compare import LISTED, all_of, assert_lines
from support.trees import Node, write
from support.world import World

#: Stands in the program's header for the path of its interpreter, which is known only later.
PLACEHOLDER = "/" + "X" * 200
SYSTEM_INTERPRETER = Path({"x86_64": "/lib64/ld-linux-x86-64.so.2",
                           "aarch64": "/lib/ld-linux-aarch64.so.1"}[os.uname().machine])


def _dynamic(world: World) -> bytes:
    """A program whose PT_INTERP is lib/interpreter in the tree."""
    program = world.subjects.path("show", f"-Wl,--dynamic-linker={PLACEHOLDER}", static=False)
    path = f"{world.mount}/lib/interpreter".encode()
    data = program.read_bytes()
    assert data.count(PLACEHOLDER.encode()) == 1
    return data.replace(PLACEHOLDER.encode(), path.ljust(len(PLACEHOLDER), b"\0"))


def _scripts(mount: Path) -> dict[str, str]:
    """Name → contents, below scripts/."""
    show = f"{mount}/bin/show"
    scripts = {
        "show": f"#!{show}\n",
        "sh": '#!/bin/sh\necho "  $0 $# $2 $3"\nexit 3\n',
        "opt": f"#!{show} -x\nrest\n",
        "spaces": f"#!  {show}   one two  three  \n",
        "tabs": f"#!\t{show}\t\ta\tb\t\n",
        "relative": "#!bin/show\n",
        "missing": f"#!{mount}/bin/absent\n",
        "missing-dir": f"#!{mount}/absent/absent\n",
        "no-newline": f"#!{show}",
        "only-marks": "#!",
        "blank": "#!   \n",
        "carriage": "#!/bin/sh\r\necho no\n",
        "directory": f"#!{mount}/bin\n",
        "plain": f"#!{mount}/file\n",
        "long-option": f"#!{show} {'o' * 300}\n",
        "long-name": f"#!{mount}/{'p' * 300}\n",
        "env": "#!/usr/bin/env -S sh -e\necho env $#\n",
        "loop": f"#!{mount}/scripts/loop\n",
    }
    for i in range(1, 7):
        before = "show" if i == 1 else f"nested{i - 1}"
        scripts[f"nested{i}"] = f"#!{mount}/scripts/{before} n{i}\n"
    return scripts


def _tree(world: World) -> list[Node]:
    program = world.subjects.path("show").read_bytes()
    nodes = [
        Node("bin", "dir", 0o755),
        Node("bin/show", mode=0o755, content=program),
        Node("bin/show-dynamic", mode=0o755, content=_dynamic(world)),
        Node("bin/link", "link", target="show"),
        Node("bin/dangling", "link", target="nowhere"),
        Node("bin/loop", "link", target="loop"),
        Node("bin/plain", mode=0o644, content=program),
        Node("bin/empty", mode=0o755),
        Node("bin/text", mode=0o755, content=b"echo not a program\n"),
        Node("bin/noexec-script", mode=0o644, content=b"#!/bin/sh\n"),
        Node("bin/short", mode=0o755, content=b"#"),
        Node("bin/broken", mode=0o755, content=program[:60]),
        Node("lib", "dir", 0o755),
        Node("lib/interpreter", mode=0o755, content=SYSTEM_INTERPRETER.read_bytes()),
        Node("scripts", "dir", 0o755),
        Node("scripts/link", "link", target="show"),
    ]
    scripts = _scripts(world.mount)
    return nodes + [Node(f"scripts/{name}", mode=0o755, content=text.encode()) for name, text in scripts.items()]


@pytest.mark.root_only
@pytest.mark.parametrize("trap", ["none"], indirect=True)
def test_oracle(world: World) -> None:
    """The kernel's overlayfs runs programs as a plain directory does."""
    world.lay_out_standard(more=_tree(world))
    program = [world.subjects.path("exec"), world.mount]
    plain = world.plain().check(program, env=world.env)
    kernel = world.kernel().check(program, env=world.env)
    assert_lines("exec on the kernel's overlayfs", plain, kernel, LISTED["kernel"], "exec", world.who.name)


def test_box(world: World) -> None:
    """So does the box."""
    world.lay_out_standard(more=_tree(world))
    program = [world.subjects.path("exec"), world.mount]
    plain = world.plain().check(program, env=world.env)
    box = world.box().check(program, env=world.env)
    all_of(
        lambda: assert_lines("exec in ptoverlay", plain, box, LISTED["box"], "exec", world.who.name),
        world.assert_same_tree,
    )


def test_interpreters_of_several_names(world: World) -> None:
    """Their number of links, which may show otherwise once another file lost a name, is nothing to who executes."""
    nodes = [Node(".", "dir", 0o755), Node("lib", "dir", 0o755), Node("bin", "dir", 0o755), Node("one"),
             Node("two", "hard", target="one"), Node("bin/show", mode=0o755, content=_dynamic(world)),
             Node("lib/interpreter", mode=0o755, content=SYSTEM_INTERPRETER.read_bytes()),
             Node("lib/again", "hard", target="lib/interpreter")]
    for directory in (world.mount, world.plain_directory):
        write(directory, nodes, world.owner)
    text = """
import os
def run(program):
    pid = os.fork()
    if pid == 0:
        try:
            os.execve(program, ["show"], {})
        except OSError as error:
            print("   ", error.strerror, flush=True)
            os._exit(1)
    print(os.waitpid(pid, 0)[1], flush=True)
unnamed = os.memfd_create("unnamed")
os.write(unnamed, open("bin/show", "rb").read())
os.unlink("one")
run(unnamed)
writer = os.open("bin/show", os.O_WRONLY)
run("bin/show")
"""
    command = [sys.executable, "-c", text]
    plain = world.plain().check(command, env=world.env)
    assert "Text file busy" in plain
    box = Box(world.subjects, world.who, world.mount, [world.mount], world.upper, world.work, trap=world.trap)
    assert box.check(command, env=world.env) == plain
