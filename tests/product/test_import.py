"""import: what was exported comes back as it was, and what is no layer is refused.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile

import pytest
from support.oracle import ROOT, USER, Done, Who, run
from support.shipping import (
    FORMATS,
    IGNORE,
    NODES,
    SCRIPT,
    MakeWorld,
    export,
    say_everything,
)
from support.snapshot import TREE, assert_equal
from support.tool import Tool, tool_for
from support.world import World


@pytest.fixture
def world(make_world: MakeWorld, who: Who) -> World:
    """A layer that says everything, over a lower."""
    return say_everything(make_world(who, "ptrace"))


# ---- there and back


@pytest.mark.debian("attr")
@pytest.mark.parametrize("format", FORMATS)
def test_imported_again(world: World, format: str) -> None:
    """The layer of the archive shows what the one that was exported shows."""
    archive = export(world, "layer.tar.gz", "--format", format)
    expected = world.box().snapshot()
    world.upper, world.work = world.home / "new-upper", world.home / "new-work"
    Tool(world).check("import", str(archive))
    assert_equal("the imported layer", expected, world.box().snapshot(), TREE, ignore=IGNORE)


def test_import_as_a_sandbox(make_world: MakeWorld) -> None:
    """By name, over the lower given; then it can be committed."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("echo more >>a; rm b")
    archive = export(world, "layer.tar.zst")
    from support.tool import tool_for

    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}

    def ptoverlay(*words: str) -> Done:
        return run(tool_for(USER, *words), env=env, cwd=world.mount)

    lower = str(world.lowers[0])
    assert ptoverlay("import", "-l", lower, "mine", str(archive)).status == 0
    assert ptoverlay("import", "-l", lower, "mine", str(archive)).status == 125
    shown = ptoverlay("diff", "--json", "mine")
    assert {(change["path"], change["kind"]) for change in json.loads(shown.out)} == \
        {(f"{lower}/a", "modified"), (f"{lower}/b", "removed")}
    assert ptoverlay("commit", "mine").status == 0
    world.freeze()
    assert (world.lowers[0] / "a").read_text() == "a\nmore\n"
    assert not (world.lowers[0] / "b").exists()


