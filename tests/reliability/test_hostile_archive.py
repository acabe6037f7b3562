"""Archives that somebody means ill with: one line, nothing written; and what looks odd but means something.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from support.archives import END, base256, file, filled, header, long_name, pax, raw_pax, record
from support.oracle import Who
from support.sandboxes import Tool

from ptoverlay.ship.tar import Broken, Reader

F = file(b"x")
DEEP = b"d/" * 20_000 + b"f"
MTIME = b"mtime"


def sparse1(text: bytes, real: bytes = b"8192", data: bytes = bytes(512)) -> bytes:
    """A sparse file of pax 1.0 with this map before its data."""
    stored = filled(text) + data
    return pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"),
               (b"GNU.sparse.realsize", real)) + file(stored)


def old_sparse(pieces: list[int], real: int = 8192, size: int = 512, more: bytes = b"\0") -> bytes:
    """One of GNU's own type."""
    block = header(b"s", b"S", size, magic=b"ustar  \0", map=b"".join(b"%011o\0" % number for number in pieces),
                   more=more, real=b"%011o\0" % real)
    return block + bytes(size)


BROKEN = {
    "empty": b"",
    "no-archive": b"not an archive\n" * 100,
    "sum": header(sum=b"000000\0 ") + END,
    "second-sum": F + header(b"g", sum=b"000000\0 ") + END,
    "half-header": F + header(b"g")[:300],
    "half-file": header(size=10_000) + b"x" * 500,
    "letters-in-mode": header(mode=b"rw-r--r-") + END,
    "huge-size": header(size=0o77777777777),
    "negative-uid": header(uid=base256(-5, 8)) + END,
    "uid": header(uid=base256(1 << 32, 8)) + END,
    "uid-of-nobody": header(uid=base256((1 << 32) - 1, 8)) + END,
    "pax-uid": pax((b"uid", b"4294967295")) + F + END,
    "pax-gid": pax((b"gid", b"-1")) + F + END,
    "time": header(mtime=base256(1 << 80)) + END,
    "size-in-pax": pax((b"size", b"99999999999999999999")) + F + END,
    "size-not-there": pax((b"size", b"4611686018427387904")) + F + END,
    "device": header(b"dev", b"3", major=b"0777777\0", minor=b"0000001\0") + END,
    "minor": header(b"dev", b"4", major=b"0000001\0", minor=base256(1 << 33, 8)) + END,
    "nul-in-name": pax((b"path", b"a\0b")) + F + END,
    "nul-in-target": pax((b"linkpath", b"a\0b")) + header(b"l", b"2") + END,
    "nul-in-hard-link": pax((b"linkpath", b"f\0b")) + header(b"l", b"1") + END,
    "no-target": header(b"l", b"2") + END,
    "nul-in-attribute": pax((b"SCHILY.xattr.user.a\0b", b"1")) + F + END,
    "no-attribute": pax((b"SCHILY.xattr.", b"1")) + F + END,
    "attribute-of-no-kind": pax((b"SCHILY.xattr.nothing", b"1")) + F + END,
    "attribute-too-long": pax((b"SCHILY.xattr.user." + b"n" * 300, b"1")) + F + END,
    "attribute-too-large": pax((b"SCHILY.xattr.user.a", b"v" * 70_000)) + F + END,
    "many-pax": pax((b"comment", b"x")) * 3000 + F + END,
    "many-long-names": long_name(b"name") * 5000 + F + END,
    "many-global": pax((b"comment", b"x"), type=b"g") * 3000 + F + END,
    "large-global": pax((b"comment", b"x" * 100_000), type=b"g") + F + END,
    "huge-pax": header(b"pax", b"x", 1 << 32) + END,
    "long-name-alone": long_name(b"name") + END,
    "pax-alone": pax((b"path", b"name")) + END,
    "pax-short": raw_pax(b"5 a=b") + F + END,
    "pax-long": raw_pax(b"99 a=b\n") + F + END,
    "pax-no-length": raw_pax(b"a=b\n") + F + END,
    "pax-rest": raw_pax(record(b"a", b"b") + b"rest") + F + END,
    "pax-digits": raw_pax(b"1" * 100_000) + F + END,
    "pax-zero": raw_pax(b"0 a=b\n" * 3) + F + END,
    "pax-negative": raw_pax(b"-6 a=b\n") + F + END,
    "pax-no-equals": raw_pax(b"6 abc\n") + F + END,
    "deep": pax((b"path", DEEP)) + F + END,
    "deep-long-name": long_name(DEEP) + F + END,
    "deep-parts": header(b"d/" * 48, b"5", prefix=b"e/" * 70) + pax((b"path", DEEP)) + F,
    "name-too-long": pax((b"path", b"n" * 300)) + F + END,
    "outside": file(b"x", b"../../out") + END,
    "outside-absolute": file(b"x", b"/a/../../out") + END,
    "outside-link": header(b"l", b"1", link=b"../../etc/passwd") + END,
    "below-a-symlink": header(b"l", b"2", link=b"/tmp") + file(b"x", b"l/f") + END,
    "below-a-file": F + file(b"x", b"f/g") + END,
    "link-to-nothing": header(b"l", b"1", link=b"nothing") + END,
    "link-to-what-is-removed": file(b"", b".wh.g") + header(b"l", b"1", link=b"g") + END,
    "acl-of-no-meaning": pax((b"SCHILY.xattr.system.posix_acl_access", b"x")) + F + END,
    "link-to-itself": F + header(b"f", b"1", link=b"f") + END,
    "link-to-directory": header(b"d", b"5") + header(b"l", b"1", link=b"d") + END,
    "root-is-a-file": file(b"x", b".") + END,
    "whiteout-of-nothing": file(b"", b".wh.") + END,
    "whiteout-of-dots": file(b"", b".wh...") + END,
    "type": header(type=b"M") + END,
    "metacopy": pax((b"SCHILY.xattr.trusted.overlay.metacopy", b"x")) + F + END,
    "sparse-no-map": sparse1(b""),
    "sparse-letters": sparse1(b"1\nx\n1\n"),
    "sparse-count": sparse1(b"99999999999999999999\n"),
    "sparse-many": sparse1(b"9999999999\n" + b"0\n" * 100),
    "sparse-long-line": sparse1(b"1" * 3000),
    "sparse-overlap": sparse1(b"2\n0\n256\n128\n256\n"),
    "sparse-outside": sparse1(b"1\n8000\n512\n"),
    "sparse-other-size": sparse1(b"1\n0\n100\n"),
    "sparse-real-size": sparse1(b"1\n0\n512\n", real=b"-1"),
    "sparse-no-real-size": sparse1(b"1\n0\n512\n", real=b""),
    "sparse-unknown": pax((b"GNU.sparse.major", b"7")) + F + END,
    "sparse-map-half": pax((b"GNU.sparse.map", b"0,1,2"), (b"GNU.sparse.size", b"9")) + F + END,
    "sparse-map-text": pax((b"GNU.sparse.map", b"0,x"), (b"GNU.sparse.size", b"9")) + F + END,
    "sparse-pairs": pax((b"GNU.sparse.offset", b"5"), (b"GNU.sparse.size", b"9")) + F + END,
    "old-sparse-overlap": old_sparse([0, 256, 128, 256]),
    "old-sparse-outside": old_sparse([8000, 512]),
    "old-sparse-more": old_sparse([0, 512], more=b"\1"),
    "old-sparse-endless": old_sparse([0, 512], more=b"\1", size=0) + (bytes(504) + b"\1" + bytes(7)) * 10_000,
    "much-after-the-end": F + END + bytes(20 << 20),
    **{f"time-{text!r}": pax((MTIME, text)) + F + END
       for text in (b"abc", b"nan", b"inf", b"1e5", b"1.2.3", b"-", b".5", b" 1", b"1_0", b"9" * 5000,
                    "١".encode())},
}


