"""Debian packages of any suite and machine, by an apt with lists and a state of its own.

Rule: they come from Debian's archive by apt, which checks their signatures.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from guest import CACHE, Trouble, run

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Archive:
    """The packages of one suite for one machine."""

    def __init__(self, suite: str, arch: str) -> None:
        self.suite, self.arch = suite, arch
        self.base = CACHE / f"apt/{suite}-{arch}"
        for name in ("lists/partial", "archives/partial", "etc"):
            (self.base / name).mkdir(parents=True, exist_ok=True)
        (self.base / "status").touch()
        (self.base / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {suite} main\n")

    def _options(self) -> list[str]:
        base = self.base
        options = {"Dir::Etc::sourcelist": base / "etc/sources.list", "Dir::Etc::sourceparts": "-",
                   "Dir::State::lists": base / "lists", "Dir::State::status": base / "status", "Dir::Cache": base,
                   "APT::Architecture": self.arch, "APT::Architectures": self.arch, "Acquire::Retries": "3",
                   "APT::Sandbox::User": "root", "APT::Install-Recommends": "false"}
        return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]

    def update(self) -> None:
        run("apt-get", *self._options(), "-qq", "update")

    def depends(self, package: str) -> list[str]:
        """Names of what it depends on."""
        told = run("apt-cache", *self._options(), "depends", package).decode()
        return re.findall(r"^ *\|?(?:Pre)?Depends: ([^<\s]+)", told, re.MULTILINE)

    def download(self, packages: list[str], directory: Path) -> None:
        """These alone."""
        run("apt-get", *self._options(), "-qq", "download", *packages, cwd=directory)

    def download_all(self, packages: list[str]) -> list[Path]:
        """With all that they need and what a Debian cannot be without."""
        shutil.rmtree(self.base / "archives")
        (self.base / "archives/partial").mkdir(parents=True)
        run("apt-get", *self._options(), "-qq", "-y", "--download-only", "install", "?essential", "apt", *packages)
        return sorted(self.base.glob("archives/*.deb"))


def fields(control: str) -> dict[str, str]:
    """Those of one line."""
    return dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and not line.startswith(" "))


class Unpacked:
    """A root in which packages are as dpkg leaves them before it configures them: for a machine that cannot run here.

    Nothing of the packages has run: `dpkg --configure -a` there does the rest.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = root / "var/lib/dpkg/info"
        for name in ("bin", "sbin", "lib"):   # the links that base-files expects of who makes a root
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        for directory in (self.info, root / "var/lib/dpkg/updates", root / "dev", root / "proc", root / "sys"):
            directory.mkdir(parents=True)
        (self.info / "format").write_text("1\n")
        (root / "var/lib/dpkg/available").touch()

    def add(self, package: Path) -> None:
        """Its files, and what dpkg has to know of it."""
        run("dpkg-deb", "-x", package, self.root)
        control = run("dpkg-deb", "-f", package).decode()
        about = fields(control)
        name = about["Package"] + (f":{about['Architecture']}" if about.get("Multi-Arch") == "same" else "")
        scripts = self.info / "new"
        run("dpkg-deb", "-e", package, scripts)
        for path in scripts.iterdir():
            if path.name != "control":
                path.rename(self.info / f"{name}.{path.name}")
        shutil.rmtree(scripts)
        names = run("tar", "-t", stdin=run("dpkg-deb", "--fsys-tarfile", package)).decode().splitlines()
        listed = "".join(f"/{path.removeprefix('./').rstrip('/') or '.'}\n" for path in names)
        (self.info / f"{name}.list").write_text(listed)
        with (self.root / "var/lib/dpkg/status").open("a") as status:
            head, rest = control.split("\n", 1)
            status.write(f"{head}\nStatus: install ok unpacked\n{rest.rstrip()}\n\n")


def unpack(packages: list[Path], root: Path) -> None:
    if not packages:
        raise Trouble("no packages")
    unpacked = Unpacked(root)
    for package in packages:
        unpacked.add(package)
