"""What tools/vm is made of: kernels and roots of Debian's, virtual machines of qemu's, and the table of what they said.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
#: Everything that is made lies here; git ignores it.
CACHE = TOP / "build/vm"


class Trouble(Exception):
    """What failed, in one line."""


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes | None = None,
        env: dict[str, str] | None = None) -> bytes:
    """Its output; Trouble, with its last words, when it fails.  env: more than what is there."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, input=stdin, capture_output=True, check=False,
                          env={**os.environ, **env} if env else None)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Trouble(f"{command[0]}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout
