"""ptoverlay --check: what it finds on this machine, and where nothing works.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.box import traps
from support.oracle import Who
from support.sandboxes import Tool

NAMES = ["kernel", "Yama", "seccomp", "user notification", "user notification: ADDFD with SEND",
         "user notification: WAIT_KILLABLE_RECV", "user notification: SYNC_WAKE_UP", "pidfd_getfd", "Landlock",
         "ptrace trap", "notify trap"]
# Runs the rest of its words where ptrace(2) and new filters of seccomp(2) are EPERM, as in some containers.
CONTAINER = """
import ctypes, os, struct, sys
NUMBERS = {"x86_64": (101, 317), "aarch64": (117, 277)}[os.uname().machine]
code = [(0x20, 0, 0, 0)] + [(0x15, 2 - i, 0, nr) for i, nr in enumerate(NUMBERS)] + [
    (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 5, ctypes.addressof(code)))
libc = ctypes.CDLL(None)
libc.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0)))
assert libc.prctl(22, ctypes.c_ulong(2), program) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    return Tool(area, who)


def test_what_this_machine_allows(tool: Tool) -> None:
    lines = tool.ok("--check").splitlines()
    assert len(lines) == 4 + len(NAMES) + 1
    for line in lines[:-1]:
        assert re.fullmatch(r"ok  [^:]+: .+|no  [^:]+: .+; lost: .+ \(.+\)", line), line
    assert re.fullmatch(r"a run will work, with the (ptrace|notify) trap", lines[-1])
    assert os.listdir(tool.home) == []


def test_json(tool: Tool) -> None:
    told = tool.json("--check", "-u", tool.area / "home/none/upper")
    assert told["works"] is True
    assert told["trap"] in ("ptrace", "notify")
    found = {finding["name"]: finding for finding in told["findings"]}
    assert list(found)[4:] == NAMES
    assert next(iter(found)) == f"{tool.home}: place of layers"
    assert {name.split()[0] for name in found if name.endswith(" trap") and found[name]["ok"]} == set(traps())
    for finding in told["findings"]:
        assert set(finding) == {"name", "ok", "found", "lost", "remedy", "needed"}
        assert finding["ok"] == (finding["lost"] == "") == (finding["remedy"] == "")
        assert finding["found"]


def test_a_place_that_cannot_be_written(tool: Tool) -> None:
    out = tool.ok("--check", "--upper", "/proc/upper", status=1)
    assert out.startswith("NO  /proc: place of layers: ")
    assert out.endswith("\nno run will work\n")


def test_a_container_that_forbids_tracing(tool: Tool) -> None:
    words = tool.words("--check")
    start = words.index(sys.executable)
    done = subprocess.run([*words[:start], sys.executable, "-c", CONTAINER, *words[start:]], cwd=tool.home,
                          env=tool.env, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    assert re.search(r"^NO  seccomp: Operation not permitted; lost: every", done.stdout, re.MULTILINE)
    assert re.search(r"^no  ptrace trap: .*Operation not permitted.* \(in a container: allow ptrace", done.stdout,
                     re.MULTILINE)
    assert done.stdout.endswith("\nno run will work\n")


def test_wrong_words(tool: Tool) -> None:
    assert "unrecognized arguments" in tool.fails("--check", "word")
    assert "it comes first" in tool.fails("-v", "--check", "true")
    assert tool.ok("--check", "-h").startswith("usage: ptoverlay --check")
