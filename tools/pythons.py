"""What tools/pythons runs: this tree built and its quick tests run in roots of newer Debians, under this kernel.

    tools/pythons [SUITE…]         prints what the tests said (default: all SUITES)
    tools/pythons --record FILE    also writes the table of all suites there, as text for docs/

A root lies in build/pythons and is made anew when it is to have other packages; its tree is always this one.

Rules: what is mounted is mounted in a namespace that ends with the tests; the root is theirs alone, as a container's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

from guest import TOP, Trouble
from guest.machine import GUEST
from guest.matrix import PYTEST, QUICK
from guest.roots import build, make_root, needed

CACHE = TOP / "build/pythons"
#: Debian's suites, with the Python of each; the one of the suite that the tests are always run on is not among them.
SUITES = {"trixie": "3.13", "sid": "3.14"}
COLUMNS = ("Python", "Debian", "compiler", "C library", "run on", "quick tests")
#: Makes the root that of all, with what a container has.
_ENTER = r"""
set -eu
root=$1
mount --bind "$root" "$root"; cd "$root"; mkdir -p proc dev old
mount -t proc proc proc; mount -t sysfs sysfs sys; mount -t tmpfs tmpfs dev; mount -t tmpfs tmpfs run
for name in null zero full random urandom tty; do mknod -m 666 dev/$name c $(stat -c '0x%t 0x%T' /dev/$name); done
ln -s /proc/self/fd dev/fd; mkdir dev/shm dev/pts; ln -s pts/ptmx dev/ptmx; chmod 1777 dev/shm tmp
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
pivot_root . old; umount -l /old
cd "$2"; exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CI=1 PTOVERLAY_TEST_PATIENCE=5 \
    sh -c "$3"
"""
_PROBE = """
.venv/bin/python -c 'import platform; print("has", platform.python_version())'
echo "has gcc $(gcc -dumpfullversion)"; echo "has glibc $(ldd --version | sed -n '1s/.* //p')"
"""


def examine(suite: str) -> None:
    """What was printed stays in a file, below the date."""
    root = make_root(CACHE / f"root-{suite}", "amd64", needed(whole=False), suite)
    build(root, ["download", "-q", "--only-binary=:all:", "--implementation=cp", f"--python-version={SUITES[suite]}",
                 "--platform=manylinux_2_28_x86_64", "--platform=manylinux_2_17_x86_64", "-d"],
          without="python_version" if SUITES[suite] == "3.14" else "")
    done = subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-c", _ENTER, "sh", root, GUEST,
                           f"{_PROBE}{PYTEST} -rpfE {QUICK}"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    said(suite).write_text(f"{datetime.date.today().isoformat()}\n{done.stdout}")


def said(suite: str) -> Path:
    return CACHE / f"said-{suite}.txt"


def row_of(suite: str) -> tuple[tuple[str, ...], list[str]]:
    """The cells, and the tests that did not pass."""
    if not said(suite).exists():
        return (SUITES[suite], suite, "-", "-", "not run", "-"), []
    date, out = said(suite).read_text().split("\n", 1)
    passed = len(re.findall(r"^PASSED tests/", out, re.MULTILINE))
    failed = sorted(set(re.findall(r"^(?:FAILED|ERROR) (tests/.*?)(?: - .*)?$", out, re.MULTILINE)))
    if not passed:
        raise Trouble(f"{suite}: the tests did not run:\n" + "\n".join(out.splitlines()[-15:]))
    python, compiler, library = re.findall(r"^has (.*)$", out, re.MULTILINE)[:3]
    count = f"{passed} of {passed + len(failed)}" if failed else f"all {passed}"
    return (python, suite, compiler, library, date, count), failed


def table() -> str:
    """As reStructuredText."""
    rows = {suite: row_of(suite) for suite in SUITES}
    cells = [COLUMNS, *(row for row, _ in rows.values())]
    widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    failed = [f"* {row[0]}: ``{test}``" for row, tests in rows.values() for test in tests]
    if failed:
        failed = ["Not passed:", "", *failed, ""]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, "", *failed])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/pythons")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)} (default: all)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args(arguments)
    if unknown := set(options.suites) - SUITES.keys():
        parser.error(f"no such suite: {' '.join(sorted(unknown))}")
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        for suite in options.suites or SUITES:
            examine(suite)
        text = table()
    except Trouble as trouble:
        print(f"tools/pythons: {trouble}", file=sys.stderr)
        return 125
    print(text, end="")
    if options.record:
        options.record.write_text(text)
    return int(any(row_of(suite)[1] for suite in SUITES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