@pytest.fixture
def tool(area: Path, who: Who) -> Tool:
    return Tool(area, who)


def names(top: Path) -> list[str]:
    """All that is below a directory."""
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


# ---- one line, and nothing written ----


def test_nothing_is_made_of_what_is_broken(tool: Tool) -> None:
    """All of them with the command, once: it starts slowly. The message is one that says why."""
    archive = tool.home / "bad.tar"
    upper = tool.home / "upper"
    for name in ("time-b'abc'", "uid", "deep", "below-a-symlink", "sparse-overlap", "many-pax", "attribute-too-large"):
        archive.write_bytes(BROKEN[name])
        tool.fails("import", "-l", tool.lower, "new", archive)
        tool.fails("import", "-l", tool.lower, "-u", upper, archive)
        assert not (tool.state / "ptoverlay/sandboxes/new").exists(), name
        assert not upper.exists(), name
    archive.write_bytes(BROKEN["acl-of-no-meaning"])
    assert ": f: Invalid argument" in tool.fails("import", "-l", tool.lower, "new", archive)
    upper.mkdir(0o750)
    if os.geteuid() == 0:
        os.chown(upper, tool.who.uid, tool.who.gid)
    before = os.stat(upper)
    archive.write_bytes(header(b"./", b"5", mode=b"0000777\0") + F + BROKEN["uid"])
    assert "owner" in tool.fails("import", "-l", tool.lower, "-u", upper, archive)
    after = os.stat(upper)
    assert names(upper) == []
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.parametrize("name", BROKEN)
def test_broken(tmp_path: Path, name: str) -> None:
    """The same without the start of a program, for each: `Failure` or OSError, and an empty upper."""
    from ptoverlay.errors import Failure
    from ptoverlay.sandboxes.sandbox import Metadata, Sandbox
    from ptoverlay.ship.importing import fill, sources_of

    (tmp_path / "lower").mkdir()
    (tmp_path / "bad.tar").write_bytes(BROKEN[name])
    box = Sandbox(Metadata("", [str(tmp_path / "lower")], str(tmp_path / "lower")), str(tmp_path / "upper"),
                  str(tmp_path / "work"))
    began = time.process_time()
    with pytest.raises((Failure, OSError)) as caught:
        fill(box, sources_of(str(tmp_path / "bad.tar"), None))
    assert time.process_time() - began < 10
    assert not isinstance(caught.value, OSError) or caught.value.errno
    assert sorted(os.listdir(tmp_path)) == ["bad.tar", "lower"]


