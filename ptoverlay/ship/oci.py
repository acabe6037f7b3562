"""An image layout: a directory with images, for tools that run containers (OCI image-spec).

The format is a few small JSON files around the layers; no library that is kept up writes it without a registry.

Rules: blobs are named by their digest and never changed; index.json is replaced last, so that the layout always holds
whole images only.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ptoverlay.errors import Failure
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.state import write_whole
from ptoverlay.ship.output import Digesting, compressed, replaced, zstd

_MEDIA = "application/vnd.oci.image."
_LAYER = {"none": f"{_MEDIA}layer.v1.tar", "gzip": f"{_MEDIA}layer.v1.tar+gzip", "zstd": f"{_MEDIA}layer.v1.tar+zstd"}
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
NAME = "org.opencontainers.image.ref.name"
_LAYOUT = {"imageLayoutVersion": "1.0.0"}


@dataclass(frozen=True)
class Layer:
    """A layer to be written.  write_tar: writes its archive, uncompressed, to the stream it is given; made_by: what the
    image's history says of it."""

    write_tar: Callable[[Any], None]
    made_by: str


class Below(Protocol):
    """The image on which layers are put (base.py)."""

    @property
    def manifest(self) -> dict[str, Any]: ...

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def blobs(self) -> list[Path]: ...

    def opened(self, blob: Path) -> AbstractContextManager[Any]: ...


def write_layout(directory: str, tag: str, compression: str, layers: Sequence[Layer], epoch: int | None,
                 below: Below | None = None) -> str:
    """Adds an image of these layers, the lowest first, to the layout, which is made if it is missing; an image of the
    same tag is replaced.  epoch: its time, None for now; below: the image that it goes on from.  Returns the digest of
    its manifest."""
    top = Path(directory)
    index = _open(top)
    blobs = top / "blobs/sha256"
    written = [_write_layer(blobs, compression, layer) for layer in layers]
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if epoch is None else epoch))
    machine = os.uname().machine
    under = _taken_over(blobs, below) if below is not None else {"config": {}, "diff_ids": [], "history": []}
    config = _blob(blobs, f"{_MEDIA}config.v1+json", {
        "architecture": MACHINES.get(machine, machine), "os": "linux", **under["config"], "created": created,
        "config": under["config"].get("config") or {},
        "rootfs": {"type": "layers", "diff_ids": [*under["diff_ids"], *(diff_id for _, diff_id in written)]},
        "history": [*under["history"], *({"created": created, "created_by": layer.made_by} for layer in layers)]})
    manifest = _blob(blobs, f"{_MEDIA}manifest.v1+json", {
        "schemaVersion": 2, "mediaType": f"{_MEDIA}manifest.v1+json", "config": config,
        "layers": [*(below.manifest["layers"] if below is not None else []), *(layer for layer, _ in written)]})
    kept = [entry for entry in index["manifests"] if (entry.get("annotations") or {}).get(NAME) != tag]
    index["manifests"] = [*kept, {**manifest, "annotations": {NAME: tag}}]
    write_whole(top / "index.json", _json(index))
    return str(manifest["digest"])


def _taken_over(blobs: Path, below: Below) -> dict[str, Any]:
    """Copies the layers of the image below to where they are missing; what its configuration brings."""
    for blob in below.blobs:
        if (blobs / blob.name).exists():
            continue
        try:
            with replaced(blobs / blob.name) as file, below.opened(blob) as source:
                shutil.copyfileobj(source, file)
        except FileNotFoundError as error:
            raise Failure(str(blob), "a layer of the image below is not there any more", "copy the image again") \
                from error
    config = below.config
    try:
        return {"config": config, "diff_ids": list(config["rootfs"]["diff_ids"]),
                "history": list(config.get("history") or [])}
    except (KeyError, TypeError) as error:
        raise Failure("the image below", "its configuration is none") from error


def _write_layer(blobs: Path, compression: str, layer: Layer) -> tuple[dict[str, Any], str]:
    """Stores the blob: its descriptor, and the digest of what it holds uncompressed."""
    if compression == "zstd":
        zstd()
    with replaced(blobs / "new-layer") as file:
        outer = Digesting(file)
        with compressed(outer, compression) as stream:
            inner = outer if stream is outer else Digesting(stream)
            layer.write_tar(inner)
    (blobs / "new-layer").rename(blobs / _file(outer.digest))
    return {"mediaType": _LAYER[compression], "digest": outer.digest, "size": outer.size}, inner.digest


def _open(top: Path) -> dict[str, Any]:
    """The index of a layout, which is made if there is none."""
    if top.exists() and not (top / "oci-layout").exists() and any(top.iterdir()):
        raise Failure(str(top), "neither an image layout nor empty", "give another directory")
    (top / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    try:
        if (top / "index.json").exists():
            index = state.read(top / "index.json")
            index["manifests"] = list(index["manifests"])
            if not all(isinstance(entry, dict) and isinstance(entry.get("annotations") or {}, dict)
                       for entry in index["manifests"]):
                raise ValueError("no list of images")
            return index
    except (ValueError, KeyError, TypeError) as error:
        raise Failure(str(top / "index.json"), "not the index of an image layout") from error
    write_whole(top / "oci-layout", _json(_LAYOUT))
    return {"schemaVersion": 2, "mediaType": f"{_MEDIA}index.v1+json", "manifests": []}


def _blob(blobs: Path, media_type: str, content: dict[str, Any]) -> dict[str, Any]:
    """Stores a JSON document; returns its descriptor."""
    data = _json(content)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    write_whole(blobs / _file(digest), data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _file(digest: str) -> str:
    return digest.partition(":")[2]


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
