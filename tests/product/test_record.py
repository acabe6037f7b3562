"""--record, --provenance, --depfile and --sbom: what a run depended on, and what it made.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
from support.oracle import USER, Who, run
from support.sandboxes import Tool

from ptoverlay.record.depfile import rule

SCRIPT = """cat a; cat link; ls d >/dev/null; test -e no/such || :; ./s.sh; test -e none || :
echo new >out; cat out; mkdir made; chmod 755 f; rm gone; mv old moved; : >cut"""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    tool = Tool(area, who)
    tool.env["XDG_CACHE_HOME"] = str(tool.directory("cache"))
    tool.sh("mkdir d; echo a >a; echo x >d/x; ln -s a link; printf '#!/bin/sh\\necho s\\n' >s.sh; chmod 755 s.sh; "
            "echo f >f; echo g >gone; echo o >old; echo c >cut; touch -d @1000000000 a")
    return tool


def record(tool: Tool, *words: str | Path, status: int = 0) -> dict[str, Any]:
    """The record of a run over /, in the lower; what it prints is no matter."""
    path = tool.home / "record.json"
    done = tool("--record", path, "-C", tool.lower, *words)
    assert (done.status, done.err) == (status, ""), done.err
    return dict(json.loads(path.read_text()))


def below(tool: Tool, found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those in the lower, by the path from there."""
    top = f"{tool.lower}/"
    return {one["path"].removeprefix(top): one for one in found if one["path"].startswith(top)}


@pytest.mark.parametrize("who", ["user"], indirect=True)
@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_what_a_run_did(tool: Tool, trap: str) -> None:
    told = record(tool, "--trap", trap, "--", "sh", "-c", SCRIPT)
    assert (told["format"], told["version"], told["trap"], told["status"]) == ("ptoverlay-record", 1, trap, {"exit": 0})
    assert told["command"] == ["sh", "-c", SCRIPT]
    assert (told["cwd"], told["complete"], told["sockets"]) == (str(tool.lower), True, [])
    assert told["environment"]["HOME"] == str(tool.home)
    inputs, shell = below(tool, told["inputs"]), os.path.realpath("/bin/sh")
    assert shell in told["programs"]
    assert inputs["a"] == {
        "path": f"{tool.lower}/a", "how": ["read"], "by": [os.path.realpath("/bin/cat")], "type": "file",
        "mode": "0644", "uid": tool.who.uid, "gid": tool.who.gid, "size": 2, "mtime_ns": 10 ** 18,
        "sha256": sha256(b"a\n")}
    assert (inputs["link"]["how"], inputs["link"]["target"]) == (["target"], "a")
    assert inputs["d"]["how"] == ["listed", "looked up"]
    assert inputs["d"]["sha256"] == sha256(b"x")
    assert (inputs["no"]["how"], inputs["no"]["type"]) == (["looked up"], "absent")
    assert inputs["none"]["type"] == "absent"
    assert (inputs["s.sh"]["how"], inputs["s.sh"]["sha256"]) == (["executed", "read"],
                                                                  sha256(b"#!/bin/sh\necho s\n"))
    assert (inputs["out"]["how"], inputs["out"]["type"]) == (["read", "replaced"], "absent")
    assert ("replaced" in inputs["gone"]["how"], inputs["gone"]["type"]) == (True, "file")
    assert inputs["old"]["sha256"] == sha256(b"o\n")
    assert "sha256" not in inputs["cut"]
    assert {shell, os.path.realpath("/bin/cat")} <= {
        one["path"] for one in told["inputs"] if "executed" in one["how"] and one["type"] == "file"}
    assert any("loader" in one["how"] and one["type"] == "file" for one in told["inputs"])
    outputs = below(tool, told["outputs"])
    assert {path: (one["change"], one["type"], one.get("sha256")) for path, one in outputs.items()} == {
        "out": ("added", "file", sha256(b"new\n")), "made": ("added", "directory", None),
        "f": ("metadata", "file", sha256(b"f\n")), "gone": ("removed", "absent", None),
        "moved": ("renamed", "file", sha256(b"o\n")), "cut": ("modified", "file", sha256(b""))}
    assert outputs["moved"]["from"] == f"{tool.lower}/old"
    assert not (tool.lower / "out").exists()


