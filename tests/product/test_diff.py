"""diff: every kind of change, as text, --json, --stat and -p, on layers of every maker.

The patches are checked by what applies them, git apply(1) and patch(1): they turn a copy of the lower into what the
view shows.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from support.oracle import Kernel, Who, run
from support.sandboxes import Tool
from support.subjects import Subjects

from ptoverlay.layer import patch

#: What the lower holds, and what happens to it.
LOWER = """
mkdir -p dir/sub gone again moved/deep
for name in plain same touched meta script renamed rewritten linked replaced dir/x dir/sub/y gone/z again/q again/r \
        moved/one moved/deep/two swapped1 swapped2; do echo "$name" >"$name"; done
seq 1000 >long; seq 1000 >lost; printf 'a\\nb' >cut; head -c 5000 /dev/zero >binary
ln linked linked2; ln -s plain link; mkfifo fifo; touch -d '2001-01-01 01:01:01' *
"""
SCRIPT = """
echo more >>plain; : >>same; touch touched; chmod 600 meta; chmod +x script; mv renamed renamed-now
cat rewritten >t; touch -r rewritten t; mv t rewritten; rm replaced; ln -s plain replaced; rm -r gone
echo xx >>dir/x; rm dir/sub/y; rm -r again; mkdir again; echo new >again/q
mv moved moved-now; echo m >>moved-now/one; mkdir -p new/er; echo n >new/er/file; ln new/er/file new/name
ln meta meta2; ln -s new newlink; mkfifo newfifo; : >empty
sed -i 's/^500$/five hundred/; 10d; 990a added' long; rm lost; printf 'a\\nb\\n' >cut; printf '\\0\\0' >>binary
mv swapped1 t; mv swapped2 swapped1; mv t swapped2; echo in >'sp ace'; echo u >'\u00fc"\\'
"""
EXPECTED = [
    ("removed", "again/r", None), ("modified", "again/q", None), ("modified", "binary", None),
    ("modified", "cut", None),
    ("modified", "dir/x", None), ("removed", "dir/sub/y", None), ("added", "empty", None), ("removed", "gone", None),
    ("modified", "long", None), ("removed", "lost", None), ("metadata", "meta", None), ("added", "meta2", None),
    ("renamed", "moved-now", "moved"), ("modified", "moved-now/one", "moved/one"), ("added", "new", None),
    ("added", "new/er", None), ("added", "new/er/file", None), ("added", "new/name", None), ("added", "newfifo", None),
    ("added", "newlink", None), ("modified", "plain", None), ("renamed", "renamed-now", "renamed"),
    ("modified", "replaced", None), ("metadata", "script", None), ("added", "sp ace", None),
    ("modified", "swapped1", None), ("modified", "swapped2", None), ("metadata", "touched", None),
    ("added", "\u00fc\"\\", None),
]
LAYERS = "upper", "work"


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    made = Tool(area, who)
    made.sh(LOWER)
    return made


def kinds(tool: Tool, found: list[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    top = f"{tool.lower}/"
    return sorted((c["kind"], c["path"].removeprefix(top),
                   c["old_path"].removeprefix(top) if "old_path" in c else None) for c in found)


def changed(tool: Tool, script: str) -> list[tuple[str, str, str | None]]:
    """The changes that a script makes in a sandbox of its own."""
    tool.box("one", script)
    return kinds(tool, tool.json("diff", "one", status=1))


# ---- layers of every maker ----


def test_layer_made_here(tool: Tool) -> None:
    assert changed(tool, SCRIPT) == sorted(EXPECTED)


def test_a_small_change_says_what_differs(tool: Tool) -> None:
    tool.box("one", "chmod 751 dir; chmod 600 meta; setfattr -n user.x -v y plain; echo 123 >>long")
    found = {c["path"].rpartition("/")[2]: c for c in tool.json("diff", "one", status=1)}
    assert found["dir"]["metadata"] == ["mode"]
    assert (found["dir"]["old_mode"], found["dir"]["mode"], found["dir"]["type"]) == ("0755", "0751", "directory")
    assert (found["meta"]["metadata"], found["meta"]["content"]) == (["mode"], False)
    assert found["plain"]["metadata"] == ["xattr user.x"]
    assert found["long"]["size"] == found["long"]["old_size"] + 4
    old = found["long"]["old_size"]
    assert tool("diff", "one").out.splitlines()[1:3] == [
        f"modified  {tool.lower}/long  ({old} -> {old + 4} bytes)", f"metadata  {tool.lower}/meta  (mode 0644 -> 0600)"]


@pytest.mark.root_only
def test_owner_and_group(tool: Tool) -> None:
    tool.box("one", "chown 1234:4321 plain dir")
    assert [(c["metadata"], c["uid"], c["gid"]) for c in tool.json("diff", "one", status=1)] == [
        (["owner", "group"], 1234, 4321)] * 2
    assert "(owner 0 -> 1234, group 0 -> 4321)" in tool("diff", "one").out


def test_layer_of_the_kernel(tool: Tool, subjects: Subjects) -> None:
    upper, work, mount = (tool.directory(name) for name in (*LAYERS, "mnt"))
    userns = not tool.who.is_root
    kernel = Kernel(subjects, tool.who, mount, [tool.lower], upper, work, userns=userns)
    kernel.check(["sh", "-euc", SCRIPT], env=tool.env)
    found = kinds(tool, tool.json("diff", "-u", upper, "-w", work, "-l", tool.lower, status=1))
    # without redirects, which a user namespace does not follow, mv copies the directory
    assert found == sorted(copied(EXPECTED) if userns else EXPECTED)


def copied(expected: list[tuple[str, str, str | None]]) -> list[tuple[str, str, str | None]]:
    """The same where mv copied the directory `moved`: its unchanged file was renamed, the other one is new."""
    rest = [change for change in expected if "moved" not in change[1]]
    return [*rest, ("removed", "moved", None), ("added", "moved-now", None), ("added", "moved-now/deep", None),
            ("added", "moved-now/one", None), ("renamed", "moved-now/deep/two", "moved/deep/two")]


@pytest.mark.root_only
@pytest.mark.debian("fuse-overlayfs")
def test_layer_of_fuse_overlayfs(tool: Tool) -> None:
    upper, work, mount = (tool.directory(name) for name in (*LAYERS, "mnt"))
    script = tool.home / "script"
    script.write_text(SCRIPT)
    options = f"lowerdir={tool.lower},upperdir={upper},workdir={work}"
    done = run(["unshare", "-m", "sh", "-euc", f"fuse-overlayfs -o {options} {mount} 2>/dev/null; cd {mount};"
                f"sh -eu {script}; cd /; umount {mount}"], env=tool.env)
    assert done.status == 0, done.err
    found = kinds(tool, tool.json("diff", "-u", upper, "-w", work, "-l", tool.lower, status=1))
    assert found == sorted(copied(EXPECTED))


def test_layer_that_shows_elsewhere(tool: Tool) -> None:
    mount, second = tool.directory("mnt"), tool.directory("lower2")
    tool.sh("mkdir dir; echo 2 >dir/x; echo only >only", cwd=second)
    layers = ["-l", f"{tool.lower}:{second}", "-u", str(tool.home / "u"), "-m", str(mount)]
    tool.ok(*layers, "-C", mount, "--", "sh", "-euc", "rm only; echo 3 >>dir/x; mv dir dir2; rm -r gone")
    assert [(c["kind"], c["path"]) for c in tool.json("diff", *layers, status=1)] == [
        ("renamed", f"{mount}/dir2"), ("modified", f"{mount}/dir2/x"), ("removed", f"{mount}/gone"),
        ("removed", f"{mount}/only")]


# ---- what is a change, and what is none ----


@pytest.mark.parametrize("script", [
    "true", ": >>plain", "cat plain >/dev/null; ls -lR >/dev/null", "chmod 600 plain; chmod 644 plain",
    "mv plain p; mv p plain", "mv dir d; mv d dir", "mkdir new; echo x >new/x; rm -r new", "echo x >new; rm new",
    "cp -p plain t; mv t plain; rm -r dir/sub; mkdir dir/sub; echo dir/sub/y >t; touch -r plain t;"
    "cp -p t dir/sub/y; rm t", "ln plain p; rm p", "touch -r dir t; echo x >dir/new; rm dir/new t",
])
def test_no_change(tool: Tool, script: str) -> None:
    tool.sh("touch -r plain dir/sub/y")
    tool.box("one", script)
    assert tool.ok("diff", "one") == ""
    assert tool.json("diff", "one") == []
    assert tool.ok("diff", "-p", "one") == ""
    assert tool.ok("diff", "--stat", "one") == ""
    assert tool.json("list")[0]["changes"] == 0


@pytest.mark.parametrize(("script", "expected"), [
    ("mv dir/x dir/sub/x", [("renamed", "dir/sub/x", "dir/x")]),
    ("mv plain p; echo new >plain", [("added", "p", None), ("modified", "plain", None)]),
    ("mv plain p; mv p dir/p; echo x >>dir/p", [("renamed", "dir/p", "plain")]),
    ("mv dir/x x; rm -r dir", [("removed", "dir", None), ("renamed", "x", "dir/x")]),
    ("mv dir d; mv d/sub s", [("renamed", "d", "dir"), ("renamed", "s", "dir/sub")]),
    ("mv dir/sub s; rm -r dir", [("removed", "dir", None), ("renamed", "s", "dir/sub")]),
    ("mv dir d; mkdir dir; echo y >dir/x", [("removed", "dir/sub", None), ("modified", "dir/x", None),
                                            ("added", "d", None), ("added", "d/sub", None),
                                            ("renamed", "d/sub/y", "dir/sub/y"), ("added", "d/x", None)]),
    ("mv dir moved/d", [("renamed", "moved/d", "dir")]),
    ("mv moved m; mv dir m/d; rm m/d/x", [("renamed", "m", "moved"), ("renamed", "m/d", "dir"),
                                          ("removed", "m/d/x", "dir/x")]),
    ("mv linked l", [("renamed", "l", "linked")]),
    ("rm -r dir; echo f >dir", [("modified", "dir", None), ("removed", "dir/sub", None), ("removed", "dir/x", None)]),
    ("rm plain; mkdir plain; echo x >plain/x", [("modified", "plain", None), ("added", "plain/x", None)]),
    ("ln -sfn dir link", [("modified", "link", None)]),
    ("rm fifo; mkfifo fifo; touch -d '2001-01-01 01:01:01' fifo", []),
    ("rm fifo; echo x >fifo", [("modified", "fifo", None)]),
    ("mv link l; mv fifo f", [("renamed", "f", "fifo"), ("renamed", "l", "link")]),
])
def test_renames_and_types(tool: Tool, script: str, expected: list[tuple[str, str, str | None]]) -> None:
    tool.box("one", script)
    assert kinds(tool, tool.json("diff", "one", status=1 if expected else 0)) == sorted(expected)
    # and so it is found when the layer is opened anew after another run
    tool.box("one", "ls -lR >/dev/null")
    assert kinds(tool, tool.json("diff", "one", status=1 if expected else 0)) == sorted(expected)


def test_exchanged_directories(tool: Tool) -> None:
    tool.box("one", 'python3 -c "import ctypes; c = ctypes.CDLL(None); '
             'assert c.renameat2(-100, b\\"dir\\", -100, b\\"moved\\", 2) == 0"')
    found = {(c["kind"], c["path"].removeprefix(f"{tool.lower}/")) for c in tool.json("diff", "one", status=1)}
    assert found == {("removed", "dir/sub"), ("added", "dir/deep"), ("renamed", "dir/deep/two"), ("renamed", "dir/one"),
                     ("removed", "moved/deep"), ("added", "moved/sub"), ("renamed", "moved/sub/y"),
                     ("renamed", "moved/x")}


def test_removed_directory_counts_what_was_in_it(tool: Tool) -> None:
    tool.box("one", "rm -r moved")
    assert tool("diff", "one").out == f"removed   {tool.lower}/moved/  (3 entries, 25B)\n"
    (change,) = tool.json("diff", "one", status=1)
    assert (change["entries"], change["bytes"]) == (3, 25)


# ---- choosing ----


def test_paths(tool: Tool) -> None:
    tool.box("one", SCRIPT)

    def of(*words: str, cwd: Path = tool.lower) -> list[str]:
        found = json.loads(tool.ok("diff", "--json", "one", *words, cwd=cwd, status=1))
        return sorted(path for _, path, _ in kinds(tool, found))

    assert of("new") == ["new", "new/er", "new/er/file", "new/name"]
    assert of("new/er", cwd=tool.home) == ["new/er", "new/er/file"]
    assert of("moved") == ["moved-now", "moved-now/one"]
    assert of("swap*", f"{tool.lower}/plain") == ["plain", "swapped1", "swapped2"]
    assert of("dir/*/y", "dir/x") == ["dir/sub/y", "dir/x"]
    assert of("same", "moved", "dir/nothing-like*") == ["moved-now", "moved-now/one"]
    assert tool.ok("diff", "one", "same") == ""
    done = tool("diff", "one", "slip", "new/er/file")
    assert (done.status, done.out.count("\n")) == (1, 1)
    assert done.err == "ptoverlay: slip: nothing is there, and nothing was\n"


# ---- as a person reads it ----


def test_text_and_colours(tool: Tool) -> None:
    tool.box("one", "echo x >new; rm -r gone; mv plain p; chmod 600 meta; echo x >>cut; ln -s x l")
    plain = tool.ok("diff", "one", status=1)
    top = tool.lower
    assert plain == (f"modified  {top}/cut  (3B -> 5B)\nremoved   {top}/gone/  (1 entry, 7B)\n"
                     f"added     {top}/l  (-> x)\nmetadata  {top}/meta  (mode 0644 -> 0600)\n"
                     f"added     {top}/new\nrenamed   {top}/plain -> {top}/p\n")
    status, shown = tool.on_terminal("diff", "one")
    assert status == 1
    assert f"\x1b[32madded    \x1b[0m {top}/new\n" in shown
    assert tool.ok("diff", "--color=always", "one", status=1) == shown
    assert tool.on_terminal("diff", "--color=never", "one") == (1, plain)
    tool.env["NO_COLOR"] = "1"
    assert tool.on_terminal("diff", "one") == (1, plain)


def test_stat(tool: Tool) -> None:
    tool.box("one", "sed -i '1,10d' long; echo x >new; printf '\\0' >>binary; chmod +x plain; touch touched")
    tool.box("one", "mv same same-now")
    lines = tool.ok("diff", "--stat", "one", status=1).replace(f"{tool.lower}/", "").splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "binary | Bin 5000 -> 5001 bytes", "long | 10 ----------", "new | 1 +", "plain | 0", "same => same-now | 0",
        "5 files changed, 1 insertion(+), 10 deletions(-)"]


# ---- patches ----


def files(tool: Tool, directory: Path) -> str:
    """Names, types, contents and executable bits of all but what no patch has words for."""
    return tool.sh("find . ! -type d ! -type p -printf '%p %y %l ' -exec sh -c 'test ! -L \"$1\" || exit 0; "
                   "test -x \"$1\" && echo x; cat \"$1\" | cksum' - {} \\; | sort", cwd=directory)


@pytest.mark.parametrize("program", [["git", "apply", "-p1", "--unsafe-paths"], ["patch", "-p1", "-s"]])
def test_patch_applies(tool: Tool, program: list[str]) -> None:
    tool.box("one", SCRIPT.replace(">>binary", ">/dev/null"))
    tool.ok("run", "--name", "one", "-C", tool.lower, "--direct", tool.home, "--", "cp", "-a", ".",
            tool.home / "expected")
    expected = files(tool, tool.home / "expected")
    text = tool.ok("diff", "-p", "one", status=1)
    assert files(tool, tool.lower) != expected
    copy = tool.home / "copy"
    tool.sh(f"cp -a {tool.lower} {copy}")
    (tool.home / "patch").write_text(text)
    tool.sh(f"{' '.join(program)} <{tool.home}/patch", cwd=copy)
    assert files(tool, copy) == expected


def test_patch_text(tool: Tool) -> None:
    tool.box("one", "echo more >>plain; mv renamed r; printf '\\0' >>binary; chmod 600 meta; rm -r gone; mkdir d")
    assert tool.ok("diff", "-p", "one", status=1) == (
        "diff --git a/binary b/binary\nBinary files a/binary and b/binary differ\n"
        f"# added     {tool.lower}/d/\n"
        f"# removed   {tool.lower}/gone/  (1 entry, 7B)\n"
        "diff --git a/gone/z b/gone/z\ndeleted file mode 100644\n--- a/gone/z\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone/z\n"
        f"# metadata  {tool.lower}/meta  (mode 0644 -> 0600)\n"
        "diff --git a/plain b/plain\n--- a/plain\n+++ b/plain\n@@ -1 +1,2 @@\n plain\n+more\n"
        "diff --git a/renamed b/r\nrename from renamed\nrename to r\n")
    shown = tool.ok("diff", "-p", "--color=always", "one", status=1)
    assert "\x1b[32m+more\x1b[0m\n" in shown
    assert "\x1b[31m-gone/z\x1b[0m\n" in shown


def applied(old: bytes, pieces: list[patch.Hunk]) -> bytes:
    """A text with hunks applied, which also checks their numbers and context."""
    lines, out, at = old.splitlines(keepends=True), [], 0
    for piece in pieces:
        start = piece.old_start
        out += lines[at:start]
        at = start
        assert len(out) == piece.new_start
        for line in piece.lines:
            if line[:1] in b" -":
                assert lines[at] == line[1:]
                at += 1
            if line[:1] in b" +":
                out.append(line[1:])
        assert at - start == piece.old_count
        assert len(out) - piece.new_start == piece.new_count
    return b"".join(out + lines[at:])


def test_hunks_of_random_texts() -> None:
    chance = random.Random(4711)
    for _ in range(500):
        old = [b"%d\n" % chance.randrange(6) for _ in range(chance.randrange(40))]
        new = list(old)
        for _ in range(chance.randrange(4)):
            at = chance.randrange(len(new) + 1)
            new[at:at + chance.randrange(4)] = [b"%d\n" % chance.randrange(6) for _ in range(chance.randrange(4))]
        one, two = (b"".join(lines)[:-1] if chance.random() < 0.3 else b"".join(lines) for lines in (old, new))
        pieces = patch.hunks(one, two)
        assert applied(one, pieces) == two
        assert bool(pieces) == (one != two)


def test_hunks_of_large_texts_that_have_nothing_in_common() -> None:
    one = b"".join(b"a%d\n" % i for i in range(200_000))
    two = b"head\n" + b"".join(b"b%d\n" % i for i in range(200_000)) + b"tail"
    pieces = patch.hunks(b"head\n" + one, two)
    assert applied(b"head\n" + one, pieces) == two
    (piece,) = patch.hunks(one, one.replace(b"a100000\n", b"x\n"))
    assert piece.header() == b"@@ -99998,7 +99998,7 @@\n"


@pytest.mark.parametrize(("name", "quoted"), [
    (b"plain", b"plain"), (b"sp ace", b"sp ace"), (b"new\nline", b'"new\\nline"'), (b'qu"ote', b'"qu\\"ote"'),
    (b"back\\slash", b'"back\\\\slash"'), (b"\xc3\xbc", b'"\\303\\274"'), (b"\x01", b'"\\001"'),
])
def test_names_in_patches(name: bytes, quoted: bytes) -> None:
    assert patch.quoted(name) == quoted


def test_what_may_not_be_read_is_told(tool: Tool) -> None:
    if tool.who.is_root:
        pytest.skip("root reads everything")
    tool.box("two", "mkdir closed; echo x >closed/x; chmod 000 closed; echo n >n")
    done = tool("diff", "two")
    assert (done.status, done.out) == (1, f"added     {tool.lower}/closed/\nadded     {tool.lower}/n\n")
    assert done.err == f"ptoverlay: {tool.lower}/closed: not looked into: Permission denied\n"
    tool.box("one", "rm plain; echo secret >plain; chmod 000 plain; echo x >n; chmod 000 n")
    assert [(c["kind"], c["content"]) for c in tool.json("diff", "one", status=1)] == [
        ("added", True), ("modified", True)]
    assert "Binary files a/plain and b/plain differ" in tool.ok("diff", "-p", "one", status=1)
    assert os.path.exists(tool.state / "ptoverlay/sandboxes/one/upper/n")


def test_other_names_of_a_file_are_counted(tool: Tool) -> None:
    """Which they are only a walk through the lower could tell; that there are some is said."""
    tool.sh("echo 1 >one; ln one two; ln one three; echo 4 >four")
    tool.box("box", "echo more >>two; echo more >>four")
    assert tool.ok("diff", "box", status=1).splitlines() == [
        f"modified  {tool.lower}/four  (2B -> 7B)", f"modified  {tool.lower}/two  (2B -> 7B, one of 3 names)"]
    assert [change["nlink"] for change in tool.json("diff", "box", status=1)] == [1, 3]
