"""--limit: what a layer may grow to, whatever makes it grow.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Who, as_user, run
from support.sandboxes import LIMIT, Tool, wait_for
from support.subjects import Subjects

from ptoverlay import Overlay, quota

FLAGS = {"wide": (), "narrow": ("-m32", "-D_FILE_OFFSET_BITS=64", "-I/usr/include/x86_64-linux-gnu")}
#: Of tests/subjects/grow.c with 1 MiB, of which the file that is read takes nothing.
GROWN = """\
write = 400000, 400000
write over = 400000, 400000
write too much = -28, 400000
append = 400000, 400000
append too much = -28, 400000
pwrite = 400000, 800000
pwrite too much = -28, 800000
writev = 400000, 400000
writev too much = -28, 400000
pwritev = 400000, 800000
pwritev too much = -28, 800000
pwritev2 that appends too much = -28, 800000
sendfile = 400000, 400000
sendfile all = 500000, 900000
sendfile too much = -28, 900000
copy_file_range = 500000, 500000
copy_file_range at its end = 500000, 1000000
copy_file_range once more = -28, 1000000
copy_file_range too much = -28, 1000000
splice = 1, 401408
splice too much = -28, 987136
ftruncate = 0, 400000
ftruncate too much = -28, 400000
ftruncate back = 0, 1
fallocate = 0, 400000
fallocate too much = -28, 400000
fallocate behind = -95, 400000
truncate too much = -28, 400000
mapped = 0, 400000
unlinked = 0, 400000
write without a name = 900000, 1800000
after all = 400000, 800000
"""
FULL = r"ptoverlay: {}: full at --limit {}: (one call|\d+ calls) got ENOSPC \(a larger --limit gives room.*\)\n"


@pytest.fixture(params=[ROOT, USER], ids=lambda who: who.name)
def tool(request: pytest.FixtureRequest, area: Path) -> Tool:
    who: Who = request.param
    if os.geteuid() != 0 and who.is_root:
        pytest.skip("needs root")
    tool = Tool(area, who)
    tool.sh("head -c 500000 /dev/zero >source; mkdir d; for i in 1 2 3; do head -c 300000 /dev/zero >d/$i; done")
    return tool


@pytest.mark.parametrize("bits", [
    "wide", pytest.param("narrow", marks=pytest.mark.debian("gcc", "libc6-dev-i386", "lib32gcc-12-dev"))])
@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_calls(tool: Tool, subjects: Subjects, trap: str, bits: str) -> None:
    """Each call that makes a file longer, of 64-bit and 32-bit programs."""
    program = subjects.path("grow", *FLAGS[bits])
    done = tool("--limit", "1M", "-l", tool.lower, "--trap", trap, "--", program, tool.lower)
    assert done.out == GROWN
    assert re.fullmatch(FULL.format("the layer", "1M"), done.err), done.err


@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_objects(tool: Tool, trap: str) -> None:
    """Copy-up, directories, symlinks and empty files count, and what is removed does not any more."""
    script = """
    cat source >/dev/null
    for i in 1 2 3; do { echo x >>d/$i; } 2>/dev/null || echo no copy-up; done
    rm d/1 d/2 d/3
    for what in "mkdir -p" "ln -s x" touch; do
        i=0; while $what new$i 2>/dev/null; do i=$((i + 1)); done; echo $what $((i > 100))
        rm -rf new*
    done
    head -c 700000 /dev/zero >one && mv one two && head -c 100000 /dev/zero >three && mv three two
    head -c 600000 /dev/zero >four && echo replaced
    """
    done = tool("--limit", "800K", "-l", tool.lower, "--trap", trap, "-C", tool.lower, "--", "sh", "-c", script)
    assert done.out == "no copy-up\nmkdir -p 1\nln -s x 1\ntouch 1\nreplaced\n", done.err
    assert re.fullmatch(FULL.format("the layer", "800K"), done.err), done.err


def test_a_sandbox(tool: Tool) -> None:
    """All steps count; what runs in it shares what there is, and whoever joins it is bound, too."""
    def words(*more: str) -> tuple[str | Path, ...]:
        return ("run", "--name", "one", *more, "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c")

    tool.ok(*words(), "head -c 600000 /dev/zero >a")
    done = tool(*words("--limit", "1M"), "head -c 600000 /dev/zero >b; rm -f b; head -c 300000 /dev/zero >c")
    assert (done.status, "head: error writing" in done.err) == (0, True)
    assert re.search(FULL.format("sandbox one", "1M"), done.err), done.err
    assert "so do ptoverlay commit, discard and undo one)" in done.err
    steps = [str(path) for path in (tool.state / "ptoverlay/sandboxes/one/steps").glob("*/upper")]
    assert quota.taken([*steps, str(tool.state / "ptoverlay/sandboxes/one/upper")]) <= 1 << 20
    assert "nothing" not in tool.ok("undo", "one")
    tool.put_in_path()
    held = shlex.join(map(str, ("ptoverlay", *words("--limit", "1M"), "echo in; read line; wc -c b")))
    script = f"""set -e; mkfifo {tool.home}/go; exec 3<>{tool.home}/go
    {held} <&3 >{tool.home}/out &
    until grep -q in {tool.home}/out; do sleep 0.02; done
    ptoverlay run --name one -C {tool.lower} -- sh -c 'head -c 300000 /dev/zero >b; head -c 300000 /dev/zero >e' || true
    ptoverlay run --name one --limit 2M -- true || true
    echo >&3; wait; cat {tool.home}/out"""
    done = run([*as_user(tool.who), "sh", "-c", script], cwd=tool.home, env=tool.env, timeout=LIMIT)
    assert done.out.splitlines()[-1] == "300000 b", done
    assert "it is running, with --limit 1M (leave --limit out, or wait for its end)" in done.err
    assert "No space left on device" in done.err


def test_old_steps_are_folded_for_room(tool: Tool) -> None:
    """What steps have twice over goes when less than a quarter is free; the last steps can be undone all the same."""
    words = ("run", "--name", "one", "--limit", "2M", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c")
    for number in range(6):
        tool.ok(*words, f"head -c 290000 /dev/zero | tr '\\0' {number} >same; echo {number} >last")
    home = tool.state / "ptoverlay/sandboxes/one"

    def taken() -> int:
        return quota.taken([str(home / "upper"), *map(str, home.glob("steps/*/upper"))])

    wait_for(lambda: "older step" in tool.ok("log", "one") and taken() <= (2 << 20) * 3 // 4)
    tool.ok("undo", "one")
    assert tool.ok("run", "--name", "one", "-C", tool.lower, "--", "sh", "-c",
                   "cat last; head -c 3 same; stat -c ' %s' same") == "4\n444 290000\n"


def test_what_is_refused(tool: Tool) -> None:
    assert "a number of bytes is meant" in tool.fails("--limit", "none", "--", "true")
    tool.put_in_path()
    done = tool("--", "ptoverlay", "--limit", "1M", "--", "true")
    assert (done.status, done.err) == (125, "ptoverlay: --limit: inside a run the run around traps the calls "
                                            "(give --limit to that one)\n")
    (tool.home / ".ptoverlay.toml").write_text('[profile.small]\nlimit = "100K"\n')
    done = tool("run", "--profile", "small", "-l", tool.lower, "-C", tool.lower, "--", "sh", "-c", "cat source >a")
    assert re.search(FULL.format("the layer", "100K"), done.err), done.err


def test_api(tmp_path: Path) -> None:
    lower = tmp_path / "lower"
    lower.mkdir()
    with Overlay(lower, limit=100_000) as box:
        done = box.run("head -c 200000 /dev/zero >a", shell=True, cwd=lower, capture_output=True, text=True)
        assert re.search(FULL.format("the layer", "100000"), done.stderr), done.stderr
        assert (done.returncode, sum(change.size for change in box.changes()) <= 100_000) == (1, True)