@pytest.mark.quick
def test_reader_is_cut_anywhere() -> None:
    """Each prefix of an archive ends in `Broken`, or at the end of an entry; each byte changed is read or broken."""
    whole = pax((b"path", b"name"), (MTIME, b"5.25")) + F + sparse1(b"1\n100\n512\n") + old_sparse([0, 512]) + END
    for end in range(0, len(whole), 7):
        try:
            for _ in (reader := Reader(io.BytesIO(whole[:end]))):
                assert sum(len(data) for _, data in reader.data()) in (1, 512)
        except Broken:
            continue
        assert end % 512 == 0 or end > len(whole) - 1024 or not any(whole[end - end % 512:])
    for at in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        try:
            for _ in (reader := Reader(io.BytesIO(bytes(changed)))):
                for _ in reader.data():
                    pass
        except Broken:
            pass


def test_a_compressed_archive_is_read_to_its_end(tool: Tool) -> None:
    """The sum of a compressed stream stands behind the archive's end."""
    data = bytearray(gzip.compress(F + END))
    data[-6] ^= 1
    (tool.home / "bad.tar.gz").write_bytes(data)
    assert "broken archive" in tool.fails("import", "-l", tool.lower, "new", tool.home / "bad.tar.gz")
    (tool.home / "bad.tar.gz").write_bytes(gzip.compress(F + END)[:-4])
    assert "broken archive" in tool.fails("import", "-l", tool.lower, "new", tool.home / "bad.tar.gz")


# ---- what is odd, and means something ----


def imported(tool: Tool, data: bytes) -> Path:
    """The upper that an archive becomes."""
    (tool.home / "odd.tar").write_bytes(data)
    tool("import", "-l", tool.lower, "odd", tool.home / "odd.tar")
    return tool.state / "ptoverlay/sandboxes/odd/upper"


def test_times(tool: Tool) -> None:
    upper = imported(tool, b"".join(
        pax((MTIME, text), (b"path", name)) + F for name, text in ((b"a", b"-1.5"), (b"b", b"7"), (b"c", b"7."),
                                                                  (b"d", b"5.1234567899"), (b"e", b"")))
        + file(b"x", b"g", mtime=base256(-2)) + file(b"x", b"h", mtime=b"          7 ") + END)
    got = {name: (upper / name).stat().st_mtime_ns for name in "abcdegh"}
    assert got == {"a": -1_500_000_000, "b": 7 * 10**9, "c": 7 * 10**9, "d": 5_123_456_789, "e": 10**9,
                   "g": -2 * 10**9, "h": 7 * 10**9}


