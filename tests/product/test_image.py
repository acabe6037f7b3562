"""run --image: images of a layout as what a run lies on.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.box import command
from support.oracle import Done, Who, as_user, run
from support.roots import busybox_root

#: A user of the image, who is nobody else here.
SERVICE = 4242


def tool(*words: str | Path) -> str:
    """skopeo or umoci, which has to succeed."""
    done = run(words, cwd=Path("/"))
    assert done.status == 0, f"{words}\n{done.err}"
    return done.out


@pytest.fixture(scope="session")
def layout(base: Path) -> Path:
    """Made by umoci: a layer of busybox, one that hides and replaces some of it, and a configuration; "copied" is the
    same by skopeo."""
    top = base / "image"
    top.mkdir()
    root = busybox_root(top / "root")
    service = f"service:x:{SERVICE}:{SERVICE}::/home/service:/bin/sh"
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n{service}\n")
    (root / "etc/group").write_text(f"root:x:0:\nservice:x:{SERVICE}:\nothers:x:4243:service\n")
    (root / "opt/old").mkdir(parents=True)
    (root / "opt/old/file").write_text("old\n")
    (root / "opt/gone").write_text("gone\n")
    (root / "tmp").chmod(0o777)
    (root / "tmp/old").write_text("old\n")
    image = f"{top / 'layout'}:first"
    tool("umoci", "init", "--layout", top / "layout")
    tool("umoci", "new", "--image", image)
    tool("umoci", "insert", "--image", image, root, "/")
    tool("umoci", "config", "--image", image, "--tag", "made", "--config.env", "GREETING=hello", "--config.env",
         "PATH=/bin", "--config.workingdir", "/opt", "--config.entrypoint", "/bin/sh", "--config.entrypoint", "-c",
         "--config.cmd", "echo $GREETING; pwd; ls", "--config.user", "service")
    made = f"{top / 'layout'}:made"
    (top / "new").mkdir()
    (top / "new/file").write_text("new\n")
    tool("umoci", "insert", "--image", made, "--opaque", top / "new", "/opt/old")
    tool("umoci", "insert", "--image", made, "--whiteout", "/opt/gone")
    tool("skopeo", "copy", "--insecure-policy", f"oci:{top / 'layout'}:made", f"oci:{top / 'other'}:copied")
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return top


def started(who: Who, state: Path, *words: str | Path) -> Done:
    """ptoverlay, with sandboxes of its own."""
    state.mkdir(exist_ok=True)
    state.chmod(0o755)
    os.chown(state, who.uid, who.gid)
    env = {**os.environ, "HOME": str(state), "XDG_STATE_HOME": str(state), "SECRET": "of the host"}
    return run([*as_user(who), *command(), *words], cwd=Path("/"), env=env)


@pytest.mark.debian("skopeo", "umoci", "busybox-static")
@pytest.mark.root_only
def test_what_the_configuration_says(layout: Path, area: Path, trap: str) -> None:
    """Environment, directory, command, user; whiteouts and opaque directories of the layers."""
    who, state = Who("root", 0, 0), area / "state"
    for image in ("layout:made", "other:copied"):
        done = started(who, state, "run", "--trap", trap, "--image", layout / image)
        assert (done.status, done.out, done.err) == (0, "hello\n/opt\nold\n", "")
    # skopeo packs the layers anew or not: what is unpacked is found by its digest
    layers = {path.name for path in (state / "ptoverlay/images/layers").iterdir()}
    assert layers <= {path.name for top in ("layout", "other") for path in (layout / top / "blobs/sha256").iterdir()}
    script = "id -u; id -G; cat old/file; env; test -e /srv || echo no /srv; test -e gone || echo hidden"
    done = started(who, state, "run", "--trap", trap, "--image", layout / "layout:made", "--env", "MORE=1", script)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[:3] == [str(SERVICE), f"{SERVICE} 4243", "new"]
    assert {"GREETING=hello", "PATH=/bin", "HOME=/home/service", "MORE=1", "no /srv", "hidden"} <= set(lines)
    assert not [line for line in lines if line.startswith("SECRET=")]


@pytest.mark.debian("skopeo", "umoci", "busybox-static")
def test_a_layer_on_top(layout: Path, area: Path, who: Who) -> None:
    """A sandbox on an image, exported: umoci unpacks base and layer, the configuration stays, and it runs again."""
    state, made = area / "state", area / "made"
    made.mkdir()
    os.chown(made, who.uid, who.gid)
    done = started(who, state, "run", "-q", "--name", "web", "--image", layout / "layout:made", "--",
                   "echo more > /tmp/new; rm /tmp/old")
    assert done.status == 0, done.err
    assert "/tmp/new" in started(who, state, "diff", "web").out
    done = started(who, state, "export", "web", "--oci-layout", made / "l", "--tag", "web")
    assert done.status == 0, done.err
    index = json.loads((made / "l/index.json").read_text())
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "web"
    told = json.loads(tool("skopeo", "inspect", "--config", f"oci:{made / 'l'}:web"))
    assert {"GREETING=hello", "PATH=/bin"} <= set(told["config"]["Env"])
    assert len(told["rootfs"]["diff_ids"]) == 4
    again = started(who, state, "run", "-q", "--image", f"{made / 'l'}:web", "--", "cat /opt/old/file; ls /tmp")
    assert again.status == 0, again.err
    assert again.out.split() == ["new", "new"]


@pytest.mark.debian("umoci")
@pytest.mark.root_only
def test_what_is_no_image(layout: Path, area: Path) -> None:
    """One line each."""
    who = Who("root", 0, 0)
    for words, why in (((area, "true"), "not an image layout"), ((layout / "layout:none", "true"), "no image 'none'"),
                       ((layout / "layout:first",), "it says of no command")):
        done = started(who, area / "state", "run", "--image", *words)
        assert done.status == 125
        assert why in done.err, done.err
        assert done.err.count("\n") == 1, done.err
