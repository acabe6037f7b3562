"""Layers and state files that somebody means ill with: one line at the most, and nothing is lost.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.oracle import Who
from support.sandboxes import Tool

from ptoverlay.reports.stats import Call, Statistics
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.sandbox import Metadata, Run

DEEP = 480  # directories
LONG = "d" * 250  # a name of which 17 are more than a path


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    return Tool(area, who)


def make_deep(tool: Tool, top: Path, depth: int, name: str = "d") -> None:
    """Directories d/d/d/…, one name at a time, with a file in the last one."""
    tool.sh(f"mkdir -p {top}; cd {top}; i=0; while [ $i -lt {depth} ]; do mkdir {name}; cd -P ./{name}; "
            "i=$((i + 1)); done; echo deep >f")


# ---- depth ----


def test_a_deep_upper(tool: Tool) -> None:
    """Every command that walks it."""
    tool.sh("mkdir d; echo x >d/x")
    upper = tool.home / "upper"
    make_deep(tool, upper, DEEP)
    layers = ["-u", str(upper), "-l", str(tool.lower)]
    lines = tool.ok("diff", *layers, status=1).splitlines()
    assert len(lines) == DEEP  # d is there, all below it and the file are new
    assert lines[-1] == f"added     {tool.lower}/{'d/' * DEEP}f"
    assert tool.ok("commit", *layers, "-n").splitlines() == lines
    assert tool.ok("discard", *layers, "-n").splitlines() == lines
    assert tool.json("stats", *layers)["layer"]["added"] == DEEP
    assert len(tool.json("diff", *layers, status=1)) == DEEP
    assert "+deep\n" in tool.ok("diff", *layers, "-p", status=1)
    tool.ok("commit", *layers)
    assert (tool.lower / ("d/" * DEEP + "f")).read_text() == "deep\n"
    tool.sh(f"cd {tool.lower}; find . -depth -delete; mkdir d")  # before the paths are taken away by name


def test_an_upper_deeper_than_a_path(tool: Tool) -> None:
    """What can be looked at is told; what cannot is told in a line, and not committed by half."""
    make_deep(tool, tool.home / "upper", 20, LONG)
    tool.sh(f"echo x >{tool.home}/upper/plain")
    layers = ["-u", str(tool.home / "upper"), "-l", str(tool.lower)]
    done = tool("diff", *layers)
    assert done.status == 1
    assert f"added     {tool.lower}/plain\n" in done.out
    assert done.err.count("\n") == 1
    assert done.err.endswith("not looked at: File name too long\n")
    assert "File name too long" in tool.fails("commit", *layers)
    assert os.listdir(tool.lower) == []
    tool.ok("discard", *layers)
    assert os.listdir(tool.home / "upper") == []


# ---- holes ----


def test_a_hole_is_not_read(tool: Tool) -> None:
    """A terabyte that is not there, compared, imported and exported."""
    tool.sh("truncate -s 1T big; truncate -s 1T changed")
    tool.box("one", "chmod 600 big; echo x | dd of=changed bs=1 seek=99999999999 conv=notrunc status=none")
    began = time.monotonic()
    assert [line.split()[0] for line in tool.ok("diff", "one", status=1).splitlines()] == ["metadata", "modified"]
    archive = tool.home / "one.tar"
    tool.ok("export", "one", "--format", "overlayfs", "-o", archive)
    assert archive.stat().st_size < 1 << 20
    tool("import", "two", "-l", tool.lower, archive)
    assert time.monotonic() - began < 30
    assert tool.ok("diff", "two", status=1) == tool.ok("diff", "one", status=1)
    upper = tool.state / "ptoverlay/sandboxes/two/upper"
    assert (upper / "changed").stat().st_blocks * 512 < 1 << 20
    listed = tool.sh(f"tar tvf {archive} | awk '{{print $3, $6}}'").splitlines()
    assert f"{1 << 40} big" in listed


def test_holes_in_an_image_are_zeros(tool: Tool) -> None:
    """An image's layer has no sparse files; a hole is one again after the import."""
    tool.box("one", "truncate -s 3M f; echo a >g; truncate -s 1M g; echo b >>g; head -c 100000 /dev/zero >h")
    tool.ok("export", "one", "-o", tool.home / "one.tar")
    assert b"GNU.sparse" not in (tool.home / "one.tar").read_bytes()
    out = tool.directory("out")
    tool.sh(f"tar -C {out} -xf {tool.home}/one.tar")
    assert (out / "f").read_bytes() == bytes(3 << 20)
    assert (out / "g").read_bytes() == b"a\n" + bytes((1 << 20) - 2) + b"b\n"
    tool("import", "two", "-l", tool.lower, tool.home / "one.tar")
    upper = tool.state / "ptoverlay/sandboxes/two/upper"
    assert {name: (upper / name).read_bytes() == (out / name).read_bytes() for name in "fgh"} == dict.fromkeys(
        "fgh", True)
    assert (upper / "f").stat().st_blocks == 0


# ---- what we keep of a sandbox ----

Change = Callable[[dict[str, Any]], Any]
Values = dict[str, tuple[object, ...]]


def put(name: str, value: object) -> Change:
    """Sets one field."""
    return lambda data: {**data, name: value}


def last(name: str, value: object) -> Change:
    """Sets one field of the last run."""
    return lambda data: {**data, "last_run": {**data["last_run"], name: value}}