@pytest.mark.root_only
def test_import_keeps_whose_things_are(make_world: MakeWorld) -> None:
    """Of what an ordinary user cannot give to others, as of what a command makes: the view shows it, and nothing that
    is as the lower has it counts as changed."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    lower = world.lowers[0]
    for name, mode in (("d", 0o1777), ("a", 0o644), ("c", 0o4755)):
        os.chown(lower / name, 0, 0)
        os.chmod(lower / name, mode)
    os.symlink("a", lower / "link")
    os.chown(lower / "link", 0, 0, follow_symlinks=False)
    for name in ("a", "c", "link"):
        os.utime(lower / name, (5, 5), follow_symlinks=False)  # TarInfo has no fractions of a second
    world.freeze()
    archive = world.home / "others.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("d", "a", "c", "link"):
            tar.add(lower / name, name, recursive=False)
        for name, kind in (("new", tarfile.REGTYPE), ("node", tarfile.CHRTYPE), ("fifo", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.devmajor, info.devminor, info.mode = kind, 1, 3, 0o4711
            tar.addfile(info)
    done = Tool(world).run("import", str(archive))
    assert done.status == 0
    assert "node: a device, left out" in done.err
    assert "2 of 7 entries belong to others" in done.err  # link and fifo
    assert sorted(os.listdir(world.upper)) == ["a", "c", "d", "fifo", "link", "new"]
    assert not stat.S_IMODE((world.upper / "new").stat().st_mode) & 0o7000
    changed = json.loads(Tool(world).check("diff", "--json", status=1))
    shown = {os.path.relpath(change["path"], world.mount): change for change in changed}
    assert shown.keys() <= {"c", "fifo", "new"}  # c has an attribute that this archive does not have
    assert (shown["new"]["uid"], shown["new"]["gid"], shown["new"]["mode"]) == (0, 0, "4711")
    box = world.box().snapshot()
    assert [(box[name].uid, box[name].mode) for name in ("d", "a", "c", "new")] == [
        ("0", "1777"), ("0", "0644"), ("0", "4755"), ("0", "4711")]
    assert Tool(world).run("commit", "d", "a", "link").status == 0


def test_what_only_root_could_look_into_goes_out_again(make_world: MakeWorld) -> None:
    """A directory of root's that nobody else may enter, imported by an ordinary user: the view keeps programs out, and
    his tools look into his own layer."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    archive = world.home / "closed.tar"
    with tarfile.open(archive, "w") as tar:
        for name, kind, mode in (("closed", tarfile.DIRTYPE, 0o700), ("closed/file", tarfile.REGTYPE, 0o600)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.size = kind, mode, 5, 4 * (kind == tarfile.REGTYPE)
            tar.addfile(info, io.BytesIO(b"text"))
    assert Tool(world).run("import", str(archive)).status == 0
    assert "Permission denied" in world.box().run(["ls", str(world.mount / "closed")], env=world.env).err
    assert "closed/file  (owner 0:0)" in Tool(world).check("diff", status=1)
    assert Tool(world).run("export", "-o", str(world.home / "again.tar")).status == 0
    with tarfile.open(world.home / "again.tar") as tar:
        found = {info.name: (info.mode, info.uid, info.size) for info in tar if info.name.startswith("closed")}
    assert found == {"closed": (0o700, 0, 0), "closed/file": (0o600, 0, 4)}
    assert "closed: not committed: only root can make what belongs to 0:0\n" in Tool(world).run("commit", "-n").err


@pytest.mark.parametrize("format", ["tar", "layout"])
def test_import_of_an_image(make_world: MakeWorld, who: Who, format: str) -> None:
    """One layer that shows what those of a chain of forks show; from a layout, or from what its layers are."""
    world = make_world(who, "ptrace")
    world.lay_out(NODES)
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}
    lower, directory = str(world.lowers[0]), str(world.home / "layout")

    def tool(*words: str, status: int = 0) -> Done:
        done = run(tool_for(who, *words), env=env, cwd=world.mount)
        assert done.status == status, done.err
        return done

    tool("run", "--name", "one", "-l", lower, "-m", str(world.mount), "--", "sh", "-ec", SCRIPT)
    tool("fork", "one", "two")
    tool("run", "--name", "two", "--", "sh", "-ec", "rm a; rm -r moved; mkdir moved; echo 2 >moved/2; ln n/1 n/3; "
         "rm -r e; rm old; mkdir old; echo 4 >old/4; rm -r d; echo file >d; mkdir b; echo deep >b/deep")
    tool("fork", "two", "three")
    tool("run", "--name", "three", "--", "sh", "-ec", "echo a >a; mv n n-moved; rm -r b; mkdir -p e/new d2; touch e/x")
    if format == "tar":
        tool("export", "one", "--oci-layout", directory, "--tag", "one")
    tool("export", "three", "--oci-layout", directory, "--tag", "three", "--compress", "zstd")
    if format == "tar":
        assert "there is no image 'latest' (--tag: one, three)" in tool(
            "import", "-l", lower, "new", directory, status=125).err
    tool("import", "-l", lower, "-m", str(world.mount), "--tag", "three", "new", directory)
    for name in ("three", "new"):
        (world.home / name).mkdir()
        (world.home / name).chmod(0o777)
        tool("run", "--name", name, "--", "sh", "-ec", f"cp -a . {world.home / name}/tree")
    names = ("type", "mode", "uid", "gid", "size", "content", "group", "target", "xattrs")
    assert_equal("the imported image", world.raw_snapshot(world.home / "three/tree"),
                 world.raw_snapshot(world.home / "new/tree"), names, ignore=IGNORE)
    tool("fsck", "new")