def test_names(tool: Tool) -> None:
    long = b"l/" * 250 + b"f"
    upper = imported(
        tool, long_name(long) + F + header(b"old/", b"\0") + file(b"x", b"name", prefix=b"be/fore")
        + pax((b"path", b"\xff\xfe\n")) + F + header(b"gone", b"5") + file(b"x", b"gone/f") + file(b"y", b"gone") + END)
    assert (upper / os.fsdecode(long)).read_bytes() == b"x"
    assert (upper / "old").is_dir()
    assert (upper / "be/fore/name").read_bytes() == b"x"
    assert (upper / os.fsdecode(b"\xff\xfe\n")).read_bytes() == b"x"
    assert (upper / "gone").read_bytes() == b"y"


def test_attributes_that_are_empty_or_ours(tool: Tool) -> None:
    """What ptoverlay keeps for itself, and who a copy is of, is not taken from an archive."""
    upper = imported(tool, pax(
        (b"SCHILY.xattr.user.empty", b""), (b"SCHILY.xattr.user.bytes", b"\0\xff\n="),
        (b"SCHILY.xattr.user.overlay.ptoverlay.kept", b"04755 0 0"), (b"SCHILY.xattr.user.overlay.origin", b"x"),
        (b"SCHILY.xattr.trusted.overlay.ptoverlay.base", b"x")) + F + END)
    found = {name: os.getxattr(upper / "f", name) for name in os.listxattr(upper / "f")}
    assert {name: value for name, value in found.items() if name.startswith("user.") and "overlay" not in name} == {
        "user.empty": b"", "user.bytes": b"\0\xff\n="}
    assert [(name, value[:2]) for name, value in found.items() if "overlay" in name] == [
        ("user.overlay.ptoverlay.kept", b"1:")] * (not tool.who.is_root)  # that it is root's, by import itself


FORMATS = [["--format=gnu"], *(["--format=posix", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0"))]


@pytest.mark.parametrize("format", FORMATS, ids=lambda words: words[-1].partition("=")[2])
def test_sparse_files_of_gnu_tar(tool: Tool, format: list[str]) -> None:
    """Their contents and their holes; a piece at the end, none at the end, and more pieces than a header has room."""
    tool.sh("truncate -s 3G big; echo end >>big; truncate -s 1M none; truncate -s 100K many; for i in $(seq 0 8 96); "
            "do echo $i | dd of=many bs=1K seek=$i conv=notrunc status=none; done; seq 9999 >plain", tool.home)
    subprocess.run(["tar", "--sparse", *format, "-cf", tool.home / "s.tar", "big", "none", "many", "plain"], check=True,
                   cwd=tool.home)
    tool("import", "-l", tool.lower, "odd", tool.home / "s.tar")
    upper = tool.state / "ptoverlay/sandboxes/odd/upper"
    for name in ("none", "many", "plain"):
        assert (upper / name).read_bytes() == (tool.home / name).read_bytes(), name
    with open(upper / "big", "rb") as big:
        assert os.fstat(big.fileno()).st_size == (3 << 30) + 4
        assert os.fstat(big.fileno()).st_blocks * 512 < 1 << 20
        assert os.pread(big.fileno(), 100, (3 << 30) - 2) == b"\0\0end\n"
    assert os.stat(upper / "none").st_blocks == 0


def test_zeros_become_a_hole(tool: Tool) -> None:
    data = b"a" * 1000 + bytes(3 << 20) + b"b"
    upper = imported(tool, file(data) + END)
    assert (upper / "f").read_bytes() == data
    assert (upper / "f").stat().st_blocks * 512 < 1 << 20


def test_types(tool: Tool) -> None:
    """A file of the type for contiguous ones; a link with a size, after which no data comes; a fifo; a whiteout of two
    names, as layers of overlayfs have them."""
    upper = imported(tool, file(b"x", b"c", type=b"7") + header(b"l", b"2", 100, link=b"c")
                     + header(b"h", b"1", 100, link=b"c") + header(b"p", b"6")
                     + header(b"w", b"3", major=b"0000000\0", minor=b"0000000\0") + header(b"v", b"1", link=b"w") + END)
    assert (upper / "c").read_bytes() == b"x"
    assert os.readlink(upper / "l") == "c"
    assert (upper / "h").stat().st_ino == (upper / "c").stat().st_ino
    assert stat.S_ISFIFO((upper / "p").lstat().st_mode)
    assert [((upper / name).lstat().st_rdev, (upper / name).lstat().st_nlink) for name in ("w", "v")] == [(0, 2)] * 2


@pytest.mark.quick
def test_record_knows_its_length() -> None:
    assert [record(b"a", b"b" * size) for size in (1, 5)] == [b"6 a=b\n", b"11 a=bbbbb\n"]