FIELDS: Values = {
    "name": (1, None, []), "lowers": ("/", [], [1], ["relative"], [None], ["/a\0b"], {}, ["/\ud800"]),
    "mount": (1, "relative", "", None, "/\0"), "n_data": ("1", -1, 1, 5, 1.5, None, True, 1 << 70),
    "flags": ("x", -1, 1 << 40, None, 4096), "parent": (1, "../x", "a/b", None), "created": ("x", None, [], 1e300),
    "runs": ("many", None, 1.5), "last_run": ("x", 1, [1]), "id": (1, None), "version": ("1", 2, None, 1e9),
}
OF_RUN: Values = {
    "argv": ("x", [1], None, [["a"]], ["a\0b"]), "cwd": (1, None), "started": ("x", None, 1e200, -1e200),
    "ended": ([], "x"), "status": ("x", 1.5, [], 1 << 80),
}
WRONG: dict[str, Change] = {
    "list": lambda _: [1, 2], "null": lambda _: None, "text": lambda _: "x", "nothing": lambda _: {},
    **{f"{name}-{value!r}"[:40]: put(name, value) for name, values in FIELDS.items() for value in values},
    **{f"run-{name}-{value!r}": last(name, value) for name, values in OF_RUN.items() for value in values},
}
RAW = {"empty": b"", "binary": b"\x00\xff\xfe", "nan": b'{"version": 1, "created": NaN}', "deep": b"[" * 100_000,
       "digits": b'{"version": ' + b"9" * 10_000 + b"}", "half": b'{"version": 1, "name'}


def test_state_of_wrong_types(tmp_path: Path) -> None:
    """Each is a `Failure`, wherever it comes from."""
    from ptoverlay.errors import Failure

    good = json.loads(json.dumps({
        "name": "x", "lowers": ["/"], "mount": "/", "last_run": {"argv": ["true"], "cwd": "/", "started": 1.0,
                                                                  "ended": 2, "status": 0}, "version": 1}))
    path = tmp_path / "sandbox.json"
    path.write_text(json.dumps(good))
    assert Metadata.load(path).last_run == Run(["true"], "/", 1.0, 2.0, 0)
    for name, data in [*((name, json.dumps(change(good)).encode()) for name, change in WRONG.items()), *RAW.items()]:
        path.write_bytes(data)
        with pytest.raises(Failure, match=r"sandbox\.json"):
            print(name, Metadata.load(path))


def test_one_broken_sandbox_does_not_hide_the_others(tool: Tool) -> None:
    """list, and whatever looks at all of them, tells of each in one line."""
    tool.box("good", "touch x")
    sandboxes = tool.state / "ptoverlay/sandboxes"
    text = (sandboxes / "good/sandbox.json").read_text()
    tool.sh(f"cd {sandboxes}; mkdir fifo dir types loop none; mkfifo fifo/sandbox.json; mkdir dir/sandbox.json")
    (sandboxes / "types/sandbox.json").write_text(text.replace('"lowers": [', '"lowers": [1, '))
    (sandboxes / "loop/sandbox.json").write_text(text.replace('"parent": ""', '"parent": "loop"'))
    done = tool("list")
    assert done.status == 0
    assert {line.split()[0] for line in done.out.splitlines()} == {"NAME", "good", "loop"}
    told = done.err.splitlines()
    assert len(told) == 4, done.err
    for name in ("fifo", "dir", "types", "none"):
        assert sum(f"{name}" in line for line in told) == 1, name
    assert "forked from itself" in tool.fails("export", "loop", "--oci-layout", tool.home / "image")
    for name in ("fifo", "dir", "types", "loop"):
        tool("remove", name)
    assert sorted(os.listdir(sandboxes)) == ["good", "none"]
    tool.ok("diff", "good", status=1)


@pytest.mark.parametrize("data", [
    b"[" * 100_000, b"[]", b'{"manifests": 1}', b'{"manifests": [1]}', b'{"manifests": [[]]}', b"\xff", b"",
    b'{"manifests": [{"annotations": ["a"], "digest": "../../x"}]}'])
def test_an_image_layout_of_any_content(tmp_path: Path, data: bytes) -> None:
    """Read, and added to."""
    from ptoverlay.errors import Failure
    from ptoverlay.ship import layout, oci

    (tmp_path / "oci-layout").write_text("{}")
    (tmp_path / "index.json").write_bytes(data)
    with pytest.raises(Failure):
        layout.layers(str(tmp_path), None)
    with pytest.raises(Failure):
        oci.write_layout(str(tmp_path), "new", "none", [], 0)
    assert (tmp_path / "index.json").read_bytes() == data


@pytest.mark.quick
def test_state_has_the_types_of_its_class() -> None:
    assert state.of(tuple[int, ...], [1, 2]) == (1, 2)
    assert state.of(dict[str, list[str]], {"a": ["b"]}) == {"a": ["b"]}
    assert state.of(float | None, None) is None
    assert state.of(float, 3) == 3.0
    for kind, value in ((int, True), (float, float("nan")), (str, "\0"), (bool, 1), (list[int], (1,)), (int, "1"),
                        (dict[str, int], [])):
        with pytest.raises(ValueError, match=r"."):
            state.of(kind, value)


@pytest.mark.quick
def test_statistics_of_wrong_types() -> None:
    good = Statistics((Call("openat", (1, 2, 3, 4), 5),), 1, trap="notify").as_json()
    assert Statistics.from_json(json.loads(json.dumps(good))).as_json() == good
    for change in (put("calls", []), put("calls", {"x": {}}), put("calls", {"x": {"pass": "1"}}), put("copy_ups", "x"),
                   put("trap", 1), put("seconds", 1e300), put("memory", None)):
        with pytest.raises((ValueError, KeyError)):
            Statistics.from_json(change(good))
