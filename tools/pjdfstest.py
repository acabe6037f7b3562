"""What tools/pjdfstest runs: the suite of a checkout that the caller names, on the kernel's overlayfs and in a view.

Rules: the checkout is not written to, the suite is built in a directory of its own; a case counts as different only
when it passes in one place and not in the other; what is listed in tests/support/differences.py is printed with its
reason and does not fail the run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))

from support.differences import PJDFSTEST  # noqa: E402

# As in tests/support/oracle.py: the kernel keeps identities and renames directories, as the view does.
KERNEL_OPTIONS = "index=on,redirect_dir=on,xino=on,metacopy=off"
# For every test: its name, then what it prints.  Each test gets an empty directory of its own to work in.
DRIVER = """
cd "$1"; shift
for test; do
    echo "# $test"
    mkdir work && cd work
    timeout 300 sh "$test" 2>&1 </dev/null
    cd .. && rm -rf work
done
"""


class Failed(Exception):
    """One line for the user."""


@dataclass(frozen=True)
class Place:
    """A mount point and the words before a command that runs there."""

    name: str
    mount: Path
    words: tuple[str, ...]


def make_directories(base: Path) -> dict[str, Path]:
    made = {name: base / name for name in ("lower", "upper", "work", "mnt")}
    base.chmod(0o755)
    for path in made.values():
        path.mkdir()
        path.chmod(0o755)
    return made


def kernel(base: Path) -> Place:
    at = make_directories(base)
    options = f"lowerdir={at['lower']},upperdir={at['upper']},workdir={at['work']},{KERNEL_OPTIONS}"
    script = 'mount -t overlay overlay -o "$1" "$2" && shift 2 && exec "$@"'
    return Place("kernel", at["mnt"], ("unshare", "-m", "sh", "-c", script, "sh", options, str(at["mnt"])))


def view(base: Path, trap: str) -> Place:
    at = make_directories(base)
    options = ("--trap", trap, *(f"--{name}={at[name]}" for name in ("lower", "upper", "work")), f"--mount={at['mnt']}")
    return Place("view", at["mnt"], (sys.executable, "-P", "-m", "ptoverlay", "run", *options, "--"))


def build(checkout: Path, directory: Path) -> Path:
    """A copy of the checkout with its program."""
    if not (checkout / "pjdfstest.c").is_file():
        raise Failed(f"{checkout}: no checkout of pjdfstest: it has no pjdfstest.c")
    copy = directory / "pjdfstest"
    shutil.copytree(checkout, copy, ignore=shutil.ignore_patterns(".git", "*.o"))
    for command in (["autoreconf", "-ifs"], ["./configure"], ["make", "pjdfstest"]):
        if not shutil.which(command[0], path=f"{copy}:{os.environ['PATH']}") and not command[0].startswith("."):
            raise Failed(f"{command[0]}: not found; on Debian: apt-get install autoconf automake make gcc")
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return copy


def tests(copy: Path, wanted: Sequence[str]) -> list[Path]:
    found = sorted((copy / "tests").glob("**/*.t"))
    names = {path: str(path.relative_to(copy / "tests")) for path in found}
    chosen = [path for path in found if not wanted or any(names[path].startswith(word) for word in wanted)]
    if not chosen:
        raise Failed(f"no test matches {' '.join(wanted)}")
    return chosen


Cases = dict[str, tuple[bool, str]]


def parse(output: str, top: Path) -> Iterator[tuple[str, tuple[bool, str]]]:
    """TEST:NUMBER → whether it passed, and what it said."""
    test = ""
    for line in output.splitlines():
        words = line.split(maxsplit=3)
        if line.startswith(f"# {top}"):
            test = str(Path(line[2:]).relative_to(top))
        elif words[:1] == ["ok"] and words[1:2] and words[1].isdigit():
            yield f"{test}:{words[1]}", (True, line)
        elif words[:2] == ["not", "ok"] and words[2:3]:
            yield f"{test}:{words[2]}", (False, line)


def run(place: Place, copy: Path, chosen: list[Path]) -> Cases:
    command = [*place.words, "sh", "-c", DRIVER, "sh", str(place.mount), *map(str, chosen)]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)
    cases = dict(parse(done.stdout, copy / "tests"))
    if not cases:
        raise Failed(f"{place.name}: no case ran (status {done.returncode}): {done.stderr[-500:]}")
    return cases


def report(on_kernel: Cases, in_view: Cases) -> int:
    """Prints every case that passes in one place only, and how many pass.  Returns how many are not listed."""
    unlisted = 0
    for name in sorted(on_kernel.keys() | in_view.keys()):
        theirs, ours = (cases.get(name, (False, "did not run")) for cases in (on_kernel, in_view))
        left_out = ours[0] and name not in on_kernel   # the suite asks df for the file system
        if theirs[0] == ours[0] or left_out:
            continue
        reason = PJDFSTEST.get(name) or PJDFSTEST.get(name.split(":")[0], "")
        unlisted += not reason
        print(f"{name}: {'listed: ' + reason if reason else 'DIFFERENT'}")
        print(f"    kernel: {theirs[1][:300]}\n    view:   {ours[1][:300]}")
    for name, cases in (("kernel", on_kernel), ("view", in_view)):
        print(f"{name}: {sum(passed for passed, _ in cases.values())} of {len(cases)} cases pass")
    return unlisted


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/pjdfstest")
    parser.add_argument("checkout", type=Path)
    parser.add_argument("tests", nargs="*", help="only tests whose path below CHECKOUT/tests begins so")
    parser.add_argument("--trap", default="auto")
    options = parser.parse_intermixed_args()
    if os.geteuid() != 0:
        print("tools/pjdfstest: only root can run it", file=sys.stderr)
        return 125
    with tempfile.TemporaryDirectory(prefix="pjdfstest-") as name, ThreadPoolExecutor(2) as pool:
        base = Path(name)
        base.chmod(0o755)
        (base / "kernel").mkdir()
        (base / "view").mkdir()
        try:
            copy = build(options.checkout, base)
            chosen = tests(copy, options.tests)
            places = [kernel(base / "kernel"), view(base / "view", options.trap)]
            on_kernel, in_view = pool.map(lambda place: run(place, copy, chosen), places)
        except Failed as failure:
            print(f"tools/pjdfstest: {failure}", file=sys.stderr)
            return 125
    return 1 if report(on_kernel, in_view) else 0


if __name__ == "__main__":
    sys.exit(main())
