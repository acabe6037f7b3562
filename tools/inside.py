"""What tools/inside runs: ten programs over all of /, with answers inside and with --no-inject, and one table.

Rules: calls are counted (--stats), which does not depend on what else the machine does; what is made lies in a
directory of its own, which is taken away; a program that the machine lacks has a line that says so.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PTOVERLAY = TOP / ".venv/bin/ptoverlay"
#: What is laid out in the directory that they run in.
LAY_OUT = """
printf '#include <stdio.h>\\n#include <stdlib.h>\\nint main(void) { return puts("") < 0; }\\n' >a.c
mkdir repository; cd repository; git init -q .; git config user.email a@example.org; git config user.name a
for d in $(seq 20); do mkdir d$d; for f in $(seq 100); do echo $d $f >d$d/f$f; done; done
git add .; git commit -qm one; git branch other
for d in $(seq 20); do for f in $(seq 1 9 100); do echo two $f >d$d/f$f; done; done; git commit -qam two
"""
REPLACED = "cp .git/index .git/new; mv .git/new .git/index"
#: What is made in the view first, and what is counted.
PROGRAMS = {
    "gcc, one file": ("", "gcc -O2 -c -o a.o a.c"),
    "git status, 2,000 files": ("", "git -C repository status"),
    "… of which an index was written": (f"cd repository; {REPLACED}; cd ..", "git -C repository status"),
    "… after git checkout": ("git -C repository checkout -q other", "git -C repository status"),
    "find": ("", "find /usr/share/doc -size +1k"),
    "tar": ("", "tar cf - /usr/share/doc | wc -c"),
    "grep -r": ("", "grep -r overlay /usr/share/doc"),
    "ls -lR": ("", "ls -lR /usr/share/doc"),
    "python3 with imports": ("", "/usr/bin/python3 -c 'import json, email.message, http.client, unittest'"),
    "perl": ("", "perl -MPOSIX -MEncode -e 1"),
    "apt-cache policy": ("", "apt-cache policy bash"),
    "npm ls -g": ("", "npm ls -g"),
}
TOTAL = "total"


def counted(directory: Path, trap: str, script: str, *options: str) -> dict[str, int]:
    """Trapped calls by name."""
    command = [str(PTOVERLAY), "-q", "--trap", trap, "--stats", *options]
    command += ["--", "sh", "-c", f"{{ {script}; }} >/dev/null 2>&1"]
    err = subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                         check=False).stderr
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+) +\d+ +\d+", err, re.MULTILINE)}


def without(more: dict[str, int], less: dict[str, int]) -> dict[str, int]:
    return {name: max(count - less.get(name, 0), 0) for name, count in more.items()}


def line(directory: Path, trap: str, name: str) -> str:
    before, script = PROGRAMS[name]
    program = script.split()[0]
    if not shutil.which(program):
        return f"{name:34} {program} is not here"
    before = before or ":"
    trapped, left = (without(counted(directory, trap, f"{before}; {script}", *options),
                             counted(directory, trap, before, *options)) for options in (("--no-inject",), ()))
    share = 100 * (1 - left.get(TOTAL, 0) / max(trapped.get(TOTAL, 0), 1))
    most = sorted(((count, call) for call, count in left.items() if call != TOTAL), reverse=True)[:4]
    rest = ", ".join(f"{count} {call}" for count, call in most if count)
    return f"{name:34} {trapped.get(TOTAL, 0):>7,} {left.get(TOTAL, 0):>7,} {share:>5.1f} %  {rest}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/inside")
    parser.add_argument("--trap", default="notify", choices=["notify", "ptrace"])
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of lines; all by default")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inside-") as name:
        directory = Path(name)
        subprocess.run(["sh", "-ec", LAY_OUT], cwd=directory, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["sh", "-c", "sleep 1.1; git -C repository status"], cwd=directory, check=True,
                       stdout=subprocess.DEVNULL)
        print(f"{'program':34} {'without':>7} {'with':>7}  inside  what is left, most of it")
        for each in PROGRAMS:
            if not args.names or any(each.startswith(begin) for begin in args.names):
                print(line(directory, args.trap, each), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