def test_import_of_a_layout_that_is_none(world: World) -> None:
    """One line, and nothing is left."""
    layout = world.home / "layout"
    Tool(world).check("export", "--oci-layout", str(layout))
    index, whole = layout / "index.json", (layout / "index.json").read_bytes()
    manifest = json.loads((layout / "blobs/sha256" / json.loads(whole)["manifests"][0]["digest"][7:]).read_bytes())
    layer = layout / "blobs/sha256" / manifest["layers"][0]["digest"][7:]
    bytes_ = layer.read_bytes()
    world.upper, world.work = world.home / "new-upper", world.home / "new-work"
    for data in (b"{", b"[]", b"{}", b'{"manifests": {}}', b'{"manifests": [5]}',
                 b'{"manifests": [{"digest": "sha256:../../../etc/passwd"}]}', whole.replace(b"sha256:", b"sha512:"),
                 b'{"manifests": []}', b'{"manifests": [{"digest": "sha256:' + b"0" * 64 + b'"}]}'):
        index.write_bytes(data)
        done = Tool(world).run("import", str(layout))
        assert (done.status, done.err.count("\n"), "Traceback" in done.err) == (125, 1, False), (data, done.err)
        assert not world.upper.exists()
    index.write_bytes(whole)
    layer.write_bytes(bytes_[:-1] + bytes([bytes_[-1] ^ 1]))
    done = Tool(world).run("import", str(layout))
    assert (done.status, done.err.count("\n")) == (125, 1)
    assert not world.upper.exists()


@pytest.mark.root_only
def test_an_entry_and_its_whiteout_in_one_layer(make_world: MakeWorld) -> None:
    """Whichever comes first, the whiteout is about what is below (OCI image-spec, layer.md)."""
    world = make_world(ROOT, "ptrace")
    world.lay_out(NODES)
    archive = world.home / "both.tar"
    with tarfile.open(archive, "w") as tar:
        for name in (".wh.d", "d/new", "e/new", ".wh.e", ".wh.a", "a", "b", ".wh.b"):
            tar.addfile(tarfile.TarInfo(name))
    Tool(world).check("import", str(archive))
    shown = world.box().snapshot()
    assert {name for name in shown if name[:1] in "deab"} == {"a", "b", "d", "d/new", "e", "e/new"}
    assert (shown["a"].size, shown["b"].size) == ("0", "0")


# ---- trouble


@pytest.mark.parametrize("name", ["../up", "/abs/../../up", "d/../../up"])
def test_an_archive_that_leads_outside(make_world: MakeWorld, name: str) -> None:
    """Refused, and nothing is left."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    archive = world.home / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("fine"))
        tar.addfile(tarfile.TarInfo(name))
    world.upper = world.home / "new"
    done = Tool(world).run("import", str(archive))
    assert done.status == 125
    assert "outside" in done.err
    assert len(done.err.splitlines()) == 1
    assert not world.upper.exists()
    assert not (world.home / "up").exists()


def test_an_archive_with_a_symlink_in_the_way(make_world: MakeWorld) -> None:
    """Nothing is written where a symlink of the archive leads."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    target = world.home / "target"
    target.mkdir(mode=0o777)
    archive = world.home / "bad.tar"
    with tarfile.open(archive, "w") as tar:
        link = tarfile.TarInfo("l")
        link.type, link.linkname = tarfile.SYMTYPE, str(target)
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("l/file"))
    world.upper = world.home / "new"
    done = Tool(world).run("import", str(archive))
    assert done.status == 125
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("data", [
    b"", b"no archive at all" * 100, b"\x1f\x8b\x08\x00broken", b"\x28\xb5\x2f\xfdbroken",
])
def test_a_broken_archive(make_world: MakeWorld, data: bytes) -> None:
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    archive = world.home / "bad.tar"
    archive.write_bytes(data)
    world.upper = world.home / "new"
    done = Tool(world).run("import", str(archive))
    assert done.status == 125
    assert len(done.err.splitlines()) == 1, done.err


def test_a_truncated_archive(world: World) -> None:
    archive = export(world, "layer.tar.gz")
    data = archive.read_bytes()
    archive.write_bytes(data[:len(data) * 2 // 3])
    world.upper = world.home / "new"
    done = Tool(world).run("import", str(archive))
    assert done.status == 125
    assert len(done.err.splitlines()) == 1, done.err
    assert not world.upper.exists()