@pytest.mark.parametrize("who", ["user"], indirect=True)
@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_answers_inside_are_recorded(tool: Tool, trap: str) -> None:
    """The same paths and ways as of a run in which the supervisor was asked each time."""
    tool.sh("mkdir include; "
            "for i in 1 2 3; do echo \"#include <stdio.h>\n#include \\\"i.h\\\"\nint f$i;\" >$i.c; done; "
            "echo 'int i;' >include/i.h")
    script = "for i in 1 2 3; do cc -Iinclude -c $i.c; done; for i in 1 2 3; do cat include/i.h; ls -l include; done"

    def asked(*options: str) -> dict[str, list[str]]:
        told = record(tool, "--trap", trap, *options, "--", "sh", "-c", script)
        assert told["complete"]
        mine = (f"{tool.home}/c", "/tmp/c")  # temporary files of cc
        return {one["path"]: one["how"] for one in told["inputs"] if not one["path"].startswith(mine)}

    each = asked("--no-inject")
    tool.env["PTOVERLAY_INJECT"] = "always"
    assert asked() == each
    done = tool("--trap", trap, "--record", tool.home / "r", "-v", "-C", tool.lower, "--", "sh", "-c", script)
    told = next(line for line in done.err.splitlines() if "answered inside" in line)
    assert int(told.split()[-2]) > 500, told


@pytest.mark.parametrize("who", ["user"], indirect=True)
def test_a_sandbox(tool: Tool) -> None:
    """What earlier runs in it have left is an input, and no output."""
    run_of = ("--name", "box", "-l", tool.lower, "-m", tool.lower)
    tool.ok(*run_of, "-C", tool.lower, "--", "sh", "-c", "echo 1 >before")
    told = record(tool, *run_of, "--", "sh", "-c", "cat before a; echo 2 >after")
    inputs, outputs = below(tool, told["inputs"]), below(tool, told["outputs"])
    assert (inputs["before"]["sha256"], inputs["a"]["sha256"]) == (sha256(b"1\n"), sha256(b"a\n"))
    assert {path: one["sha256"] for path, one in outputs.items()} == {"after": sha256(b"2\n")}


@pytest.mark.parametrize("who", ["user"], indirect=True)
@pytest.mark.debian("make", "ninja-build")
def test_depfile(tool: Tool) -> None:
    """make and ninja build anew when one of the files has changed, whatever its name is, and else do not."""
    names = ["a b", "h#sh", "d$llar", "c:lon", "back\\slash", "plain"]
    source = tool.directory("source")
    for name in names:
        (source / name).write_text(name)
    deps = source / "out.d"
    done = tool("--depfile", deps, "-l", source, "-m", source, "-C", source, "--", "sh", "-c", 'cat "$@" >out', "sh",
                *names)
    assert (done.status, done.err) == (0, "")
    text = deps.read_text()
    assert text.startswith("out: \\\n  ")
    (source / "out").write_text("made")
    (source / "Makefile").write_text("out:\n\t@echo made\n\t@touch out\ninclude out.d\n")
    (source / "build.ninja").write_text("rule make\n  command = touch out\n  depfile = out.d\nbuild out: make\n")
    seconds = 2_000_000_000
    for name in [*names, "out"]:
        os.utime(source / name, (seconds, seconds))
    for name in names:
        assert subprocess.run(["make", "-q"], cwd=source, check=False, capture_output=True).returncode == 0, name
        os.utime(source / name, (seconds + 5, seconds + 5))
        done = run(["make", "-q"], cwd=source)
        assert (done.status, name) == (1, name), done.err
        ninja = run(["ninja", "-n", "-d", "explain"], cwd=source).out
        assert "[1/1]" in ninja, ninja
        os.utime(source / name, (seconds, seconds))


