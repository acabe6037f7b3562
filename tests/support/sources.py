"""The source of a Debian package, from the mirror that apt is configured for.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from pathlib import Path

CONFIGURATION = Path("/etc/apt")


def _deb_src_lines() -> list[str]:
    """Every `deb` source of Debian itself that apt knows, as a `deb-src` line."""
    lines = []
    for path in sorted([CONFIGURATION / "sources.list", *CONFIGURATION.glob("sources.list.d/*.list")]):
        if path.exists():
            lines += re.findall(r"^deb(?:-src)?\s+(.*)$", path.read_text(), re.MULTILINE)
    for path in sorted(CONFIGURATION.glob("sources.list.d/*.sources")):
        for stanza in path.read_text().split("\n\n"):
            fields = dict(re.findall(r"^([A-Za-z-]+):\s*(.*)$", stanza, re.MULTILINE))
            signed = f"[signed-by={fields['Signed-By']}] " if "Signed-By" in fields else ""
            for suite in fields.get("Suites", "").split():
                lines.append(f"{signed}{fields['URIs']} {suite} {fields.get('Components', '')}")
    return [f"deb-src {line}" for line in dict.fromkeys(lines) if re.search(r"/debian/?\s", f"{line} ")]


def fetch(package: str, directory: Path) -> Path:
    """Downloads PACKAGE's source into the directory, unless it is there, and returns the original tarball.

    The lists of apt itself are not touched; of several callers one downloads and the others wait."""
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _fetch(package, directory)


def _fetch(package: str, directory: Path) -> Path:
    found = sorted(directory.glob(f"{package}_*.orig.tar.*[!c]"))
    if found:
        return found[0]
    listed = directory / "sources.list"
    listed.write_text("\n".join(_deb_src_lines()) + "\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::Etc::SourceList": listed,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": directory / "lists",
        "Dir::Cache": directory / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    apt = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items())]
    for command in ([*apt, "update"], [*apt, "source", "--download-only", package]):
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    found = sorted(directory.glob(f"{package}_*.orig.tar.*[!c]"))
    assert found, sorted(p.name for p in directory.iterdir())
    return found[0]
