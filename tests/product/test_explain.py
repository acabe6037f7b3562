"""explain: which layer a path comes from, and why.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.oracle import Kernel, Who
from support.sandboxes import Tool
from support.subjects import Subjects

LOWER = """
mkdir -p dir/sub gone/deep again moved/in full
for name in plain meta renamed replaced typed kept dir/x dir/sub/y gone/deep/z again/q moved/one moved/in/two; do
    echo "$name" >"$name"
done
ln plain linked; ln -s plain link
"""
SCRIPT = """
echo more >>plain; chmod 600 meta; mv renamed new-name; rm replaced; echo r >replaced; rm typed; mkdir typed
echo x >>dir/x; rm dir/sub/y; rm -r gone; rm -r again; mkdir again; echo new >again/new
mv moved moved-now; echo m >>moved-now/one; mkdir new; echo n >new/file
"""
#: Path → why, type, which of the layers has something there, directory above that decides.
EXPECTED = {
    "kept": ("lower", "file", "l", ""), "dir/sub": ("merged", "directory", "ul", ""),
    "full": ("lower", "directory", "l", ""),
    "plain": ("copied up", "file", "ul", ""), "meta": ("copied up", "file", "ul", ""),
    "new-name": ("new", "file", "u", ""), "renamed": ("whiteout", None, "ul", ""),
    "replaced": ("replaced", "file", "ul", ""), "typed": ("replaced", "directory", "ul", ""),
    "dir": ("merged", "directory", "ul", ""), "dir/x": ("copied up", "file", "ul", ""),
    "dir/sub/y": ("whiteout", None, "ul", ""), "gone": ("whiteout", None, "ul", ""),
    "gone/deep": ("below a whiteout", None, "l", "gone"), "gone/deep/z": ("below a whiteout", None, "l", "gone"),
    "again": ("opaque", "directory", "ul", ""), "again/new": ("new", "file", "u", ""),
    "again/q": ("below an opaque directory", None, "l", "again"),
    "moved": ("whiteout", None, "ul", ""), "moved/one": ("below a whiteout", None, "l", "moved"),
    "moved-now": ("redirect", "directory", "ul", ""), "moved-now/one": ("copied up", "file", "ul", ""),
    "moved-now/in/two": ("below a redirect", "file", "l", "moved-now"),
    "new": ("new", "directory", "u", ""), "new/file": ("new", "file", "u", ""), "nothing": ("absent", None, "", ""),
    "kept/below": ("absent", None, "", ""), "link": ("lower", "symlink", "l", ""),
}


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh(LOWER)
    return made


def summary(tool: Tool, found: list[dict[str, Any]]) -> dict[str, tuple[str, str | None, str, str]]:
    top = f"{tool.lower}/"
    return {e["path"].removeprefix(top): (
        e["why"], e["type"], "u" * bool(e["upper_path"]) + "l" * bool(e["lower_path"]),
        (e["by"] or "").removeprefix(top)) for e in found}


def test_each_reason(tool: Tool) -> None:
    tool.box("one", SCRIPT)
    found = tool.json("explain", "one", *EXPECTED, status=1)
    assert summary(tool, found) == EXPECTED
    for each in found:
        if each["lower_path"] is not None:
            assert each["lower"] == str(tool.lower)
            assert Path(each["lower_path"]).exists() or each["path"] == "link"
        if each["upper_path"] is not None and each["type"] is not None:
            assert Path(each["upper_path"]).exists()


def test_layer_of_the_kernel(tool: Tool, subjects: Subjects) -> None:
    upper, work, mount = (tool.directory(name) for name in ("upper", "work", "mnt"))
    kernel = Kernel(subjects, tool.who, mount, [tool.lower], upper, work, userns=not tool.who.is_root)
    kernel.check(["sh", "-euc", SCRIPT], env=tool.env)
    words = ["-u", str(upper), "-w", str(work), "-l", str(tool.lower)]
    found = summary(tool, tool.json("explain", *words, *(tool.lower / name for name in EXPECTED), status=1))
    # whether a file was copied up or made anew is kept in a form that only the kernel can read
    other = {"plain": "copied up", "meta": "copied up", "dir/x": "copied up", "moved-now/one": "copied up"}
    for path, expected in EXPECTED.items():
        if path.startswith("moved") and not tool.who.is_root:
            continue  # copied by mv there
        assert found[path][1:] == expected[1:], path
        assert found[path][0] == expected[0] or (path in other and found[path][0] == "replaced"), path


def test_text(tool: Tool) -> None:
    tool.box("one", SCRIPT)
    upper = tool.state / "ptoverlay/sandboxes/one/upper"
    assert tool.ok("explain", "one", tool.lower / "moved-now/one") == (
        f"{tool.lower}/moved-now/one: copied up: the upper has a copy of the lower's, which hides it\n"
        f"  shows  file\n  upper  {upper}/moved-now/one\n  lower  {tool.lower}/moved/one\n"
        f"  note   without the upper it is {tool.lower}/moved/one\n  note   its content differs from the lower's\n")
    assert tool.ok("explain", "--name", "one", tool.lower / "gone/deep", status=1) == (
        f"{tool.lower}/gone/deep: below a whiteout: a whiteout of the upper hides {tool.lower}/gone\n"
        f"  shows  nothing is there\n  lower  {tool.lower}/gone/deep\n")
    assert "its content is the lower's" in tool.ok("explain", "one", "meta")
    assert "copied up under another name" in tool.ok("explain", "one", "new-name")
    assert "one of 2 names of the same file" in tool.ok("explain", "one", "linked")


def test_exit_status(tool: Tool) -> None:
    tool.box("one", "rm plain")
    assert tool("explain", "one", "kept", "dir").status == 0
    assert tool("explain", "one", "kept", "plain").status == 1
    assert "no PATH given" in tool.fails("explain", "one")
    assert "none of this name" in tool.fails("explain", "--name", "two", "kept")


def test_relative_paths_and_places(tool: Tool) -> None:
    tool.box("one", "echo x >>dir/x")
    (found,) = tool.json("explain", "one", "x", status=1)  # home is not in the view: from the mount point on
    assert found["path"] == f"{tool.lower}/x"
    assert f"{tool.lower}/dir/x: copied up" in tool.ok("explain", "one", "x", cwd=tool.lower / "dir")
    assert [e["why"] for e in tool.json("explain", "one", "/etc/passwd", "/proc/self")] == ["direct", "direct"]


def test_hidden(tool: Tool) -> None:
    tool.ok("-l", tool.lower, "-u", tool.lower / "upper", "--", "true")
    words = ["-u", str(tool.lower / "upper"), "-l", str(tool.lower)]
    assert [e["why"] for e in tool.json("explain", *words, tool.lower / "upper", tool.lower / ".upper.work",
                                        tool.lower / "upper/x", status=1)] == ["hidden"] * 3


def test_several_lowers(tool: Tool) -> None:
    second = tool.directory("lower2")
    tool.sh("mkdir dir; echo 2 >dir/two; echo 2 >kept", cwd=second)
    words = ["-u", str(tool.home / "u"), "-l", f"{tool.lower}:{second}"]
    tool.ok(*words, "-C", tool.lower, "--", "sh", "-c", "rm dir/x; echo x >>dir/two")
    found = {Path(e["path"]).name: (e["why"], e["lower"]) for e in tool.json(
        "explain", *words, "kept", "dir", "dir/two", "dir/x", status=1)}
    assert found == {"kept": ("lower", str(tool.lower)), "dir": ("merged", str(tool.lower)),
                     "two": ("copied up", str(second)), "x": ("whiteout", str(tool.lower))}
