"""`run --profile NAME`: what the files of settings call so is added to a request.

    [profile.build]
    lower = ["/"]                     direct = ["~/.cache/ccache"]      hide = ["~/.ssh"]     read-only = ["/etc"]
    environment = { CI = "1" }        clear-environment = true          network = false
    limit = "9G"                      limit-memory = "2G"               timeout = "10m"     inject = false
    fake-root = true

The user's profile comes first, then the project's of the same name; what the command line says stays.

Rule: what of a project's file adds to a run is refused until the file is trusted (files.py).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ptoverlay import errors, options
from ptoverlay.errors import Failure
from ptoverlay.options import Request
from ptoverlay.settings.files import Settings, load

_Set = Callable[[Settings, Request, Any, str], None]
_NEEDS_TRUST = ("direct", "lower", "environment")  # and what is more than what was there


def apply(request: Request) -> None:
    """Adds request.profile to the request; Failure where there is none of this name."""
    name = request.profile or ""
    found = [(settings, _profiles(settings).get(name)) for settings in load()]
    if not any(profile is not None for _, profile in found):
        known = sorted({known for settings, _ in found for known in _profiles(settings)})
        raise Failure(f"--profile {name}", "there is none of this name", errors.did_you_mean(name, known) + (
            f"there is {', '.join(known)}" if known else "write [profile.NAME] into .ptoverlay.toml"))
    given, request.places = request.places, []
    for settings, profile in found:
        before = [*request.places, *given]
        count = len(request.places)
        for key, value in (profile or {}).items():
            _one(settings, request, name, key, value)
        if any(_shows(place, before) for place in request.places[count:]):
            insist_trusted(settings, "read-only", f"profile.{name}")
    request.places += given  # the last one of a path counts


def _shows(place: tuple[int, str], others: list[tuple[int, str]]) -> bool:
    """Whether a place brings back something that is hidden: the innermost one counts."""
    kind, path = place
    return kind != options.HIDDEN and any(
        other == options.HIDDEN and f"{path}/".startswith(f"{os.path.abspath(top).rstrip('/')}/")
        for other, top in others)


def _profiles(settings: Settings) -> dict[str, dict[str, Any]]:
    given = settings.data.get("profile", {})
    if not isinstance(given, dict) or not all(isinstance(each, dict) for each in given.values()):
        settings.fail("profile", "a table for each profile is meant", "[profile.NAME]")
    return given


def _one(settings: Settings, request: Request, name: str, key: str, value: Any) -> None:
    section = f"profile.{name}"
    setter = _KEYS.get(key)
    if setter is None:
        settings.fail(key, "no such setting", f"{errors.did_you_mean(key, _KEYS)}one of {', '.join(_KEYS)} is meant",
                      section)
    if key in _NEEDS_TRUST:
        insist_trusted(settings, key, section)
    try:
        setter(settings, request, value, section)
    except Failure as failure:
        if failure.what.startswith(str(settings.path)):
            raise
        settings.fail(key, failure.why, failure.remedy, section)


def insist_trusted(settings: Settings, key: str, section: str) -> None:
    if not settings.trusted:
        settings.fail(key, "adds to what a run may do", "look at the file; ptoverlay trust lets it", section)


def widens(settings: Settings) -> list[str]:
    """What of a file needs trust, as KEY of PROFILE, with its line."""
    return [f"{settings.line(key, f'profile.{name}')}: {key} of profile {name}"
            for name, profile in _profiles(settings).items() for key, value in profile.items()
            if key in _NEEDS_TRUST or (key == "network" and value is True)]


def _paths(settings: Settings, value: Any, key: str, section: str) -> list[str]:
    return [os.path.normpath(os.path.join(settings.base, os.path.expanduser(path)))
            for path in settings.strings(value, key, section)]


def _places(key: str, kind: int) -> _Set:
    def add(settings: Settings, request: Request, value: Any, section: str) -> None:
        request.places += [(kind, path) for path in _paths(settings, value, key, section)]
    return add


def _lower(settings: Settings, request: Request, value: Any, section: str) -> None:
    lowers = _paths(settings, value, "lower", section)
    if not request.overlays[0].lowers:
        request.overlays[0].lowers = lowers


def _environment(settings: Settings, request: Request, value: Any, section: str) -> None:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        settings.fail("environment", "a table of strings is meant", 'environment = { NAME = "VALUE" }', section)
    given = [options.check_variable(f"{name}={text}", "environment") for name, text in value.items()]
    request.environment = given + request.environment  # the last one counts, and that is the command line's


def _flag(settings: Settings, value: Any, key: str, section: str) -> bool:
    if not isinstance(value, bool):
        settings.fail(key, "true or false is meant", f"{key} = true", section)
    return value


def _clear(settings: Settings, request: Request, value: Any, section: str) -> None:
    request.clear_environment |= _flag(settings, value, "clear-environment", section)


def _network(settings: Settings, request: Request, value: Any, section: str) -> None:
    if _flag(settings, value, "network", section):
        insist_trusted(settings, "network", section)
    else:
        request.network = False


def _inject(settings: Settings, request: Request, value: Any, section: str) -> None:
    request.inject &= _flag(settings, value, "inject", section)


def _fake_root(settings: Settings, request: Request, value: Any, section: str) -> None:
    request.fake_root |= _flag(settings, value, "fake-root", section)


def _limit(settings: Settings, request: Request, value: Any, section: str) -> None:
    size = options.parse_size(str(value), "limit")
    request.limit = min(size, request.limit or size)


def _memory(settings: Settings, request: Request, value: Any, section: str) -> None:
    size = options.parse_size(str(value), "limit-memory")
    request.memory = min(size, request.memory or size)


def _timeout(settings: Settings, request: Request, value: Any, section: str) -> None:
    seconds = options.parse_seconds(str(value), "timeout")
    request.timeout = min(seconds, request.timeout or seconds)


_KEYS: dict[str, _Set] = {
    "lower": _lower, "direct": _places("direct", options.DIRECT), "hide": _places("hide", options.HIDDEN),
    "read-only": _places("read-only", options.PLACE_READ_ONLY), "environment": _environment,
    "clear-environment": _clear, "network": _network, "inject": _inject, "fake-root": _fake_root,
    "limit": _limit, "limit-memory": _memory, "timeout": _timeout,
}
