"""What the rows work on: trees that are made once and that every peer sees the same.

Rules: a tree is the same in every run, so that runs can be compared; its files have been read once before anything
is timed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from support import sources, wheels

from .peers import PARTS, TOP

#: Where the tests keep what they have downloaded.
CACHE = TOP / ".pytest_cache/d/debian-source"
PACKAGE = "hello"
#: With these gcc makes 1,700 calls that take a name for each file, two thirds of them readlink.
HEADERS = ("stdio", "stdlib", "string", "unistd", "sys/stat")
AUTHOR = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "2001-02-03T04:05:06Z",
          "GIT_COMMITTER_NAME": "C", "GIT_COMMITTER_EMAIL": "c@example.org",
          "GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": "1",
          "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    seconds: that a call is repeated for; calls: that are many; entries: of the large directory, the git tree and the
    archive; files: of the 16-process build; big: bytes of the large file; rounds: by kind of work, none to leave it
    out; minutes: after which nothing is measured again."""

    seconds: float
    calls: int
    entries: int
    files: int
    big: int
    rounds: Mapping[str, int]
    minutes: float


#: How many directories down a file is looked for, and among how many a program is (loop.c).
DEPTHS = (2, 8, 32)
PATHS = (1, 8, 64)
CALL, PROGRAM, LONG = "call", "program", "long"
FULL = Sizes(0.2, 100_000, 10_000, 64, 1 << 30, {CALL: 5, PROGRAM: 3, LONG: 2}, 22)
QUICK = Sizes(0.03, 10_000, 1_000, 16, 1 << 26, {CALL: 2, PROGRAM: 1, LONG: 0}, 1.5)


def environment(tree: Path) -> dict[str, str]:
    """The same for every command; what it writes besides goes to the tree too."""
    return {"PATH": os.defpath + ":/usr/sbin:/sbin", "HOME": str(tree / "tmp"), "TMPDIR": str(tree / "tmp"),
            "LC_ALL": "C.UTF-8", "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **AUTHOR}


def sh(tree: Path, script: str) -> None:
    """A script that makes a part of a tree."""
    done = subprocess.run(["sh", "-euc", script], cwd=tree, env=environment(tree), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"tools/bench: {tree.name}: cannot be made: {done.stderr.strip()}")


def calls(tree: Path, sizes: Sizes) -> None:
    """small, a link to it, small again at some depths, empty directories for $PATH, and one of many entries."""
    (tree / "small").write_text("small\n")
    for depth in DEPTHS:
        down = tree.joinpath(*["d"] * depth)
        down.mkdir(parents=True, exist_ok=True)
        (down / "small").write_text("small\n")
    for number in range(1, max(PATHS)):
        (tree / f"path/{number}").mkdir(parents=True)
    (tree / "link").symlink_to("small")
    (tree / "many").mkdir()
    for i in range(sizes.entries):
        (tree / "many" / f"entry-{i:05}").touch()


def copies(tree: Path, _: Sizes) -> None:
    """512 files of 4 KiB, to be copied up."""
    (tree / "lower").mkdir()
    for i in range(512):
        (tree / "lower" / str(i)).write_bytes(os.urandom(4096))


def random_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))


def data(tree: Path, _: Sizes) -> None:
    """A file that is read and written once it is open."""
    random_file(tree / "data", 1 << 26)


def big(tree: Path, sizes: Sizes) -> None:
    """A large file to be copied up."""
    random_file(tree / "big", sizes.big)


def c_files(tree: Path, count: int) -> None:
    """C files that include much and do little, and a Makefile; what is built goes to tmp."""
    includes = "".join(f"#include <{name}.h>\n" for name in HEADERS)
    for i in range(count):
        main = f"int main(void) {{ return f{i}(1) < 0; }}\n" if i == 0 else ""
        text = f"{includes}int f{i}(int x) {{ char s[32]; return snprintf(s, sizeof s, \"%d\", x + {i}); }}\n{main}"
        (tree / f"f{i}.c").write_text(text)
    objects = " ".join(f"f{i}.o" for i in range(count))
    (tree / "Makefile").write_text(f"program: {objects}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O0 -c -o $@ $<\n")


