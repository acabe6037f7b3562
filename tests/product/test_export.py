"""export: layers that tools of others take.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest
from support.oracle import ROOT, USER, Kernel, Who, run
from support.shipping import (
    FORMATS,
    IGNORE,
    NODES,
    SCRIPT,
    MakeWorld,
    apply_oci,
    export,
    lower_copy,
    plain,
    say_everything,
)
from support.snapshot import TREE, assert_equal
from support.tool import Tool, tool_for
from support.trees import Node
from support.world import World


@pytest.fixture
def world(make_world: MakeWorld, who: Who) -> World:
    """A layer that says everything, over a lower."""
    return say_everything(make_world(who, "ptrace"))


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


# ---- trouble


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


