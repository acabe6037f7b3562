"""Reads an image layout (OCI image-spec, image-layout.md): which blobs are the layers of an image.

Rules: nothing in it is believed: a digest is checked before it is part of a path, and against the bytes when these have
been read; what is no layout ends in one Failure.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ptoverlay.errors import Failure
from ptoverlay.sandboxes import state
from ptoverlay.ship.oci import MACHINES, NAME

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DEPTH = 4  # indexes in indexes


def is_layout(name: str) -> bool:
    """Whether it is a directory that holds images."""
    return os.path.isfile(os.path.join(name, "oci-layout"))


def layers(directory: str, tag: str | None) -> list[Path]:
    """The blobs of an image's layers, the lowest first.  tag: which image, None: the only one, or "latest"."""
    _, manifest, _ = documents(directory, tag)
    return [blob(Path(directory), str(layer["digest"])) for layer in manifest["layers"]]


def documents(directory: str, tag: str | None) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The digest of an image's manifest, without "sha256:", the manifest and the configuration; tag as of `layers`."""
    top = Path(directory)
    try:
        found = state.read(top / "index.json")
        path = _manifest(top, _tagged(directory, found["manifests"], tag), _DEPTH)
        manifest = state.read(path)
        for layer in manifest["layers"]:
            blob(top, str(layer["digest"]))
        return path.name, manifest, state.read(blob(top, str(manifest["config"]["digest"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failure(directory, f"not an image layout: {error}") from error


def _tagged(directory: str, entries: list[dict[str, Any]], tag: str | None) -> dict[str, Any]:
    names = [(entry.get("annotations") or {}).get(NAME) for entry in entries]
    if tag is None and len(entries) == 1:
        return entries[0]
    wanted = "latest" if tag is None else tag
    if wanted not in names:
        raise Failure(directory, f"there is no image {wanted!r}", f"--tag: {', '.join(filter(None, names))}")
    return entries[names.index(wanted)]


def _manifest(top: Path, entry: dict[str, Any], depth: int) -> Path:
    """That of this machine, where there are several."""
    path = blob(top, str(entry["digest"]))
    manifest = state.read(path)
    if "manifests" not in manifest or not depth:
        return path
    machine = MACHINES.get(os.uname().machine, os.uname().machine)
    fitting = [each for each in manifest["manifests"]
               if (each.get("platform") or {}).get("architecture", machine) == machine]
    if not fitting:
        raise Failure(str(top), f"there is no image for {machine}")
    return _manifest(top, fitting[0], depth - 1)


def blob(top: Path, digest: str) -> Path:
    """The file of a blob; ValueError: it is no digest."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest!r} is no digest")
    return top / "blobs/sha256" / digest.partition(":")[2]


class _Checked:
    """A stream whose bytes are counted into a digest."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._source.read(size)
        self.hash.update(data)
        return data


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A stream of a blob's bytes; Failure at the end when they are not what its name says."""
    with open(path, "rb") as file:
        checked = _Checked(file)
        yield checked
        while checked.read(1 << 20):
            pass
    if checked.hash.hexdigest() != path.name:
        raise Failure(str(path), "its bytes are not what its name says", "copy the image again")
