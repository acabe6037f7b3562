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

NAMES = ["kernel", "Yama", "seccomp", "user notification", "user notification: ADDFD",
         "user notification: WAIT_KILLABLE_RECV", "user notification: SYNC_WAKE_UP", "process_vm_readv", "pidfd_getfd",
         "Landlock",
         "ptrace trap", "notify trap", "answers inside of programs",
         *(["32-bit programs"] if os.uname().machine == "x86_64" else []), "debuggers"]
# Runs the rest of its words where calls are EPERM, as in some containers: `NAME[,NAME…] CMD…`.
CONTAINER = """
import ctypes, os, struct, sys
ALL = {"x86_64": {"ptrace": 101, "seccomp": 317, "process_vm_readv": 310, "landlock_create_ruleset": 444},
       "aarch64": {"ptrace": 117, "seccomp": 277, "process_vm_readv": 270, "landlock_create_ruleset": 444}}
NUMBERS = [ALL[os.uname().machine][name] for name in sys.argv.pop(1).split(",")]
code = [(0x20, 0, 0, 0)] + [(0x15, len(NUMBERS) - i, 0, nr) for i, nr in enumerate(NUMBERS)] + [
    (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(NUMBERS) + 3, ctypes.addressof(code)))
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


def in_container(tool: Tool, forbidden: str) -> tuple[int, str]:
    """--check where these calls are forbidden: status and output."""
    words = tool.words("--check")
    start = words.index(sys.executable)
    done = subprocess.run([*words[:start], sys.executable, "-c", CONTAINER, forbidden, *words[start:]], cwd=tool.home,
                          env=tool.env, capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert "\nok  seccomp profile: there is one (1 filter around us, as in a container)" in done.stdout
    return done.returncode, done.stdout


@pytest.mark.parametrize(("forbidden", "name", "works"), [
    ("process_vm_readv", "NO  process_vm_readv", False), ("landlock_create_ruleset", "no  Landlock", True),
    ("seccomp", "NO  seccomp", False)])
def test_a_container_that_forbids_one_call(tool: Tool, forbidden: str, name: str, works: bool) -> None:
    status, out = in_container(tool, forbidden)
    assert status == (0 if works else 1)
    assert re.search(rf"^{name}: Operation not permitted; lost: .+ \(.*in a container: ", out, re.MULTILINE)


def test_a_container_that_forbids_tracing(tool: Tool) -> None:
    status, out = in_container(tool, "ptrace,seccomp")
    assert status == 1
    assert out.count("user notification") == 1
    assert re.search(r"^NO  seccomp: Operation not permitted; lost: every", out, re.MULTILINE)
    assert re.search(r"^no  ptrace trap: .*Operation not permitted.* \(in a container: allow ptrace", out,
                     re.MULTILINE)
    assert out.endswith("\nno run will work\n")


def test_wrong_words(tool: Tool) -> None:
    assert "unrecognized arguments" in tool.fails("--check", "word")
    assert "it comes first" in tool.fails("-v", "--check", "true")
    assert tool.ok("--check", "-h").startswith("usage: ptoverlay --check")
