"""Copies of the tree in which faults are tried.

Rules: the tree itself is never changed.  What a faulty core does must hurt nobody: as root its tests run in namespaces
of their own, where all but the copy and new file systems in memory is read-only, and every process ends with them; as
an ordinary user they reach what the user can.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.core import Description, object_name

TOP = Path(__file__).resolve().parent.parent.parent
VENV = TOP / ".venv"
COPIED = ("csrc", "ptoverlay", "tests", "tools", "share", "docs", "setup.py", "setup.cfg", "pyproject.toml",
          "README.rst", "CHANGES.rst", "LICENSE", "MANIFEST.in")
#: Of each run of pytest: enough of what is random.
ARGUMENTS = ("--sequences", "200")
#: $1: what stays writable; $2: this tree, which may lie below what is mounted over; then the command.
CONFINE = r"""
mount --make-rprivate / && mount --bind "$1" "$1" || exit 125
while read -r _ _ _ _ at _; do
    case $at in
    "$1" | /proc | /proc/*) ;;
    *) mount -o remount,bind,ro "$(printf %b "$at")" 2>/dev/null ;;
    esac
done </proc/self/mountinfo
mount -t overlay -o "lowerdir=/dev,upperdir=$1/dev,workdir=$1/dev-work" overlay /dev || exit 125
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts || exit 125
mount --bind "$2" "$1/this" || exit 125
for at in /tmp /dev/shm /run; do mount -t tmpfs -o mode=1777 none $at || exit 125; done
[ -d "$2/tests" ] || { mkdir -p "$2" && mount --bind "$1/this" "$2" && mount -o remount,bind,ro "$2"; } || exit 125
shift 2
"$@"   # not exec: the first process of the namespace is one that waits for orphans
exit $?
"""


class Scratch:
    """One copy, with a core and a Python environment of its own."""

    def __init__(self, directory: Path, flags: Sequence[str]) -> None:
        self.top = directory
        self.flags = ["-std=gnu11", "-fvisibility=hidden", "-fPIC", "-pthread", *flags, f"-I{directory / 'csrc'}",
                      f"-I{sysconfig.get_path('include')}"]
        self.objects = directory / "objects"
        self.library = directory / "ptoverlay/_core.abi3.so"
        directory.mkdir()
        directory.chmod(0o755)
        self._copy()
        self._make_environment()

    def _copy(self) -> None:
        for name in COPIED:
            source = TOP / name
            if source.is_dir():
                shutil.copytree(source, self.top / name, symlinks=True,
                                ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            else:
                shutil.copy(source, self.top / name)
        for name in ("objects", "tmp", "dev", "dev-work", "this"):
            (self.top / name).mkdir()

    def _make_environment(self) -> None:
        """Python finds this copy's package, and what .venv has for the tests."""
        python = str(VENV / "bin/python")
        subprocess.run([python, "-m", "venv", "--without-pip", str(self.top / ".venv")], check=True)
        packages = next((self.top / ".venv").glob("lib/python*/site-packages"))
        theirs = next(VENV.glob("lib/python*/site-packages"))
        (packages / "scratch.pth").write_text(f"{self.top}\n{theirs}\n")

    # ---- the core

    def build(self, extra: Sequence[Path] = ()) -> None:
        """The whole core; extra: files that go into it, without the flags."""
        core = Description()
        binding = core.write_binding(self.objects / "binding.c")
        sources = [self.top / source.relative_to(TOP) for source in core.sources]
        plain = [flag for flag in self.flags if not flag.startswith("-fsanitize")]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda one: self._compile(one, self.object_of(one), self.flags), sources):
                pass
        for one in (binding, *extra):
            self._compile(one, self.object_of(one), plain)
        self.link()

    def object_of(self, source: Path) -> Path:
        return self.objects / object_name(source)

    @staticmethod
    def _compile(source: Path, output: Path, flags: Sequence[str]) -> None:
        subprocess.run(["gcc", *flags, "-w", "-c", str(source), "-o", str(output)], check=True, capture_output=True)

    def compiles(self, source: Path) -> bool:
        """Compiles one file again; False: the compiler refuses it."""
        try:
            self._compile(source, self.object_of(source), self.flags)
        except subprocess.CalledProcessError:
            return False
        return True

    def link(self) -> None:
        new = self.library.with_suffix(".new")
        objects = sorted(str(path) for path in self.objects.glob("*.o"))
        subprocess.run(["gcc", "-shared", "-pthread", "-o", str(new), *objects], check=True)
        new.replace(self.library)

    # ---- the tests

    def pytest(self, arguments: Sequence[str], timeout: float, env: dict[str, str] | None = None) -> int | None:
        """Its status; None: it did not end."""
        command = [str(self.top / ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
                   *ARGUMENTS, *arguments]
        if os.geteuid() == 0:   # all ends with us
            command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--mount-proc",
                       "--kill-child", "/bin/sh", "-c", CONFINE, "sh", str(self.top), str(TOP), *command]
        environment = {**os.environ, **(env or {}), "TMPDIR": str(self.top / "tmp"), "HOME": str(self.top / "tmp"),
                       "PYTHONDONTWRITEBYTECODE": "1", "CI": ""}
        with (self.top / "output").open("wb") as out:
            process = subprocess.Popen(command, cwd=self.top, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait()
                return None
            finally:
                self._clear()

    def _clear(self) -> None:
        """What a test that was killed left."""
        shutil.rmtree(self.top / "tmp", ignore_errors=True)
        (self.top / "tmp").mkdir(exist_ok=True)
        (self.top / "tmp").chmod(0o755)

    def output(self) -> str:
        return (self.top / "output").read_text(errors="replace")
