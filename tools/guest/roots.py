"""A Debian root with this tree in /srv/ptoverlay, built there, as a disk; made again when something of it changed.

A root for this machine is made by mmdebstrap and prepared in a chroot.  One for another is unpacked here and configured
in the guest; its environment of Python is filled here, and its core is compiled here, by the cross compiler, since a
machine of software is slow.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from guest import CACHE, TOP, Trouble, run
from guest.machine import GUEST, INIT, MACHINES, Guest
from guest.packages import KEYRING, MIRROR, Archive, unpack

SUITE, KERNEL, PYTHON = "bookworm", "6.1", "python3.11"
#: What the root needs beside what the tests do.
PACKAGES = ("python3", "python3-dev", "python3-venv", "gcc", "libc6-dev", "kmod", "busybox-static", "ca-certificates",
            "procps")
#: What only few tests need, and that is too large for a guest.
LEFT_OUT = ("chromium", "npm")
SIZE = "8G"
OURS = os.uname().machine
_LISTS = ("requirements", "requirements-test")
#: In the guest: the packages' own scripts, in the order that dpkg knows.
_CONFIGURE = """set -e
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
ldconfig
rm -f /usr/bin/mandb   # an index of manual pages takes minutes
/var/lib/dpkg/info/base-passwd.preinst install
dpkg --configure --force-depends -a 2>&1 | tail -20
dpkg --audit
"""


def needed(whole: bool, more: Iterable[str] = ()) -> list[str]:
    """Debian packages: those of the quick tests, or of the whole suite, and more."""
    listed = (TOP / "tests/debian-packages.txt").read_text().splitlines()
    every = {line.split()[0] for line in listed if line and not line.startswith("#")}
    if not whole:
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "quick", "--needed-packages",
                            file.name], cwd=TOP, capture_output=True, check=False)
            every = set(Path(file.name).read_text().split())
    return sorted({*PACKAGES, *every, *more} - {*LEFT_OUT})


def tree_files() -> list[str]:
    """What of this tree goes into the guest."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TOP).decode()
    return sorted(name for name in listed.split("\0") if name and (TOP / name).exists())


def fingerprint(packages: list[str]) -> str:
    digest = hashlib.sha256("\n".join((*packages, INIT, _CONFIGURE)).encode())
    for name in tree_files():
        path = TOP / name
        digest.update(f"{name} {path.lstat().st_mode:o}".encode())
        digest.update(os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes())
    return digest.hexdigest()


def copy_tree(root: Path) -> None:
    """What did not change keeps its time, so that only what changed is compiled."""
    top = root / GUEST.lstrip("/")
    top.mkdir(parents=True, exist_ok=True)
    names = tree_files()
    for path in sorted(top.rglob("*"), reverse=True):
        name = str(path.relative_to(top))
        if not name.startswith((".venv", "ptoverlay/_core")) and path.is_file() and name not in names:
            path.unlink()
    for name in names:
        target = top / name
        if target.is_file() and not target.is_symlink() and target.read_bytes() == (TOP / name).read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(TOP / name, target, follow_symlinks=False)


def fill(root: Path) -> None:
    """The tree, and what runs there first."""
    copy_tree(root)
    (root / "vm-init").write_text(INIT)
    (root / "vm-init").chmod(0o755)


def requirements() -> list[str]:
    """As arguments of pip."""
    return [word for name in _LISTS for word in ("-r", str(TOP / f"tools/{name}.txt"))]


# ---- for this machine


def make_root(root: Path, arch: str, wanted: list[str], suite: str = SUITE) -> Path:
    """A Debian with these packages, without the tree."""
    stamp = root.with_name(f"{root.name}.packages")
    if stamp.exists() and stamp.read_text().split() == wanted:
        return root
    print(f"ptoverlay: making a Debian root with {' '.join(wanted)}", file=sys.stderr)
    subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io",
        '--aptopt=Acquire::Check-Valid-Until "false"',   # a mirror may be one of weeks ago
        f"--architectures={arch}", f"--include={','.join(wanted)}", f"--keyring={KEYRING}", suite, root, MIRROR)
    stamp.write_text(" ".join(wanted))
    return root


