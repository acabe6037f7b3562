"""A layer that says everything that a layer can say, its archives, and their application by others.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from .oracle import Who, run
from .tool import Tool
from .trees import Node
from .world import World

MakeWorld = Callable[[Who, str], World]

NODES = [
    Node("a", content=b"a\n"),
    Node("b", content=b"b\n"),
    Node("c", content=b"c\n", xattrs={"user.kept": b"1"}),
    Node("d", "dir", 0o755),
    Node("d/x", content=b"x\n"),
    Node("d/sub", "dir", 0o755),
    Node("d/sub/y", content=b"y\n"),
    Node("e", "dir", 0o755),
    Node("e/z", content=b"z\n"),
    Node("old", "dir", 0o755),
    Node("old/1", content=b"1\n"),
    Node("old/2", content=b"2\n"),
    Node("r", "dir", 0o755),
    Node("r/1", content=b"r1\n"),
    Node("r/2", content=b"r2\n"),
]
#: Everything that a layer can say.
SCRIPT = """
echo more >>a; chmod 600 a; rm b; touch -d @123456789.123456789 c
rm -r e; mkdir e; echo new >e/new
rm d/x; echo long >d/sub/$(printf 'n%.0s' $(seq 200)); mkdir -p "n/$(printf 'm%.0s' $(seq 120))/o"
ln -s "$(printf 't%.0s' $(seq 150))" n/link; echo 1 >n/1; ln n/1 n/2; mkfifo n/fifo
setfattr -n user.bin -v 0x00ff01 n/1
rm old/1; mv r moved; rm moved/1; echo 3 >moved/3; echo 'ü' >'n/ü
line'; chmod 750 n; rm -r old; touch old
"""
FORMATS = ["oci", "overlayfs"]
IGNORE = [r"^\.$"]


def say_everything(world: World) -> World:
    """The layer, over a lower."""
    world.lay_out(NODES)
    Tool(world).script(SCRIPT)
    world.freeze()
    return world


def export(world: World, name: str, *words: str, env: dict[str, str] | None = None) -> Path:
    """The archive, in HOME."""
    path = world.home / name
    Tool(world).check("export", "-o", str(path), *words, env=env)
    return path


def lower_copy(world: World, name: str) -> Path:
    """A copy of the lower in HOME, to apply layers to."""
    path = world.home / name
    assert run(["cp", "-a", str(world.lowers[0]), str(path)]).status == 0
    return path


def apply_oci(archive: Path, target: Path) -> None:
    """Applies a layer as the OCI image-spec says, with tar(1) and nothing of ours."""
    listed = subprocess.run(["tar", "-tf", archive, "--quoting-style=literal"], capture_output=True, check=True)
    for entry in listed.stdout.decode("utf-8", "surrogateescape").split("\n"):
        directory, base = os.path.split(entry)
        if base == ".wh..wh..opq":
            for child in (target / directory).iterdir() if (target / directory).is_dir() else ():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        elif base.startswith(".wh."):
            gone = target / directory / base.removeprefix(".wh.")
            shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink(missing_ok=True)
    with tarfile.open(archive if archive.suffix != ".zst" else plain(archive)) as tar:
        for info in tar:
            place = target / info.name
            if place.is_dir() and not info.isdir():
                shutil.rmtree(place)
    done = run(["tar", "-xpf", archive, "-C", target, "--xattrs", "--xattrs-include=*", "--exclude=.wh.*"])
    assert done.status == 0, done.err


def plain(archive: Path) -> Path:
    """The archive without its compression, by zstd(1)."""
    target = archive.with_suffix("")
    if not target.exists():
        subprocess.run(["zstd", "-q", "-d", archive, "-o", target], check=True)
    return target
