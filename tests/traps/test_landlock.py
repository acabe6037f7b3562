"""The kernel's guard behind the trap: what a call that slipped past the supervisor could change.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.box import ROOT_DIRECTORY, Box
from support.faults import COMPILE, VIEW
from support.oracle import Who, as_user, run
from support.subjects import SOURCES
from support.trees import Node
from support.world import World

CONTENTS = ["write", "both", "append", "unnamed", "fifo"]
OF_TRUNCATE = ["open to truncate", "truncate"]
NAMES = ["create", "mkdir", "symlink", "mkfifo", "link", "rename", "rmdir", "unlink"]


@pytest.fixture(scope="session")
def domain(base: Path) -> Path:
    """tests/subjects/domain.c with the view and the guard."""
    program = base / "domain"
    sources = [SOURCES / "domain.c", *sorted(VIEW.glob("**/*.c")), ROOT_DIRECTORY / "csrc/command/landlock.c"]
    subprocess.run([*COMPILE, "-o", str(program), *map(str, sources)], check=True)
    return program


def _fill(directory: Path, who: Who) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "file").write_text("contents")
    os.mkfifo(directory / "fifo")
    for name in ("dir", "empty"):
        (directory / name).mkdir()
    for path in (directory, *directory.iterdir()):
        os.chown(path, who.uid, who.gid)


@pytest.mark.parametrize("covered", ["all", "part"])
@pytest.mark.parametrize("guarded", ["names", "contents"])
def test_what_slips_past(domain: Path, area: Path, who: Who, guarded: str, covered: str) -> None:
    """Where the supervisor opens files for the tracees nothing changes but by truncation, which it never passes; else
    no names but those of regular files."""
    for name in ("host", "upper", "work", "direct"):
        (area / name).mkdir()
        os.chown(area / name, who.uid, who.gid)
    for name in ("host", "upper", "direct"):
        _fill(area / name, who)
    output = area / "host/output"
    with output.open("w") as out:
        os.chown(output, who.uid, who.gid)
        places = [str(area / name) for name in ("host", "upper", "work", "direct")]
        command = [*as_user(who), str(domain), guarded, *places, "/" if covered == "all" else str(area / "host")]
        subprocess.run(command, stdout=out, check=True, timeout=60)
    found = dict(line.split(" = ") for line in output.read_text().splitlines())
    making = {f"{place} {what}" for place in ("host", "upper", "direct") for what in ["create", "link", *OF_TRUNCATE]}
    forbidden = {f"{place} {what}" for place in ("host", "upper", "direct") for what in NAMES} | making
    if guarded == "contents":
        tops = ("host", "upper", "direct")
        forbidden |= {f"{top} {what}" for top in tops for what in CONTENTS}
        forbidden -= {f"{top} {what}" for top in tops for what in OF_TRUNCATE}
        forbidden |= {"device", "standard output"}
    else:
        forbidden -= {what for what in making if not (covered == "all" and what.startswith("host "))}
    assert {what for what, result in found.items() if result == "-EACCES"} == forbidden
    assert {found[what] for what in found if what not in forbidden} == {"ok"}
    if guarded == "contents":
        assert sorted(os.listdir(area / "host")) == ["dir", "empty", "fifo", "file", "output"]


def test_standard_output_without_a_name(world: World) -> None:
    """A file that was removed, given as standard output, can be opened again by /dev/stdout, as without the guard."""
    world.lay_out([Node(".", "dir", 0o755)])
    box = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    path = world.home / "output"
    with path.open("w+") as file:
        os.chown(path, world.who.uid, world.who.gid)
        path.unlink()
        command = box.wrap(["/bin/sh", "-c", "echo first; echo second >>/dev/stdout"], Path("/"))
        subprocess.run(command, stdout=file, env=world.env, check=True, timeout=60)
        file.seek(0)
        assert file.read() == "first\nsecond\n"


def test_devices_and_fifos_of_the_lower(world: World) -> None:
    """They are used in place, for writing too."""
    world.lay_out([Node(".", "dir", 0o755), Node("fifo", "fifo", 0o666)])
    box = Box(world.subjects, world.who, Path("/"), [Path("/")], world.upper, world.work, trap=world.trap)
    script = f"cd {world.lowers[0]}; cat fifo & echo through >fifo; wait; echo >/dev/null; exec 3<>fifo; echo done"
    assert box.check(["/bin/sh", "-ec", script], env=world.env, cwd=Path("/")) == "through\ndone\n"
    world.assert_lowers_untouched(ignore=["^fifo$"])   # a listed difference: fifos are used in place
    world.freeze()
    assert run(["test", "-p", str(world.lowers[0] / "fifo")]).status == 0
