"""--provenance: an in-toto Statement v1 whose predicate is SLSA's provenance v1.

What was made is its subject, each file with its sha256; files that were read, and programs, are dependencies that were
resolved.  What the environment holds may be a secret, and stays in the record.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote

from ptoverlay import __version__
from ptoverlay.record.record import RunRecord, readable, stamp
from ptoverlay.record.states import States

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
#: What the parameters mean: docs/record.rst.
BUILD_TYPE = "urn:ptoverlay:run:v1"
BUILDER = "urn:ptoverlay"


def uri_of(path: str) -> str:
    """file: of an absolute path."""
    return "file://" + quote(path.encode("utf-8", "surrogateescape"))


def _described(path: str, digest: str) -> dict[str, Any]:
    return {"name": readable(path), "uri": uri_of(path), "digest": {"sha256": digest}}


def statement(record: RunRecord) -> dict[str, Any]:
    """The statement; its subject is empty when no file was made."""
    return {
        "_type": STATEMENT,
        "subject": [_described(made.path, made.state.digest) for made in record.outputs
                    if made.state.type == "file" and made.state.digest],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"command": list(record.argv), "cwd": record.cwd},
                "internalParameters": {"trap": record.trap, "network": record.network, "complete": record.complete,
                                       **record.system},
                "resolvedDependencies": [_described(used.path, used.state.digest) for used in record.files()],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"ptoverlay": __version__}},
                "metadata": {"invocationId": f"urn:uuid:{uuid.uuid4()}", "startedOn": stamp(record.started),
                             "finishedOn": stamp(record.ended)},
            },
        },
    }


def text(record: RunRecord, _states: States, _path: str) -> bytes:
    """The file."""
    return json.dumps(statement(record), indent=1).encode("utf-8", "replace") + b"\n"
