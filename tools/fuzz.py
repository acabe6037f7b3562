"""What tools/fuzz runs: inputs that anybody may have made, guided by the coverage of the code that reads them.

archive   import: the reader of archives and what it puts into an upper (atheris)
state     sandbox.json, stats.json and the index of an image layout (atheris)
layer     private attributes, redirects and whiteouts of layers, in the core (libFuzzer; fuzz.d/layer.c)

    tools/fuzz [--seconds N] [--record FILE] [TARGET…]
    tools/fuzz TARGET --input FILE      one input again

Inputs that were worth keeping stay in build/fuzz/TARGET, so that the next run goes on from them.

Rules: whatever the input, the code ends in a result, in `Failure` or in OSError; an import that fails leaves nothing,
and none leaves anything beside its upper; no answer of a view leads out of its layers.  Anything else is a finding:
the exit status is 1 and the input is kept.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))
BUILD = TOP / "build/fuzz"
MEMORY = Path("/dev/shm")
INSTRUMENTED = [f"ptoverlay.{name}" for name in ("ship.tar", "ship.importing", "ship.oci", "ship.layout", "commit.tree",
                                                 "commit.attributes", "sandbox", "stats", "state")]
CLANG = ["clang", "-std=gnu11", "-g", "-O1", "-pthread", "-fsanitize=fuzzer,address,undefined",
         "-fno-sanitize-recover=undefined"]
_DONE = re.compile(r"^#\d+\s+DONE\s+cov: (\d+).*^Done (\d+) runs in (\d+) second", re.MULTILINE | re.DOTALL)


#: What makes the function that takes an input, the inputs to begin with, the longest one in bytes.
Target = tuple[Callable[[Path], Callable[[bytes], None]] | None, Callable[[], list[bytes]], int]


# ---- seeds: what is right, for the mutations to begin with


def archive_seeds() -> list[bytes]:
    """An entry of each type, and a header of each kind."""
    from support.archives import END, base256, file, header, long_name, pax, record

    sparse = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"),
                 (b"GNU.sparse.realsize", b"9999"))
    return [
        file(b"x" * 700) + END, header(b"d/", b"5") + file(b"y", b"d/f") + END, header(b"l", b"2", link=b"d") + END,
        file(b"x") + header(b"h", b"1", link=b"f") + END, header(b"p", b"6") + header(b"c", b"3") + END,
        header(b"b", b"4", major=b"0000001\0", minor=b"0000002\0") + END, long_name(b"n" * 120) + file(b"x") + END,
        pax((b"path", b"p"), (b"mtime", b"1.5"), (b"uid", b"7"), (b"SCHILY.xattr.user.a", b"v")) + file(b"x") + END,
        pax((b"SCHILY.xattr.trusted.overlay.redirect", b"/a")) + header(b"d", b"5") + END,
        file(b"", b"d/.wh.x") + file(b"", b"d/.wh..wh..opq") + END,
        pax((b"comment", b"g"), type=b"g") + file(b"x") + END,
        sparse + file(b"1\n1024\n512\n".ljust(512, b"\0") + bytes(512)) + END,
        pax((b"GNU.sparse.map", b"0,1,5,1"), (b"GNU.sparse.size", b"9")) + file(b"xy") + END,
        header(b"s", b"S", 512, map=b"%011o\0%011o\0" % (0, 512), real=b"%011o\0" % 4096) + bytes(512) + END,
        file(b"x", mtime=base256(-5), uid=base256(7, 8)) + END, record(b"path", b"x"),
    ]


def state_seeds() -> list[bytes]:
    from ptoverlay.reports.stats import Call, Statistics
    from ptoverlay.sandboxes.sandbox import Metadata, Run

    run = Run(["true"], "/", 1.0, 2.0, 0)
    return [json.dumps(asdict(Metadata("x", ["/"], "/", last_run=run))).encode(),
            json.dumps(Statistics((Call("openat", (1, 2, 3, 4), 5),), trap="notify").as_json()).encode(),
            b'{"manifests":[{"digest":"sha256:0","annotations":{"org.opencontainers.image.ref.name":"a"}}]}']


def layer_seeds() -> list[bytes]:
    """Two bytes for the options, then marks: which attribute, of what, how long, its value."""
    def mark(name: int, of: int, value: bytes) -> bytes:
        return bytes([name, of, len(value)]) + value

    values = (b"y", b"x", b"/a", b"/b", b"d", b"/a/d", b"../out/secret", b"/../out/secret", b"/m", b"/n//o", b"", b".",
              b"0 0 100644", b"f" * 250)
    return [bytes([4, 1]) + mark(0, 1, b"y") + mark(1, of, value) + mark(2, 6, b"") for value in values
            for of in (3, 4, 12)] + [bytes([36, 7]) + mark(name, 6, b"/b/h") for name in range(16)]


# ---- targets


def fuzz_archive(work: Path) -> Callable[[bytes], None]:
    from ptoverlay.errors import Failure
    from ptoverlay.remove import remove_tree
    from ptoverlay.sandboxes.sandbox import Metadata, Sandbox
    from ptoverlay.ship.importing import fill, sources_of

    lower = work / "lower"
    lower.mkdir()
    box = Sandbox(Metadata("", [str(lower)], str(lower)), str(work / "upper"), str(work / "work"))
    given = work / "given.tar"

    def one(data: bytes) -> None:
        given.write_bytes(with_right_sums(data))
        try:
            fill(box, sources_of(str(given), None))
        except (Failure, OSError):
            assert sorted(os.listdir(work)) == ["given.tar", "lower"], "something is left"
            return
        assert sorted(os.listdir(work)) == ["given.tar", "lower", "upper"], "something was made outside"
        assert os.listdir(lower) == []
        remove_tree(box.upper)

    return one


def with_right_sums(data: bytes) -> bytes:
    """Most of what a mutation makes would end at the sum of a header: those that look like one get the right one."""
    blocks = bytearray(data)
    for at in range(0, len(blocks) - 511, 512):
        if blocks[at + 257:at + 262] == b"ustar":
            total = sum(blocks[at:at + 512]) - sum(blocks[at + 148:at + 156]) + 8 * 0x20
            blocks[at + 148:at + 156] = b"%06o\0 " % total
    return bytes(blocks)


def fuzz_state(work: Path) -> Callable[[bytes], None]:
    from ptoverlay.errors import Failure
    from ptoverlay.reports.stats import Statistics
    from ptoverlay.sandboxes import state
    from ptoverlay.sandboxes.sandbox import Metadata, Sandbox
    from ptoverlay.ship import layout, oci

    path, index = work / "sandbox.json", work / "index.json"
    (work / "oci-layout").write_text("{}")

    def one(data: bytes) -> None:
        data = with_odd_values(data)
        path.write_bytes(data)
        index.write_bytes(data)
        try:
            metadata = Metadata.load(path)
            box = Sandbox(metadata, str(work / "upper"), str(work / "work"))
            with box.base():
                box.overlay()
            json.dumps(asdict(metadata))
        except (Failure, OSError):
            pass
        try:
            made = Statistics.from_json(state.read(path))
            made.table()
        except (ValueError, KeyError):
            pass
        for read in (lambda: oci._open(work), lambda: layout.layers(str(work), None)):
            try:
                read()
            except (Failure, OSError):
                pass

    return one


ODD: list[Any] = [None, True, 0, -1, 1, 1 << 31, 1 << 63, 1 << 64, 1.5, 1e300, float("nan"), float("inf"), "", "x", "/",
                  "/a", "a/b", "..", "a\0b", "\ud800", "\udcff", "x" * 5000, [], [[]], ["/"], [1], [None], {}, {"a": 1},
                  {"pass": 1}, ["/"] * 600]


def with_odd_values(data: bytes) -> bytes:
    """Bytes as they are, or one of the seeds with some values in it replaced, as the bytes choose them."""
    if data[:1] <= b"\x40":
        return data[1:]
    numbers = iter(data[1:])
    seeds = state_seeds()
    document = json.loads(seeds[next(numbers, 0) % len(seeds)])
    for _ in range(next(numbers, 0) % 3 + 1):
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = keys[next(numbers, 0) % len(keys)]
            if next(numbers, 0) % 2 or not isinstance(node[key], dict | list) or not node[key]:
                node[key] = copy.deepcopy(ODD[next(numbers, 0) % len(ODD)])
                break
            node = node[key]
        if not document:
            break
    return json.dumps(document).encode()


TARGETS: dict[str, Target] = {"archive": (fuzz_archive, archive_seeds, 8192), "state": (fuzz_state, state_seeds, 4096),
           "layer": (None, layer_seeds, 400)}


# ---- running


def atheris_main(target: str, words: list[str]) -> None:
    """In a process of its own: libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        pass
    work = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    make = TARGETS[target][0]
    assert make is not None
    os.environ["FUZZ_DIRECTORY"] = str(work)
    atheris.Setup([sys.argv[0], *words], make(work))
    atheris.Fuzz()


