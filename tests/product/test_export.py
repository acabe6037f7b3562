"""export and import: layers that tools of others take, and that come back as they were.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Done, Kernel, Who, run
from support.snapshot import TREE, assert_equal
from support.tool import Tool, tool_for
from support.trees import Node
from support.world import World

MakeWorld = Callable[[Who, str], World]

NODES = [
    Node("a", content=b"a\n"),
    Node("b", content=b"b\n"),
    Node("c", content=b"c\n", xattrs={"user.kept": b"1"}),
    Node("d", "dir", 0o755),
    Node("d/x", content=b"x\n"),
    Node("d/sub", "dir", 0o755),
    Node("d/sub/y", content=b"y\n"),
    Node("e", "dir", 0o755),
    Node("e/z", content=b"z\n"),
    Node("old", "dir", 0o755),
    Node("old/1", content=b"1\n"),
    Node("old/2", content=b"2\n"),
    Node("r", "dir", 0o755),
    Node("r/1", content=b"r1\n"),
    Node("r/2", content=b"r2\n"),
]
#: Everything that a layer can say.
SCRIPT = """
echo more >>a; chmod 600 a; rm b; touch -d @123456789.123456789 c
rm -r e; mkdir e; echo new >e/new
rm d/x; echo long >d/sub/$(printf 'n%.0s' $(seq 200)); mkdir -p "n/$(printf 'm%.0s' $(seq 120))/o"
ln -s "$(printf 't%.0s' $(seq 150))" n/link; echo 1 >n/1; ln n/1 n/2; mkfifo n/fifo
setfattr -n user.bin -v 0x00ff01 n/1
rm old/1; mv r moved; rm moved/1; echo 3 >moved/3; echo 'ü' >'n/ü
line'; chmod 750 n; rm -r old; touch old
"""
FORMATS = ["oci", "overlayfs"]
IGNORE = [r"^\.$"]


@pytest.fixture
def world(make_world: MakeWorld, who: Who) -> World:
    """A layer that says everything, over a lower."""
    world = make_world(who, "ptrace")
    world.lay_out(NODES)
    Tool(world).script(SCRIPT)
    world.freeze()
    return world


def export(world: World, name: str, *words: str, env: dict[str, str] | None = None) -> Path:
    """The archive, in HOME."""
    path = world.home / name
    Tool(world).check("export", "-o", str(path), *words, env=env)
    return path


def lower_copy(world: World, name: str) -> Path:
    """A copy of the lower in HOME, to apply layers to."""
    path = world.home / name
    assert run(["cp", "-a", str(world.lowers[0]), str(path)]).status == 0
    return path


def apply_oci(archive: Path, target: Path) -> None:
    """Applies a layer as the OCI image-spec says, with tar(1) and nothing of ours."""
    listed = subprocess.run(["tar", "-tf", archive, "--quoting-style=literal"], capture_output=True, check=True)
    for entry in listed.stdout.decode("utf-8", "surrogateescape").split("\n"):
        directory, base = os.path.split(entry)
        if base == ".wh..wh..opq":
            for child in (target / directory).iterdir() if (target / directory).is_dir() else ():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        elif base.startswith(".wh."):
            gone = target / directory / base.removeprefix(".wh.")
            shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink(missing_ok=True)
    with tarfile.open(archive if archive.suffix != ".zst" else plain(archive)) as tar:
        for info in tar:
            place = target / info.name
            if place.is_dir() and not info.isdir():
                shutil.rmtree(place)
    done = run(["tar", "-xpf", archive, "-C", target, "--xattrs", "--xattrs-include=*", "--exclude=.wh.*"])
    assert done.status == 0, done.err


def plain(archive: Path) -> Path:
    """The archive without its compression, by zstd(1)."""
    target = archive.with_suffix("")
    if not target.exists():
        subprocess.run(["zstd", "-q", "-d", archive, "-o", target], check=True)
    return target


# ---- accepted by others


@pytest.mark.debian("zstd", "attr", "tar")
@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.zst"])
def test_an_oci_layer_applied_by_tar(world: World, suffix: str) -> None:
    """By the rules of the image-spec, to a copy of the lower: the tree that the view shows."""
    archive = export(world, f"layer.{suffix}")
    target = lower_copy(world, "applied")
    apply_oci(archive, target)
    expected = world.box().snapshot()
    assert_equal("the applied layer", expected, world.raw_snapshot(target), TREE, ignore=IGNORE)


@pytest.mark.debian("zstd", "attr", "tar")
@pytest.mark.root_only
@pytest.mark.parametrize("user", [False, True])
def test_a_raw_layer_mounted_by_the_kernel(make_world: MakeWorld, user: bool) -> None:
    """Unpacked by tar(1) and mounted by the kernel: the tree that the view shows."""
    world = make_world(USER if user else ROOT, "ptrace")
    world.lay_out(NODES)
    Tool(world).script(SCRIPT)
    world.freeze()
    archive = export(world, "layer.tar.zst", "--format", "overlayfs")
    upper, work = world.home / "upper", world.home / "work"
    upper.mkdir()
    work.mkdir()
    done = run(["tar", "-xpf", archive, "-C", upper, "--xattrs", "--xattrs-include=*"])
    assert done.status == 0, done.err
    if user:
        world._trusted(upper)  # the kernel follows no redirects for an ordinary user
    kernel = Kernel(world.subjects, ROOT, world.mount, world.lowers, upper, work)
    assert_equal("the kernel's view", world.box().snapshot(), kernel.snapshot(), TREE, ignore=IGNORE)


@pytest.mark.debian("skopeo", "umoci", "attr")
@pytest.mark.root_only
def test_an_image_layout(make_world: MakeWorld) -> None:
    """skopeo copies it and umoci unpacks it over another layer of the same layout."""
    world = make_world(ROOT, "ptrace")
    world.lay_out(NODES)
    Tool(world).script(SCRIPT)
    world.freeze()
    layout = world.home / "layout"
    told = json.loads(Tool(world).check("export", "--oci-layout", str(layout), "--tag", "changes", "--json"))
    copied = world.home / "copied"
    done = run(["skopeo", "copy", "--insecure-policy", f"oci:{layout}:changes", f"dir:{copied}"], env=world.env)
    assert done.status == 0, done.err
    digest = run(["skopeo", "manifest-digest", str(copied / "manifest.json")]).out.strip()
    assert digest == told["manifest"]
    base = _base_image(world)
    _append(base, layout)
    bundle = world.home / "bundle"
    done = run(["umoci", "unpack", "--image", f"{base}:base", str(bundle)])
    assert done.status == 0, done.err
    names = ("type", "mode", "uid", "gid", "size", "content", "group", "target")
    found = world.raw_snapshot(bundle / "rootfs")
    assert_equal("umoci's tree", world.box().snapshot(), found, names, ignore=IGNORE)


@pytest.mark.debian("umoci")
@pytest.mark.root_only
def test_an_image_of_a_fork(make_world: MakeWorld) -> None:
    """It has a layer for each sandbox below, and umoci unpacks them to what the fork's commands see."""
    world = make_world(ROOT, "ptrace")
    world.lay_out(NODES)
    env = {**world.env, "XDG_STATE_HOME": str(world.home / "state")}

    def tool(*words: str) -> None:
        done = run(tool_for(ROOT, *words), env=env, cwd=world.mount)
        assert done.status == 0, done.err

    lower, seen = str(world.lowers[0]), world.home / "seen"
    seen.mkdir()
    tool("run", "--name", "one", "-l", lower, "-m", str(world.mount), "--", "sh", "-ec", SCRIPT)
    tool("fork", "one", "two")
    tool("run", "--name", "two", "--", "sh", "-ec", "rm a; rm -r moved; mkdir moved; echo 2 >moved/2; ln n/1 n/3")
    tool("fork", "two", "three")
    tool("run", "--name", "three", "--", "sh", "-ec", f"echo a >a; mv n n-moved; chmod 700 d; cp -a . {seen}")
    tool("export", "three", "--oci-layout", str(world.home / "layout"))
    base = _base_image(world)
    _append(base, world.home / "layout")
    manifest = json.loads(run(["umoci", "stat", "--image", f"{base}:base", "--json"]).out)
    made_by = [entry["created_by"] for entry in manifest["history"]]
    assert [text.startswith("ptoverlay") for text in made_by[-4:]] == [False, True, True, True]
    done = run(["umoci", "unpack", "--image", f"{base}:base", str(world.home / "bundle")])
    assert done.status == 0, done.err
    names = ("type", "mode", "uid", "gid", "size", "content", "group", "target")
    found = world.raw_snapshot(world.home / "bundle/rootfs")
    assert_equal("umoci's tree", world.raw_snapshot(seen), found, names, ignore=IGNORE)