def source(tree: Path, _: Sizes) -> None:
    """The source of a Debian package."""
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = sources.fetch(PACKAGE, CACHE)
    sh(tree, f"tar xf '{archive}' --strip-components=1 --no-same-owner")


def many_files(tree: Path, count: int, salt: str) -> None:
    """A hundred files a directory, of up to 4 KiB."""
    for i in range(count):
        path = tree / f"directory-{i // 100:03}" / f"file-{i:05}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{salt} {i}\n" * (1 + i % 200))


def git(tree: Path, sizes: Sizes) -> None:
    """A checked-out repository with two branches, in which every file differs."""
    (tree / ".git/info").mkdir(parents=True)
    (tree / ".git/info/exclude").write_text("/tmp\n")
    many_files(tree, sizes.entries, "other")
    sh(tree, "git init -q -b other; git config gc.auto 0; git add .; git commit -qm other; git checkout -qb main")
    many_files(tree, sizes.entries, "main")
    sh(tree, "git commit -qam main; git gc -q")


def archive(tree: Path, sizes: Sizes) -> None:
    """A tar archive of many small files."""
    many_files(tree / "tmp", sizes.entries, "tar")
    sh(tree, "tar cf pack.tar -C tmp .; rm -r tmp/*")


def wheel(tree: Path, _: Sizes) -> None:
    """A wheel of a hundred modules."""
    module = "".join(f"def f{i}(x):\n    return x + {i}\n" for i in range(20))
    wheels.write(tree, {f"boxed_parts/m{i}.py": module for i in range(100)})


def npm_package(path: Path, name: str, files: int) -> None:
    """A package of small modules, as a registry has it."""
    with tarfile.open(path, "w:gz") as packed:
        texts = {"package.json": json.dumps({"name": name, "version": "1.0.0"}),
                 **{f"lib/part-{i // 10}/m{i}.js": f"module.exports = {i};\n" * (1 + i * 7 % 50) for i in range(files)}}
        for file, text in texts.items():
            member = tarfile.TarInfo(f"package/{file}")
            member.size = len(text)
            packed.addfile(member, io.BytesIO(text.encode()))


def npm(tree: Path, sizes: Sizes) -> None:
    """A project that depends on fifty packages, which lie beside it."""
    names = [f"boxed-{i:02}" for i in range(50)]
    (tree / "packages").mkdir()
    wanted, found = {}, {}
    for name in names:
        path = tree / "packages" / f"{name}.tgz"
        npm_package(path, name, max(sizes.entries // 200, 1))
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        wanted[name] = f"file:packages/{path.name}"
        found[f"node_modules/{name}"] = {"version": "1.0.0", "resolved": wanted[name], "integrity": f"sha512-{digest}"}
    project = {"name": "project", "version": "1.0.0"}
    (tree / "package.json").write_text(json.dumps({**project, "dependencies": wanted}))
    lock = {**project, "lockfileVersion": 3, "requires": True,
            "packages": {"": {**project, "dependencies": wanted}, **found}}
    (tree / "package-lock.json").write_text(json.dumps(lock))


TREES: Mapping[str, Callable[[Path, Sizes], None]] = {
    "calls": calls,
    "copies": copies,
    "data": data,
    "big": big,
    "build": lambda tree, sizes: c_files(tree, 20),
    "wide": lambda tree, sizes: c_files(tree, sizes.files),
    "source": source,
    "git": git,
    "archive": archive,
    "wheel": wheel,
    "npm": npm,
}


def make(name: str, directory: Path, sizes: Sizes) -> Path:
    """One of the trees, below the directory."""
    tree = directory / name
    (tree / "tmp").mkdir(parents=True)
    TREES[name](tree, sizes)
    sh(tree, "find . -type f -exec cat {} + >/dev/null")
    return tree


def programs(directory: Path) -> dict[str, Path]:
    """What rows run, compiled from tools/bench.d."""
    found = {}
    for name in ("loop", "floor"):
        found[name] = directory / name
        subprocess.run(["gcc", "-std=gnu11", "-O2", "-pthread", "-o", str(found[name]), str(PARTS / f"{name}.c")],
                       check=True)
    return found