def make_disk(root: Path, image: Path) -> None:
    new = image.with_suffix(".new")
    new.unlink(missing_ok=True)
    run("truncate", "-s", SIZE, new)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, new)
    new.rename(image)


def build(root: Path, wheels: list[str | Path], without: str = "") -> None:
    """The tree in the root, as tools/prepare makes it there, without a network.  wheels: what pip is to do so that what
    it needs lies in a directory; without: of that, lines with this word, whose markers pip takes for our own Python."""
    fill(root)
    lines = [line for name in _LISTS for line in (TOP / f"tools/{name}.txt").read_text().splitlines()
             if not line.startswith("#") and not (without and without in line)]
    run(sys.executable, "-m", "pip", *wheels, root / "wheels", *lines, "setuptools", "wheel")
    environment = "PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
    run("chroot", root, "/usr/bin/env", "-i", "/bin/sh", "-c", f"cd {GUEST} && {environment} tools/prepare test")


def native(arch: str, wanted: list[str], image: Path) -> None:
    root = make_root(CACHE / f"root-{arch}", arch, wanted)
    build(root, ["wheel", "-q", "-w"])
    make_disk(root, image)


# ---- for another


def make_foreign_root(arch: str, wanted: list[str], image: Path) -> None:
    """The disk of a Debian that has been configured in a guest, without the tree."""
    stamp = CACHE / f"root-{arch}.packages"
    if stamp.exists() and stamp.read_text().split() == wanted and image.exists():
        return
    print(f"tools/vm: making a Debian root for {arch}: some ten minutes, once", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    archive, root = Archive(SUITE, arch), CACHE / f"root-{arch}"
    archive.update()
    subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)
    unpack(archive.download_all(wanted), root)
    (root / "vm-init").write_text(INIT)
    (root / "vm-init").chmod(0o755)
    (root / GUEST.lstrip("/")).mkdir(parents=True)
    make_disk(root, image)
    inside(arch, image, _CONFIGURE)
    stamp.write_text(" ".join(wanted))


def inside(arch: str, image: Path, command: str) -> None:
    """What the command changes stays."""
    status, out = Guest(KERNEL, arch, image, busybox_of(arch)).run(command, 3600, keep=True)
    if status:
        raise Trouble(f"the {arch} root: status {status}:\n{out}")


@contextlib.contextmanager
def mounted(image: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        run("mount", "-o", "loop", image, name)
        try:
            yield Path(name)
        finally:
            run("umount", name)


def fill_environment(venv: Path, arch: str) -> None:
    """A venv of the guest's Python, as tools/prepare leaves it."""
    lists = [TOP / f"tools/{name}.txt" for name in _LISTS]
    told = "".join(path.read_text() for path in lists)
    if (venv / "made-of").exists() and (venv / "made-of").read_text() == told:
        return
    shutil.rmtree(venv, ignore_errors=True)
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python3").symlink_to("/usr/bin/python3")
    (venv / "bin/python").symlink_to("python3")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n")
    platforms = (f"--platform={name}_{MACHINES[arch].python}" for name in ("manylinux_2_28", "manylinux_2_17"))
    run(sys.executable, "-m", "pip", "install", "-q", "--target", venv / f"lib/{PYTHON}/site-packages",
        "--only-binary=:all:", f"--python-version={PYTHON.removeprefix('python')}", "--implementation=cp", *platforms,
        "pip", *requirements())
    (venv / "made-for").write_text(f"{GUEST}\n")
    for name in _LISTS:
        (venv / name).touch()
    adopt_package(venv)
    (venv / "made-of").write_text(told)


def adopt_package(venv: Path) -> None:
    """The package in place, as it is in our own environment."""
    ours = next((TOP / ".venv/lib").glob("python*/site-packages"))
    copies = {path: venv / f"lib/{PYTHON}/site-packages" / path.relative_to(ours)
              for pattern in ("*ptoverlay*.pth", "ptoverlay-*.dist-info/*") for path in ours.glob(pattern)
              if path.is_file()}
    copies[TOP / ".venv/bin/ptoverlay-python"] = venv / "bin/ptoverlay-python"
    for path, copy in copies.items():
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text().replace(str(TOP), GUEST))
        copy.chmod(path.stat().st_mode)
    (venv / "installed").touch()


