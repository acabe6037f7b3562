"""Files of settings: the user's own, and the project's, `.ptoverlay.toml` in the current directory or above it.

    ignore = ["*.log", "/build/"]         what review and commit leave out (ignore.py)
    default-ignore = true
    [profile.NAME]                        what `run --profile NAME` adds (profile.py)

Rules: a project's file comes with the project, so that it may take something from a run and never add to it, until the
user has said so for the file as it is, by the digest of the bytes that are read here; a file that somebody else can
have written counts as not there until then; every mistake is one line, with the line in the file where it is.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ptoverlay import errors
from ptoverlay.errors import Failure
from ptoverlay.sandboxes import state
from ptoverlay.sandboxes.sandbox import state_directory

PROJECT = ".ptoverlay.toml"
_TOP = ("ignore", "default-ignore", "profile")
_LARGEST = 1 << 20
_LINE = re.compile(r"^(.*) \(at line (\d+), column \d+\)$")


@dataclass
class Settings:
    """A file.  base: what relative paths in it begin at; own: it is the user's; trusted: it may add to a run."""

    path: Path
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    base: str = "/"
    own: bool = False
    trusted: bool = False
    digest: str = ""

    def fail(self, key: str, why: str, remedy: str, section: str = "") -> NoReturn:
        """A mistake in it, told with its line."""
        raise Failure(f"{self.path}:{self.line(key, section)}", f"{key}: {why}", remedy)

    def line(self, key: str, section: str = "") -> int:
        """Where a key stands, or its section."""
        inside, found = not section, 1
        head = re.compile(rf"\s*\[\s*{re.escape(section)}\s*\]") if section else None
        for number, text in enumerate(self.text.splitlines(), 1):
            if head is not None and head.match(text):
                inside, found = True, number
            elif text.lstrip().startswith("[") and section:
                inside = False
            elif inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", text):
                return number
        return found

    def strings(self, given: Any, key: str, section: str = "") -> list[str]:
        """A list of strings, or one."""
        found = [given] if isinstance(given, str) else given
        if not isinstance(found, list) or not all(isinstance(each, str) and "\0" not in each for each in found):
            self.fail(key, "a list of strings is meant", f'{key} = ["…"]', section)
        return found


def user_file() -> Path:
    import platformdirs

    return Path(platformdirs.user_config_dir("ptoverlay", appauthor=False), "config.toml")


def project_file() -> Path | None:
    """The nearest one."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    return next((path / PROJECT for path in (here, *here.parents) if os.path.lexists(path / PROJECT)), None)


def load() -> list[Settings]:
    """The user's file and the project's, those that there are, in this order."""
    found = []
    own, project = user_file(), project_file()
    if own.exists():
        found.append(_read(own, os.path.expanduser("~"), own=True))
    if project is not None:
        settings = _read(project, str(project.parent))
        settings.trusted = trusted().get(str(project)) == settings.digest
        who = "" if settings.trusted else _stranger(project)
        if who:
            errors.report(f"{project}: left out: {who} (ptoverlay trust reads it all the same)")
        else:
            found.append(settings)
    return found


def read_project() -> Settings:
    """The project's file, whoever it is from; Failure when there is none."""
    project = project_file()
    if project is None:
        raise Failure(PROJECT, "there is none here or above", "make one, or go to where it is")
    return _read(project, str(project.parent))


def _stranger(path: Path) -> str:
    """Why somebody else can have written it, "" if nobody can."""
    status = path.lstat()
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):
        return "it is a symbolic link"
    return "others can write it" if status.st_mode & 0o002 else ""


def _read(path: Path, base: str, *, own: bool = False) -> Settings:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Failure(str(path), "no file")
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise errors.from_os_error(str(path), error) from error
    if len(data) > _LARGEST:
        raise Failure(str(path), "too large for a file of settings")
    settings = Settings(path, base=base, own=own, trusted=own, digest=hashlib.sha256(data).hexdigest())
    try:
        settings.text = data.decode()
        settings.data = tomllib.loads(settings.text)
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b"\n") + 1
        raise Failure(f"{path}:{line}", "not UTF-8", "write it anew") from error
    except tomllib.TOMLDecodeError as error:
        found = _LINE.match(str(error))
        last = settings.text.count("\n", 0, len(settings.text.rstrip())) + 1
        where, why = (f"{path}:{found[2]}", found[1]) if found else (f"{path}:{last}", str(error))
        raise Failure(where, f"no TOML: {why}", "https://toml.io tells what it looks like") from error
    for key in settings.data:
        if key not in _TOP:
            settings.fail(key, "no such setting", f"{errors.did_you_mean(key, _TOP)}one of {', '.join(_TOP)} is meant")
    return settings


# ---- trust ----


def _trust_file() -> Path:
    return state_directory().parent / "trusted.json"


def trusted() -> dict[str, str]:
    """What the user has said yes to: path → digest."""
    try:
        return {str(path): str(digest) for path, digest in state.read(_trust_file()).items()}
    except (OSError, ValueError):
        return {}


def trust(settings: Settings, *, yes: bool) -> None:
    """The user says so for a file as it is, or takes it back."""
    known = {path: digest for path, digest in trusted().items() if os.path.lexists(path)}
    known.pop(str(settings.path), None)
    if yes:
        known[str(settings.path)] = settings.digest
    path = _trust_file()
    path.parent.parent.mkdir(0o700, parents=True, exist_ok=True)
    path.parent.mkdir(0o711, exist_ok=True)
    state.write_whole(path, json.dumps(known, indent=1).encode("utf-8", "surrogateescape") + b"\n")
