"""An image of a layout as what a run lies on: its layers unpacked, once each, and what its configuration says of CMD.

What is unpacked lies beside the sandboxes, in ``images``: ``layers/DIGEST/upper`` for each layer, for all images that
have it, and ``DIGEST.json`` for each image that was run, from which export makes another one with a layer on top.

Rules: a layer appears whole, or not at all; one that is there is never changed, and it belongs to the user whose
sandboxes lie there.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ptoverlay import errors
from ptoverlay.console.progress import bar
from ptoverlay.core import lib
from ptoverlay.errors import Failure
from ptoverlay.options import USERXATTR, Request
from ptoverlay.remove import remove_tree
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.sandbox import Sandbox, state_directory
from ptoverlay.ship import layout
from ptoverlay.ship.importing import fill, sources_of_blobs

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What CMD has of our environment besides what the image says.
_KEPT = ("TERM", "LANG", "TZ")


@dataclass(frozen=True)
class BaseImage:
    """An image: the layout that it is in, the digest of its manifest without "sha256:", both documents."""

    layout: str
    digest: str
    manifest: dict[str, Any]
    config: dict[str, Any]

    @property
    def blobs(self) -> list[Path]:
        """Of its layers, the lowest first."""
        return [layout.blob(Path(self.layout), str(layer["digest"])) for layer in self.manifest["layers"]]

    def opened(self, blob: Path) -> AbstractContextManager[Any]:
        """A stream of a blob's bytes, which are looked at."""
        return layout.opened(blob)

    def wishes(self) -> dict[str, Any]:
        """What its configuration says of CMD."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}


def open_base(text: str) -> BaseImage:
    """The image that ``LAYOUT[:TAG]`` names."""
    directory, colon, tag = text.rpartition(":")
    if not colon or layout.is_layout(text):
        directory, tag = text, ""
    if not layout.is_layout(directory):
        raise Failure(f"--image {text}", "not an image layout", "skopeo copy docker://… oci:LAYOUT:TAG makes one")
    directory = os.path.abspath(directory)
    return BaseImage(directory, *layout.documents(directory, tag or None))


def remembered(digest: str) -> BaseImage:
    """The image that a sandbox was made on."""
    path = _home() / f"{digest}.json"
    try:
        found: BaseImage = state.of(BaseImage, {**(data := state.read(path)), "manifest": {}, "config": {}})
        return BaseImage(found.layout, found.digest, dict(data["manifest"]), dict(data["config"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure(str(path), "what is known of the sandbox's image is lost", "run it with --image once more") \
            from error


def apply(request: Request) -> None:
    """Makes an image's layers the lowers of a run, and gives it what its configuration says and the command line does
    not."""
    assert request.image is not None
    try:
        base = open_base(request.image)
        layers = [_unpacked(blob) for blob in base.blobs]
        _remember(base)
    except OSError as error:
        raise errors.from_os_error(f"--image {request.image}: {error.filename}", error) from error
    overlay = request.overlays[0]
    if not layers:
        raise Failure(f"--image {request.image}", "it has no layers")
    overlay.lowers, overlay.n_data, overlay.mount, overlay.image = layers[::-1], 0, "/", base.digest
    overlay.flags |= USERXATTR * (os.geteuid() != 0)
    overlay.rootfs = True
    try:
        _configure(request, base.wishes(), layers[::-1])
    except (ValueError, TypeError) as error:
        raise Failure(f"--image {request.image}", f"its configuration is none: {error}") from error


def _home() -> Path:
    return state_directory().parent / "images"


def _remember(base: BaseImage) -> None:
    path = _home() / f"{base.digest}.json"
    state.write_whole(path, json.dumps(asdict(base)).encode(), sync=False)


def _unpacked(blob: Path) -> str:
    """The directory that a layer is unpacked to, which happens the first time."""
    home = _home() / "layers"
    directory = home / blob.name
    if directory.is_dir():
        return str(directory / "upper")
    for each in (home.parent.parent, home.parent, home):
        each.mkdir(0o711, parents=True, exist_ok=True)
    new = home / f".new-{os.urandom(16).hex()}"
    box = Sandbox.of(str(new / "upper"), ["/"], flags=USERXATTR * (os.geteuid() != 0))
    try:
        new.mkdir(0o711)
        outcome = fill(box, sources_of_blobs([blob]), partial(bar, f"unpack {blob.name[:12]}"))
        lib.pto_put_new(os.fsencode(new), os.fsencode(directory))
    finally:
        if new.exists():
            remove_tree(str(new))
    if outcome.devices:
        errors.report(f"{blob.name[:12]}: {len(outcome.devices)} devices are left out: only root can make them")
    return str(directory / "upper")


# ---- the configuration


def _strings(value: Any, name: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) and "\0" not in each for each in value):
        raise ValueError(f"{name} is no list of texts")
    return list(value)


def _configure(request: Request, wishes: dict[str, Any], lowers: list[str]) -> None:
    entry, cmd = _strings(wishes.get("Entrypoint"), "Entrypoint"), _strings(wishes.get("Cmd"), "Cmd")
    request.argv = [*entry, *(request.argv or cmd)]
    if not request.argv:
        raise Failure(f"--image {request.image}", "it says of no command, and none is given")
    directory = str(wishes.get("WorkingDir") or "/")
    if request.chdir is None:
        request.chdir = directory
    user = str(wishes.get("User") or "0")
    account = _account(user, lowers)
    if account is None:
        raise Failure(f"--image {request.image}", f"it has no user {user!r}")
    if account.uid or account.gid:
        if os.geteuid() == 0:
            request.identity = (account.uid, account.gid, account.groups)
        elif request.verbose >= 0 and account.uid != os.geteuid():
            errors.report(f"--image {request.image}: it runs as {user}, whom only root can become")
    ours = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    given = _strings(wishes.get("Env"), "Env")
    request.environment = [f"PATH={_PATH}", f"HOME={account.home}", *ours, *given, *request.environment]
    request.bare_environment = True


@dataclass(frozen=True)
class _Account:
    uid: int
    gid: int
    groups: list[int]
    home: str


def _account(user: str, lowers: list[str]) -> _Account | None:
    """Who ``USER[:GROUP]`` is, each a name or a number, by the image's passwd(5) and group(5); None: nobody."""
    name, _, group = user.partition(":")
    passwd, groups = _table(lowers, "etc/passwd", 7), _table(lowers, "etc/group", 4)
    row = next((row for row in passwd if row[0] == name or (name.isdecimal() and row[2] == name)), None)
    if row is None and not name.isdecimal():
        return None
    uid, gid, home = (int(row[2]), int(row[3]), row[5]) if row else (int(name), 0, "/")
    if group:
        found = next((each[2] for each in groups if each[0] == group), group)
        if not found.isdecimal():
            return None
        return _Account(uid, int(found), [], home or "/")
    others = [int(each[2]) for each in groups if row and row[0] in each[3].split(",")]
    return _Account(uid, gid, others, home or "/")


def _table(lowers: list[str], name: str, columns: int) -> list[list[str]]:
    """The rows of a file, as the topmost layer that has it has them."""
    for lower in lowers:
        try:
            fd = os.open(os.path.join(lower, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError:
            return []  # a whiteout, or a link
        with open(fd, encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.rstrip("\n").split(":") for line in file]
        return [row for row in rows
                if len(row) == columns and row[2].isdecimal() and (columns < 7 or row[3].isdecimal())]
    return []
