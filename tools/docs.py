"""Builds the pages, the man page and the shell completions: docs.py PAGES SHARE.

Rules: a warning of Sphinx is an error; the same tree gives the same bytes (test_docs.py compares share/ with them).

SPDX-License-Identifier: GPL-2.0-or-later
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import completions

TOP = Path(__file__).resolve().parent.parent


def sphinx(builder: str, target: Path) -> bool:
    """Runs one builder; whether it had nothing to say."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder, "-d", cache]
        return subprocess.run([*command, TOP / "docs", target], check=False).returncode == 0


def main(pages: Path, share: Path) -> int:
    """Builds everything."""
    share.mkdir(parents=True, exist_ok=True)
    for name, text in completions.files().items():
        (share / name).write_text(text)
    with tempfile.TemporaryDirectory() as manual:
        built = [sphinx("html", pages / "html"), sphinx("man", Path(manual))]
        if all(built):
            (share / "ptoverlay.1").write_bytes(Path(manual, "ptoverlay.1").read_bytes())
    return 0 if all(built) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