def command(target: str, directory: Path) -> list[str]:
    """What runs the target, without its options."""
    if target != "layer":
        return [sys.executable, __file__, "--target", target]
    program = directory / "program"
    sources = [TOP / "tools/fuzz.d/layer.c", *sorted(TOP.glob("csrc/view/*.c"))]
    subprocess.run([*CLANG, "-o", str(program), *map(str, sources)], check=True)
    return [str(program)]


Row = dict[str, int | str]


def run(target: str, seconds: int, given: Path | None) -> Row | None:
    """Runs one target: how many inputs, how much code they reached, in how many seconds; None: something was found."""
    directory = BUILD / target
    corpus = directory / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(TARGETS[target][1]()):
        (corpus / f"seed{number}").write_bytes(seed)
    work = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    words = [str(given)] if given else [f"-max_total_time={seconds}", f"-max_len={TARGETS[target][2]}", "-timeout=20",
                                        "-rss_limit_mb=3000", f"-artifact_prefix={directory}/found-", str(corpus)]
    try:
        done = subprocess.Popen([*command(target, directory), *words], stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "FUZZ_DIRECTORY": str(work), "TMPDIR": str(work)})
        assert done.stderr is not None
        text = io.StringIO()
        for line in done.stderr:
            text.write(line)
            if not line.startswith(("#", "\tNEW_FUNC", "INFO:")):
                sys.stderr.write(line)
        if done.wait():
            return None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    match = _DONE.search(text.getvalue())
    if not match:
        return {}
    return {"target": target, "runs": int(match[2]), "coverage": int(match[1]), "seconds": int(match[3])}


def record(path: Path, rows: list[Row]) -> None:
    """The table that the documentation shows."""
    when = time.strftime("%Y-%m-%d", time.gmtime())
    lines = [".. Made by tools/fuzz --record", "", f"Last run: {when}; nothing was found.", "", ".. list-table::",
             "   :header-rows: 1", "", "   * - target", "     - inputs", "     - code reached", "     - seconds"]
    for row in rows:
        lines += [f"   * - {row['target']}", f"     - {row['runs']:,}", f"     - {row['coverage']:,}",
                  f"     - {row['seconds']:,}"]
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    """Everything; 1 when something was found."""
    if sys.argv[1:2] == ["--target"]:
        atheris_main(sys.argv[2], sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(prog="tools/fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: {' '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="of each target (default: 60)")
    parser.add_argument("--input", type=Path, help="this one only, e.g. one that was found")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the result as a page's part")
    options = parser.parse_args()
    targets = options.targets or list(TARGETS)
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}")
    rows = [run(target, options.seconds, options.input) for target in targets]
    print(json.dumps(rows, indent=1))
    if None in rows:
        return 1
    if options.record:
        record(options.record, [row for row in rows if row])
    return 0


if __name__ == "__main__":
    sys.exit(main())
