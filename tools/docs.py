"""Builds the pages, the man page and the shell completions: docs.py PAGES SHARE.

Rules: a warning of Sphinx is an error; the same tree gives the same bytes (test_completion.py compares share/).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import manual

from ptoverlay.console import completions

TOP = Path(__file__).resolve().parent.parent


def sphinx(target: Path) -> bool:
    """Builds the pages; whether it had nothing to say."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", cache]
        return subprocess.run([*command, TOP / "docs", target], check=False).returncode == 0


def main(pages: Path, share: Path) -> int:
    """Builds everything."""
    made = {completions.FILES[shell]: completions.text(shell).encode() for shell in completions.FILES}
    for name, text in {**made, "man/man1/ptoverlay.1": manual.page()}.items():
        file = share / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return 0 if sphinx(pages / "html") else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
