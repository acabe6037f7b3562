"""What tools/bench-commit runs: layers of many small files, each committed, and copied by `cp -a SRC DST && sync`.

Rules: both happen in the same round, in turn, on one file system, and nothing is left to be written before either; the
layer is made by a run; a goal that is missed makes the exit status 1.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
DIRECTORIES = 200
#: An ACL that gives user 1234 the right to read (acl(5), linux/posix_acl_xattr.h).
ACL = bytes.fromhex("02000000 01000600ffffffff 02000400d2040000 04000400ffffffff 10000400ffffffff 20000400ffffffff")


def paths(top: str, files: int) -> list[str]:
    """So many, in two levels of directories, which are made."""
    directories = [f"{top}/part{i // 20}/directory{i}" for i in range(DIRECTORIES)]
    for directory in directories:
        os.makedirs(directory, exist_ok=True)
    return [f"{directories[i % DIRECTORIES]}/file{i}" for i in range(files)]


def write(path: str, number: int) -> None:
    """1 to 4,000 bytes."""
    with open(path, "wb") as file:
        file.write(b"%d\n" % number * (1 + number % 500))


def new(top: str, files: int) -> None:
    """Nothing but new directories."""
    for number, path in enumerate(paths(f"{top}/new", files)):
        write(path, number)


def attributes(top: str, files: int) -> None:
    """The same with ACLs and attributes."""
    for number, path in enumerate(paths(f"{top}/new", files)):
        write(path, number)
        os.setxattr(path, "user.number", b"%d" % number)
        os.setxattr(path, "system.posix_acl_access", ACL)


def before(top: str, files: int) -> None:
    """What a mix changes."""
    for number, path in enumerate(paths(f"{top}/old", files)):
        write(path, number)


def mix(top: str, files: int) -> None:
    """A third each: written, removed, and new beside them."""
    for number, path in enumerate(paths(f"{top}/old", files)):
        if number % 3 == 0:
            write(path, number + 1)
        elif number % 3 == 1:
            os.unlink(path)
        else:
            write(f"{path}.new", number)


KINDS: dict[str, tuple[Callable[[str, int], None], Callable[[str, int], None]]] = {
    "new": (new, lambda _top, _files: None),
    "attributes": (attributes, lambda _top, _files: None),
    "mix": (mix, before),
}


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, cwd=TOP)


def timed(command: list[str]) -> float:
    """Seconds; what was written before is on the disk when it begins."""
    os.sync()
    begun = time.monotonic()
    run(command)
    return time.monotonic() - begun


def measure(kind: str, files: int, place: Path) -> tuple[float, float]:
    """Seconds of one commit, and of cp and sync."""
    for name in ("lower", "upper", "work", "copy"):
        (place / name).mkdir()
    KINDS[kind][1](str(place / "lower"), files)
    layers = ["-l", str(place / "lower"), "-m", str(place / "lower"), "-u", str(place / "upper"), "-w",
              str(place / "work")]
    tool = [sys.executable, "-m", "ptoverlay"]
    run([*tool, *layers, "--", sys.executable, __file__, "--make", kind, str(place / "lower"), "--files", str(files)])
    copied = timed(["sh", "-c", 'cp -a "$1"/. "$2" && sync', "sh", str(place / "upper"), str(place / "copy")])
    return timed([*tool, "commit", *layers]), copied


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench-commit", description="Measures commits beside cp -a and sync.")
    parser.add_argument("--files", type=int, default=20_000, metavar="N", help="of each layer (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="medians of so many (default: 5)")
    parser.add_argument("--quick", action="store_true", help="2,000 files, 3 rounds")
    parser.add_argument("--make", nargs=2, metavar=("KIND", "DIR"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    wanted = arguments()
    if wanted.make:
        KINDS[wanted.make[0]][0](wanted.make[1], wanted.files)
        return 0
    files, rounds = (2_000, 3) if wanted.quick else (wanted.files, wanted.rounds)
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind, results in found.items():
            place = Path(tempfile.mkdtemp(prefix="bench-commit-", dir="/var/tmp"))
            try:
                results.append(measure(kind, files, place))
            finally:
                shutil.rmtree(place)
    print(f"{files} files, medians of {rounds} (load {os.getloadavg()[0]:.1f})")
    slower = False
    for kind, results in found.items():
        commit, copy = (statistics.median(column) for column in zip(*results, strict=True))
        ratio = statistics.median(one / other for one, other in results)
        print(f"{kind:12} commit {commit:6.2f} s   cp -a && sync {copy:6.2f} s   ratio {ratio:.2f}")
        slower = slower or ratio >= 1
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
