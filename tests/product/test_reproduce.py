"""`ptoverlay reproduce`: whether a command makes the same bytes, and what they depend on if it does not.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.oracle import USER
from support.sandboxes import Tool


@pytest.fixture
def tool(area: Path) -> Tool:
    return Tool(area, USER)


def test_what_each_file_depends_on(tool: Tool) -> None:
    """By halves; and nothing of it is left anywhere."""
    script = """set -e
mkdir directory; umask 22
echo same >same; ln -s same link
date -d @0 +%H >zone
echo "$USER" >user; pwd >path; echo $$ >chance; cat /proc/sys/kernel/random/uuid >random
date -u +%F >time; ls -f directory/.. >order
printf 'ab%sc' "$PYTHONHASHSEED" >seed; echo "$TZ$USER" >two
if [ "$USER$TZ" = otherUTC-14 ]; then echo both; fi >both
: >"$HOME/made"; : >$TMPDIR/also"""
    page = tool.home / "page.html"
    before = tool.sh("ls -R .", tool.home)
    done = tool("reproduce", "--only", "time,shuffled-listings,time-zone,umask,path,user,seed", "--json",
                "--html", page, "--", "sh", "-c", script, cwd=tool.lower)
    assert (done.status, done.err) == (1, ""), done.err
    told = json.loads(done.out)
    assert {one["path"]: one["depends_on"] for one in told["differing"]} == {
        "zone": ["time zone"], "user": ["user"], "path": ["path"], "seed": ["seed"],
        "two": ["time zone", "user"], "chance": ["chance"], "both": ["several together"],
        "directory": ["umask"], "random": ["seed"], "time": ["time"], "order": ["shuffled listings"]}
    differences = {one["path"]: one["difference"] for one in told["differing"]}
    assert differences["seed"] == "byte 2: 'ab0c' / 'ab1c'"
    assert differences["directory"] == "mode 0755, then 0775"
    assert "same" in told["made"]
    assert "<td>several together<td>" in page.read_text()
    page.unlink()
    assert tool.sh("ls -R .; ls -A ../lower", tool.home) == before


def test_what_is_the_same(tool: Tool) -> None:
    told = tool.ok("reproduce", "--artifact", "o*", "--", "sh", "-c", "umask 22; echo 1 >out; echo $$ >other",
                   cwd=tool.lower, status=1)
    assert "other  chance: byte " in told
    told = tool.ok("reproduce", "--artifact", "out", "--", "sh", "-c", "umask 22; echo 1 >out; echo $$ >other",
                   cwd=tool.lower)
    assert told.splitlines()[0] == "1 made, all the same"
    told = tool.ok("reproduce", "--only", "path,user,host-name", "--without", "user", "--", "sh", "-c",
                   "(pwd; hostname) >o", cwd=tool.lower, status=1)
    assert told.startswith("o  path, host name: byte ")
    assert told.endswith("varied in 5 runs: path, host name\n")


def test_status(tool: Tool) -> None:
    words = ("--only", "user,path", "--", "sh", "-c", '[ "$USER" = user ]')
    told = json.loads(tool.ok("reproduce", "--json", *words, status=1))
    assert told["statuses"] == {"user": 1}


def test_bad_input(tool: Tool) -> None:
    assert tool.fails("reproduce", "--only", "moon", "--", "true").startswith("--only moon: one of time, ")
    assert tool.fails("reproduce") == "reproduce: no command given (ptoverlay reproduce -h shows the options)"
    assert tool.fails("reproduce", "--html", "/nowhere/x", "--", "true") == \
        "--html /nowhere/x: /nowhere: no directory that can be written"
    assert tool.fails("reproduce", "--", "sh", "-c", "echo no; exit 4") == "sh: status 4, and nothing was made: no"