def _base_image(world: World) -> Path:
    """An image of the lower, made by umoci."""
    base, copy = world.home / "base", lower_copy(world, "copy")
    for words in (["init", "--layout", str(base)], ["new", "--image", f"{base}:base"],
                  ["insert", "--image", f"{base}:base", str(copy), "/"]):
        done = run(["umoci", *words])
        assert done.status == 0, done.err
    return base


def _append(base: Path, layout: Path) -> None:
    """Puts the layer of one layout on top of the image of another: blobs and lists, as the image-spec has them."""
    def load(top: Path, digest: str) -> dict[str, object]:
        loaded: dict[str, object] = json.loads((top / "blobs/sha256" / digest.partition(":")[2]).read_bytes())
        return loaded

    def store(content: object) -> dict[str, object]:
        import hashlib

        data = json.dumps(content).encode()
        name = hashlib.sha256(data).hexdigest()
        (base / "blobs/sha256" / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    ours = load(layout, json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"])
    index = json.loads((base / "index.json").read_bytes())
    manifest = load(base, index["manifests"][0]["digest"])
    config, our_config = load(base, manifest["config"]["digest"]), load(layout, ours["config"]["digest"])  # type: ignore[index]
    for name in os.listdir(layout / "blobs/sha256"):
        shutil.copy(layout / "blobs/sha256" / name, base / "blobs/sha256" / name)
    config["rootfs"]["diff_ids"] += our_config["rootfs"]["diff_ids"]  # type: ignore[index]
    config["history"] += our_config["history"]  # type: ignore[operator]
    manifest["layers"] += ours["layers"]  # type: ignore[operator]
    manifest["config"].update(store(config))  # type: ignore[attr-defined]
    index["manifests"][0].update(store(manifest))
    (base / "index.json").write_text(json.dumps(index))


def test_a_second_image_in_a_layout(world: World) -> None:
    """Other tags stay, the same one is replaced."""
    layout = world.home / "layout"
    for tag in ("one", "two", "two"):
        Tool(world).check("export", "--oci-layout", str(layout), "--tag", tag)
    index = json.loads((layout / "index.json").read_bytes())
    assert [m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"]] == ["one", "two"]


def test_a_layout_that_was_not_finished(world: World) -> None:
    """What an export has left that failed (a full disk) is gone on from."""
    layout = world.home / "layout"
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for path in (layout, layout / "blobs", layout / "blobs/sha256", layout / "oci-layout"):
        os.chown(path, *world.owner)
    Tool(world).check("export", "--oci-layout", str(layout))
    assert len(json.loads((layout / "index.json").read_bytes())["manifests"]) == 1


# ---- the same again


@pytest.mark.parametrize("name", ["r.tar", "r.tar.gz", "r.tar.zst"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_same_run_twice_gives_the_same_digest(make_world: MakeWorld, name: str, format: str) -> None:
    """Whenever and by whomever: two worlds, two users."""
    digests = set()
    for who in (USER, ROOT) if os.geteuid() == 0 and format == "oci" else (USER, USER):
        world = make_world(who, "ptrace")
        world.lay_out(NODES)
        Tool(world).script(f"umask 022; {SCRIPT}")
        world.freeze()
        env = {"SOURCE_DATE_EPOCH": "1500000000"}
        words = ["-o", str(world.home / name), "--format", format, "--reproducible", "--json"]
        out = Tool(world).check("export", *words, env=env)
        digests.add(json.loads(out)["digest"])
        with tarfile.open(world.home / name if not name.endswith("zst") else plain(world.home / name)) as tar:
            infos = tar.getmembers()
        assert max(info.mtime for info in infos) <= 1500000000
        assert {(info.uid, info.gid, info.uname, info.gname) for info in infos} == {(0, 0, "", "")}
    assert len(digests) == 1


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


def test_a_closed_pipe(world: World) -> None:
    """The end is quiet, by SIGPIPE as of other programs; nothing is left over."""
    tool = Tool(world)
    command = tool.argv("export", "-o", "-")
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, env=world.env, cwd=world.mount)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert len(err.splitlines()) <= 1, err


@pytest.mark.root_only
def test_a_full_disk(make_world: MakeWorld) -> None:
    """One line; what was there under the name of the archive stays."""
    world = make_world(ROOT, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("head -c 3000000 /dev/urandom >big")
    full = world.home / "full"
    full.mkdir()
    assert run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", str(full)]).status == 0
    try:
        (full / "layer.tar").write_text("the one before")
        done = Tool(world).run("export", "-o", str(full / "layer.tar"))
        assert done.status == 125
        assert "No space left on device" in done.err
        assert len(done.err.splitlines()) == 1
        assert os.listdir(full) == ["layer.tar"]
        assert (full / "layer.tar").read_text() == "the one before"
        assert f"{full}/layer.tar: No space left on device (free some on {full}; " in done.err
        Tool(world).check("export", "-o", str(world.home / "layer.tar"))
        world.upper, world.work = full / "upper", full / "work"
        done = Tool(world).run("import", str(world.home / "layer.tar"))
        assert (done.status, done.err.count("\n")) == (125, 1)
        assert f"import: {full}/upper: No space left on device (free some on {full}; " in done.err
        assert os.listdir(full) == ["layer.tar"]
    finally:
        assert run(["umount", str(full)]).status == 0


def test_to_a_terminal_or_nowhere(world: World) -> None:
    done = Tool(world).run("export", "-o", str(world.home / "no/such/file.tar"))
    assert done.status == 125
    assert len(done.err.splitlines()) == 1
    assert Tool(world).run("export").status == 125


def test_names_that_mean_something_else(make_world: MakeWorld) -> None:
    """A file .wh.x cannot be said in an OCI layer; in the other format it can."""
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("mkdir q; echo 1 >q/.wh.x")
    done = Tool(world).run("export", "-o", str(world.home / "layer.tar"))
    assert done.status == 125
    assert ".wh.x" in done.err
    export(world, "layer.tar", "--format", "overlayfs")


def test_standard_output_and_input(world: World) -> None:
    """Through a pipe."""
    expected = world.box().snapshot()
    tool = Tool(world)
    out = subprocess.Popen(tool.argv("export", "-o", "-", "--compress", "zstd"), stdout=subprocess.PIPE, env=world.env,
                           cwd=world.mount)
    world.upper, world.work = world.home / "new-upper", world.home / "new-work"
    done = subprocess.run(tool.argv("import", "-"), stdin=out.stdout, env=world.env, cwd=world.mount, check=False)
    assert done.returncode == 0
    assert out.wait() == 0
    assert_equal("the imported layer", expected, world.box().snapshot(), TREE, ignore=IGNORE)


def test_sockets_are_left_out(make_world: MakeWorld) -> None:
    world = make_world(USER, "ptrace")
    world.lay_out(NODES)
    Tool(world).script("echo 1 >file")
    import socket

    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(world.upper / "socket"))
    os.chown(world.upper / "socket", *world.owner)
    done = Tool(world).run("export", "-o", str(world.home / "layer.tar"))
    assert done.status == 0
    assert "socket" in done.err
    with tarfile.open(world.home / "layer.tar") as tar:
        assert tar.getnames() == ["file"]
    assert stat.S_ISSOCK((world.upper / "socket").lstat().st_mode)


def test_owner_by_the_view(make_world: MakeWorld) -> None:
    """What an ordinary user's copies cannot have is in the archive all the same: the owner that the view shows."""
    if os.geteuid() != 0:
        pytest.skip("needs root to lay out what belongs to others")
    world = make_world(USER, "ptrace")
    world.lay_out([Node("shared", mode=0o666, content=b"s", owner=(0, 0))])
    Tool(world).script("echo more >>shared")
    for name in FORMATS:
        archive = export(world, f"{name}.tar", "--format", name)
        with tarfile.open(archive) as tar:
            info = tar.getmember("shared")
        assert (info.uid, info.gid, info.mode) == (0, 0, 0o666)