def cross_compile(root: Path, arch: str) -> None:
    """Leaves objects, core and command where tools/prepare does, newer than the tree."""
    machine, top = MACHINES[arch].python, root / GUEST.lstrip("/")
    if not shutil.which(f"{machine}-linux-gnu-gcc"):
        raise Trouble(f"no {machine}-linux-gnu-gcc: apt-get install gcc-{machine}-linux-gnu libc6-dev-{arch}-cross")
    headers = CACHE / f"headers-{arch}"   # Python's own ones for the machine, which Debian's Python.h includes
    shutil.rmtree(headers, ignore_errors=True)
    shutil.copytree(root / f"usr/include/{machine}-linux-gnu/{PYTHON}", headers / f"{machine}-linux-gnu/{PYTHON}")
    compiler = [*([found] if (found := shutil.which("ccache")) else []), f"{machine}-linux-gnu-gcc"]
    run(sys.executable, "setup.py", "-q", "build_ext", cwd=top, env={
        "CC": " ".join(compiler), "LDSHARED": f"{machine}-linux-gnu-gcc -shared", "CFLAGS": f"-I{headers}",
        "CCACHE_NOHASHDIR": "1", "_PYTHON_HOST_PLATFORM": f"linux-{machine}", "PTOVERLAY_BUILD": f"{top}/.venv/core",
        "PTOVERLAY_CHECK_LOCKS": "1"})
    shutil.copy(top / ".venv/core/lib/ptoverlay/_core.abi3.so", top / "ptoverlay/_core.abi3.so")
    shutil.copy(top / ".venv/core/objects/ptoverlay", top / ".venv/bin/ptoverlay")
    (top / ".venv/bin/._core.abi3.so").unlink(missing_ok=True)
    (top / ".venv/bin/._core.abi3.so").symlink_to("../../ptoverlay/_core.abi3.so")
    (top / ".venv/checks").write_text("1\n")
    (top / ".venv/built").touch()


def foreign(arch: str, wanted: list[str], image: Path) -> None:
    make_foreign_root(arch, wanted, image)
    new = image.with_suffix(".new")   # guests may be running on the old one
    run("cp", "--sparse=always", image, new)
    with mounted(new) as root:
        fill(root)
        fill_environment(root / GUEST.lstrip("/") / ".venv", arch)
        cross_compile(root, arch)
    new.rename(image)


# ----


def busybox_of(arch: str) -> Path:
    return CACHE / f"root-{arch}/bin/busybox"


def make_image(arch: str, whole: bool = False, more: Iterable[str] = ()) -> Path:
    """The root with the tree, built there, as a disk.  whole: with what the whole suite needs; more: packages.  A root
    that has others besides is kept."""
    image, stamp, wanted = CACHE / f"image-{arch}.ext4", CACHE / f"image-{arch}.stamp", needed(whole, more)
    packages = CACHE / f"root-{arch}.packages"
    if packages.exists() and {*wanted} <= {*packages.read_text().split()}:
        wanted = packages.read_text().split()
    told = fingerprint(wanted)
    with (CACHE / f"image-{arch}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == told and image.exists():
            return image
        stamp.unlink(missing_ok=True)
        (native if MACHINES[arch].python == OURS else foreign)(arch, wanted, image)
        stamp.write_text(told)
    return image