@pytest.mark.debian("make", "ninja-build")
@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_depfile_of_what_is_direct(tool: Tool, trap: str) -> None:
    """Rules of make and ninja that run ptoverlay are run again when what they read has changed, and else not."""
    source = tool.directory("source")
    command = shlex.join(tool.words("--trap", trap, "--direct", source, "--depfile", "out.d", "--", "sh", "-c",
                                    "cat a >out"))
    (source / "Makefile").write_text(f"out: a\n\t{command}\n-include out.d\n")
    (source / "build.ninja").write_text(f"rule cat\n  command = {command}\n  depfile = out.d\nbuild out: cat\n")
    (source / "a").write_text("1")
    for builder in ("make", "ninja"):
        made: list[tuple[bool, str]] = []
        for again in (False, True, False, True):
            if made and not again:
                while (source / "a").stat().st_mtime_ns <= (source / "out").stat().st_mtime_ns:
                    (source / "a").write_text("2")
            ran = subprocess.run([builder], cwd=source, env=tool.env, capture_output=True, text=True, check=True).stdout
            made.append((command in ran or "[1/1]" in ran, (source / "out").read_text()))
        assert [one for one, _ in made] == [True, False, True, False], builder
        assert made[-1][1] == "2"
        (source / "out").unlink()


def test_names_of_a_rule() -> None:
    assert rule(["o"], ["a b", "x\\ y", "$(A)#"]) == "o: \\\n  a\\ b \\\n  x\\\\\\ y \\\n  $$(A)\\#\n"


@pytest.mark.parametrize("who", ["user"], indirect=True)
def parsed_by_protobuf(told: dict[str, Any]) -> tuple[Any, Any]:
    """By the published definitions (in-toto-attestation): a field that they do not know is an error."""
    return (json_format.ParseDict(told, statement_pb2.Statement()),
            json_format.ParseDict(told["predicate"], provenance_pb2.Provenance()))


def test_provenance(tool: Tool) -> None:
    """By the schema, and by the protocol buffers that in-toto publishes."""
    path, schema = tool.home / "p.json", json.loads(Path(__file__).with_name("slsa-v1.schema.json").read_text())
    assert tool.ok("--provenance", path, "-C", tool.lower, "--", "sh", "-c", "cat a >out") == ""
    told = json.loads(path.read_text())
    jsonschema.validate(told, schema, format_checker=jsonschema.FormatChecker())
    assert {one["name"]: one["digest"] for one in told["subject"]} == {
        f"{tool.lower}/out": {"sha256": sha256(b"a\n")}}
    resolved = told["predicate"]["buildDefinition"]["resolvedDependencies"]
    dependencies = {one["uri"]: one["digest"]["sha256"] for one in resolved}
    assert dependencies[f"file://{tool.lower}/a"] == sha256(b"a\n")
    assert dependencies[f"file://{os.path.realpath('/bin/cat')}"] == sha256(Path("/bin/cat").read_bytes())
    statement, provenance = parsed_by_protobuf(told)
    assert (statement.type, statement.predicate_type) == (told["_type"], told["predicateType"])
    assert statement.subject[0].digest["sha256"] == sha256(b"a\n")
    assert provenance.build_definition.external_parameters["command"][0] == "sh"
    assert provenance.run_details.metadata.started_on.ToJsonString()[:10] == \
        told["predicate"]["runDetails"]["metadata"]["startedOn"][:10]
    with pytest.raises(json_format.ParseError, match="no field named"):
        parsed_by_protobuf({**told, "other": 1})
    told["subject"][0]["digest"]["sha256"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, schema)


