"""A wheel to be installed without any index.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

NAME = "boxed_demo-1.0-py3-none-any.whl"
INFO = "boxed_demo-1.0.dist-info"


def write(directory: Path, more: Mapping[str, str] | None = None) -> Path:
    """A wheel with one module and one console script, and `more` files: name → text."""
    files = {
        "boxed_demo.py": "import sys\n\n\ndef main():\n    print('demo', *sys.argv[1:])\n",
        **(more or {}),
        f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: boxed-demo\nVersion: 1.0\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{INFO}/entry_points.txt": "[console_scripts]\nboxed-demo = boxed_demo:main\n",
    }
    path = directory / NAME
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{name},sha256={digest},{len(text)}\n"
            archive.writestr(zipfile.ZipInfo(name, (2001, 1, 1, 0, 0, 0)), text)
        archive.writestr(zipfile.ZipInfo(f"{INFO}/RECORD", (2001, 1, 1, 0, 0, 0)), record + f"{INFO}/RECORD,,\n")
    return path
