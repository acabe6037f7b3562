"""--sbom: the Debian packages that the inputs belong to, as CycloneDX 1.5, or SPDX 2.3 for a FILE that ends in
.spdx.json.

dpkg's own files are read as the run saw them: info/*.list tells whose a path is, status what version is installed.
A file that is nobody's is listed by its digest.

Rules: the merged /usr makes two paths of one file, so that both are looked up.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ptoverlay import __version__
from ptoverlay.record.provenance import uri_of
from ptoverlay.record.record import RunRecord, Used, readable, stamp
from ptoverlay.record.states import States

DPKG = "/var/lib/dpkg"
_CHUNK = 1 << 20
_MERGED = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin")


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One that is installed."""

    name: str
    version: str
    architecture: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class System:
    """ID and VERSION_ID of os-release(5)."""

    id: str
    version: str

    def purl(self, package: Package) -> str:
        """package-url, type deb."""
        qualifiers = [f"arch={package.architecture}"]
        if self.version:
            qualifiers.append(f"distro={self.id}-{self.version}")
        version = quote(package.version, safe="")
        return f"pkg:deb/{quote(self.id)}/{quote(package.name)}@{version}?{'&'.join(qualifiers)}"


def _lines(states: States, path: str) -> Iterator[str]:
    try:
        with open(states.real(path), encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                yield line.rstrip("\n")
    except OSError:
        return


def system(states: States) -> System:
    found = {}
    for line in _lines(states, "/usr/lib/os-release"):
        name, _, value = line.partition("=")
        found[name] = value.strip().strip("\"'")
    return System(found.get("ID", "debian"), found.get("VERSION_ID", ""))


def installed(states: States) -> dict[str, Package]:
    """Packages by the names that their lists have: "gcc", or "libc6:amd64"."""
    found: dict[str, Package] = {}
    fields: dict[str, str] = {}
    for line in (*_lines(states, f"{DPKG}/status"), ""):
        if line and not line.startswith((" ", "\t")):
            name, _, value = line.partition(": ")
            fields[name] = value.strip()
        elif not line:
            if "Package" in fields and fields.get("Status", "").endswith(" installed"):
                package = Package(fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""),
                                  fields.get("Source", ""))
                found[package.name] = found[f"{package.name}:{package.architecture}"] = package
            fields = {}
    return found


def _spellings(path: str) -> Iterator[str]:
    yield path
    if path.startswith("/usr/") and path.startswith(tuple(f"/usr{top}/" for top in _MERGED)):
        yield path.removeprefix("/usr")


def owners(states: States, paths: Iterable[str]) -> dict[str, Package]:
    """Whose each of these paths is."""
    wanted = {spelling: path for path in paths for spelling in _spellings(path)}
    packages, found = installed(states), dict[str, Package]()
    try:
        lists = os.listdir(states.real(f"{DPKG}/info"))
    except OSError:
        return found
    for name in sorted(lists):
        package = packages.get(name.removesuffix(".list"))
        if not name.endswith(".list") or package is None:
            continue
        for line in _lines(states, f"{DPKG}/info/{name}"):
            if line in wanted:
                found.setdefault(wanted[line], package)
    return found


def cyclonedx(record: RunRecord, packages: list[Package], nobodys: list[Used], where: System) -> dict[str, Any]:
    """CycloneDX 1.5."""
    components: list[dict[str, Any]] = [
        {"type": "library", "bom-ref": where.purl(package), "name": package.name, "version": package.version,
         "purl": where.purl(package)} for package in packages]
    components += [{"type": "file", "bom-ref": uri_of(used.path), "name": readable(used.path),
                    "hashes": [{"alg": "SHA-256", "content": used.state.digest}]} for used in nobodys]
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "serialNumber": f"urn:uuid:{uuid.uuid4()}", "version": 1,
        "metadata": {
            "timestamp": stamp(record.ended),
            "tools": {"components": [{"type": "application", "name": "ptoverlay", "version": __version__}]},
            "component": {"type": "application", "bom-ref": "command", "name": readable(" ".join(record.argv))},
        },
        "components": components,
        "dependencies": [{"ref": "command", "dependsOn": [str(one["bom-ref"]) for one in components]}],
    }


def checksums(used: Used, states: States) -> list[dict[str, str]]:
    """Of a file, its SHA-1 first, which SPDX wants to have; that is left out where the bytes are others by now."""
    found = [{"algorithm": "SHA256", "checksumValue": used.state.digest}]
    try:
        with open(states.real(used.path), "rb") as file:
            sha1, sha256 = hashlib.sha1(usedforsecurity=False), hashlib.sha256()
            while chunk := file.read(_CHUNK):
                sha1.update(chunk)
                sha256.update(chunk)
    except OSError:
        return found
    if sha256.hexdigest() == used.state.digest:
        found.insert(0, {"algorithm": "SHA1", "checksumValue": sha1.hexdigest()})
    return found


def spdx(record: RunRecord, packages: list[Package], nobodys: list[Used], where: System,
         states: States) -> dict[str, Any]:
    """SPDX 2.3, in which names of files are relative."""
    listed: list[dict[str, Any]] = [
        {"SPDXID": f"SPDXRef-Package-{number}", "name": package.name, "versionInfo": package.version,
         "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
         "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                           "referenceLocator": where.purl(package)}]}
        for number, package in enumerate(packages)]
    files: list[dict[str, Any]] = [{"SPDXID": f"SPDXRef-File-{number}", "fileName": f".{readable(used.path)}",
                                    "checksums": checksums(used, states)} for number, used in enumerate(nobodys)]
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": readable(" ".join(record.argv)), "documentNamespace": f"urn:uuid:{uuid.uuid4()}",
        "creationInfo": {"created": stamp(record.ended), "creators": [f"Tool: ptoverlay-{__version__}"]},
        "packages": listed, "files": files,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": str(one["SPDXID"])} for one in (*listed, *files)],
    }


def text(record: RunRecord, states: States, path: str) -> bytes:
    """The file; its name says which form."""
    files = {used.path: used for used in record.files()}
    whose = owners(states, files)
    nobodys = [used for name, used in files.items() if name not in whose]
    packages, where = sorted(set(whose.values())), system(states)
    told = (spdx(record, packages, nobodys, where, states) if path.endswith(".spdx.json")
            else cyclonedx(record, packages, nobodys, where))
    return json.dumps(told, indent=1).encode() + b"\n"