@pytest.mark.parametrize("who", ["user"], indirect=True)
def test_sbom(tool: Tool) -> None:
    """The packages that dpkg names for the same files."""
    path, other = tool.home / "bom.json", tool.home / "bom.spdx.json"
    assert tool.ok("--sbom", path, "-C", tool.lower, "--", "cat", "a") == "a\n"
    told = json.loads(path.read_text())
    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.5")
    version = run(["dpkg-query", "-W", "-f", "${Version}", "coreutils"]).out
    packages = {one["name"]: one for one in told["components"] if one["type"] == "library"}
    assert packages["coreutils"]["version"] == version
    assert packages["coreutils"]["purl"].startswith(f"pkg:deb/debian/coreutils@{version}?arch=")
    assert "libc6" in packages
    files = {one["name"]: one["hashes"] for one in told["components"] if one["type"] == "file"}
    assert files[f"{tool.lower}/a"] == [{"alg": "SHA-256", "content": sha256(b"a\n")}]
    assert tool.ok("--sbom", other, "-C", tool.lower, "--", "cat", "a") == "a\n"
    spdx = json.loads(other.read_text())
    assert (spdx["spdxVersion"], spdx["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert {one["name"] for one in spdx["packages"]} == {*packages}
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(path.read_text()) is None
    assert not validate_full_spdx_document(parse_file(str(other)))
    one = next(one for one in spdx["files"] if one["fileName"] == f".{tool.lower}/a")
    assert {kind["algorithm"]: kind["checksumValue"] for kind in one["checksums"]} == {
        "SHA1": hashlib.sha1(b"a\n").hexdigest(), "SHA256": sha256(b"a\n")}


@pytest.mark.parametrize("who", ["user"], indirect=True)
def test_digests_are_remembered(tool: Tool) -> None:
    """Once a file; never of one that was changed just now, and not of one that is another since."""
    record(tool, "--", "cat", "a")
    memory = Path(tool.env["XDG_CACHE_HOME"], "ptoverlay/digests.sqlite")

    def rows() -> dict[int, str]:
        with sqlite3.connect(memory) as connection:
            return dict(connection.execute("SELECT ino, sha256 FROM digests").fetchall())

    cat = os.stat("/bin/cat").st_ino
    assert rows()[cat] == sha256(Path("/bin/cat").read_bytes())
    assert (tool.lower / "a").stat().st_ino not in rows()
    with sqlite3.connect(memory) as connection:
        connection.execute("UPDATE digests SET sha256 = 'known' WHERE ino = ?", (cat,))
    found = {one["path"]: one.get("sha256") for one in record(tool, "--", "cat", "a")["inputs"]}
    assert found[os.path.realpath("/bin/cat")] == "known"
    memory.write_bytes(b"damaged" * 1000)
    for beside in memory.parent.glob("digests.sqlite-*"):
        beside.unlink()
    found = {one["path"]: one.get("sha256") for one in record(tool, "--", "cat", "a")["inputs"]}
    assert found[os.path.realpath("/bin/cat")] == sha256(Path("/bin/cat").read_bytes())


def test_bad_input(area: Path) -> None:
    tool = Tool(area, USER)
    for option in ("record", "provenance", "depfile", "sbom"):
        assert tool.fails(f"--{option}", "/nowhere/x", "--", "true") == \
            f"--{option} /nowhere/x: /nowhere: no such directory"
    assert tool.fails("--record", tool.home, "--", "true") == f"--record {tool.home}: it is a directory"
    tool.put_in_path()
    inner = tool("--", "ptoverlay", "--record", "x.json", "--", "true")
    assert (inner.status, inner.err) == (125, "ptoverlay: --record: inside a run the run around records "
                                              "(give it to that one)\n")


@pytest.mark.parametrize("who", ["user"], indirect=True)
@pytest.mark.parametrize("trap", ["notify", "ptrace"])
def test_sockets(tool: Tool, trap: str) -> None:
    """Of other families than AF_UNIX, and those that somebody else listens on; not CMD's own."""
    script = ("import socket as s; a = s.socket(s.AF_UNIX); a.bind('own'); a.listen()\n"
              "s.socket(s.AF_UNIX).connect('own')\n"
              "try: s.socket(s.AF_UNIX).connect('none')\nexcept OSError: pass")
    told = record(tool, "--trap", trap, "--", "python3", "-c", script)
    assert (told["sockets"], below(tool, told["inputs"])["none"]["type"]) == ([], "absent")
    told = record(tool, "--trap", trap, "--", "python3", "-c", "import socket as s; s.socket(s.AF_INET)")
    assert told["sockets"] == [""]
    with socket.socket(socket.AF_UNIX) as listening:
        path = tool.lower / "there"
        listening.bind(str(path))
        path.chmod(0o777)
        listening.listen()
        told = record(tool, "--trap", trap, "--", "python3", "-c",
                      f"import socket as s; s.socket(s.AF_UNIX).connect('{path}')")
        assert told["sockets"] == [str(path)]
        path.unlink()
