"""Roots to run in: one that busybox fills, and one of a Debian's shell, libraries and directories.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = ("cat", "chroot", "echo", "env", "id", "ln", "ls", "mkdir", "mv", "pwd", "readlink", "rm", "sh", "stat",
           "test", "touch")
#: What a Debian has besides files.
_LINKS = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}


def busybox_root(root: Path, applets: Sequence[str] = APPLETS) -> Path:
    """A root of one static program, as a small Alpine without its libraries."""
    for name in ("bin", "etc", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in applets:
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc/motd").write_text("inside\n")
    return root


def _libraries(program: Path) -> list[Path]:
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", done.stdout)]


def _put(root: Path, path: Path) -> None:
    """Copies a file of the host to where the root has it."""
    there = root / path.relative_to("/")
    if there.exists():
        return
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, there)


def skeleton(root: Path) -> Path:
    """The directories and links of a Debian whose /usr is empty."""
    for name in ("etc", "tmp", "root", "var/lib/dpkg/updates", "var/lib/dpkg/info", "var/log",
                 "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"):
        (root / name).mkdir(parents=True)
    for name, target in _LINKS.items():
        (root / name).symlink_to(target)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "var/lib/dpkg/status").write_text("")
    (root / "etc/motd").write_text("inside\n")
    return root


def debian_root(root: Path, programs: Sequence[str]) -> Path:
    """A Debian of these programs of the host and the libraries that they need."""
    skeleton(root)
    for name in programs:
        found = shutil.which(name)
        assert found, name
        program = Path(found)
        _put(root, program)
        for library in _libraries(program):
            _put(root, library)
    cache = Path("/etc/ld.so.cache")
    if cache.exists() and os.access(cache, os.R_OK):
        _put(root, cache)
    return root


def put_outside(area: Path) -> Iterator[tuple[Path, Path, int]]:
    """A fixture: a file, a socket and a process that are in no root."""
    place = area / "outside"
    place.mkdir()
    (place / "file").write_text("secret\n")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "s"))
        listener.listen()
        (place / "s").chmod(0o777)
        process = subprocess.Popen(["sleep", "1000"], cwd=place)
        yield place / "file", place / "s", process.pid
        process.kill()
        process.wait()
