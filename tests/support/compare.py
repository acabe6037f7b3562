"""Compares what a subject printed in two places, line by line.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Lines of a subject that may differ from the plain copy: pattern of `what`, the result that must be there
    instead (a pattern), and why.  who: only for this user."""

    what: str
    result: str
    why: str
    who: str = ""


def _lines(output: str) -> list[tuple[str, str]]:
    """(what, result) of each line; a `what` that comes again gets a number."""
    pairs = []
    seen: Counter[str] = Counter()
    for line in output.splitlines():
        what, _, result = line.partition(" =")
        seen[what] += 1
        pairs.append((what if seen[what] == 1 else f"{what} #{seen[what]}", result.strip()))
    return pairs


_SIZE = "asked for the size of the list, the kernel counts the private attributes in"
_ACL = "the kernel's overlayfs drops an ACL that says no more than the mode"
_NLINK = "an unlinked object keeps the nlink that it had when it was copied up"
_D_INO = "the kernel does not merge this directory, so an entry keeps the d_ino of its layer"
_UNREADABLE = "an ordinary user's supervisor cannot copy up what the user may not read"
_ABOVE = "what the upper had of a merged directory has left its place before it is removed, and is above nothing"
_HOLE = "the kernel looks for holes only in files larger than 1 MiB and a chunk"

#: For each place the deliberate differences from a plain copy, by subject.
LISTED: dict[str, Mapping[str, list[Difference]]] = {
    "kernel": {
        "open": [Difference("sparse (hole|data)", "0", _HOLE)],
        "stat": [Difference("sparse stays sparse", "0", _HOLE)],
        "readdir": [
            Difference("0 (mixed|dir) getdents", ".* names sum .*, 1 wrong", _D_INO),
            Difference("0 dir identity", "1 wrong .*", _D_INO),
        ],
        "cwd": [
            Difference("nlink gone/z", "[12]", _NLINK),
            Difference("chmod . in gone/z", "-ENOTDIR", "the kernel's overlayfs cannot copy up a removed directory"),
        ],
        "fdmeta": [
            Difference(".* flistxattr", "[0-9]+", _SIZE),
            Difference("(file|fifo) nlink", "1", _NLINK),
        ],
        "xattr": [
            Difference("listxattr .* [01]", "[0-9]+|-ERANGE", _SIZE),
            Difference("l?removexattr .* system.posix_acl_access", "-ENODATA", _ACL, "user"),
        ],
    },
    "long": {
        "socket": [
            Difference("sendmmsg", "1", "a short count, as the call may give; the program sends the rest"),
            Difference("receive second", "-EAGAIN", "what was not sent"),
        ],
    },
    "box": {
        "cwd": [
            Difference("chmod . in gone/z", "-ENOTDIR", "a removed directory cannot be copied up, as on the kernel's"),
            Difference("(stat|chdir) .. of gone/z|(mkdir|rmdir|getcwd) above gone/z", "-ENOENT", _ABOVE),
            Difference("above gone/z", ".*/mnt", _ABOVE),
        ],
        "newer": [
            Difference("file_setattr( nofollow)? noaccess", "-EACCES", _UNREADABLE, "user"),
            Difference("flags of noaccess.*", "0", _UNREADABLE, "user"),
            Difference(r'(write |create )?removed emptydir .* "(\./)?\.\..*"', "-ENOENT", _ABOVE),
            Difference(r'removed emptydir .* "(\./)?\.\..*" identity', "none", _ABOVE),
        ],
        "times": [
            Difference("utime.* noaccess|futimesat noaccess", "-EACCES", _UNREADABLE, "user"),
            Difference("after .*noaccess", ".*1000000000.123456789", _UNREADABLE, "user"),
        ],
    },
}


def all_of(*checks: Callable[[], object]) -> None:
    """Runs every check and fails with all that failed."""
    failed = []
    for check in checks:
        try:
            check()
        except AssertionError as failure:
            failed.append(str(failure))
    if failed:
        raise AssertionError("\n\n".join(failed))


def assert_lines(
    what: str, expected: str, found: str, listed: Mapping[str, list[Difference]], subject: str, who: str
) -> None:
    """Fails with every line that differs and is not listed, or that is listed and gives something else again."""
    allowed = [d for d in listed.get(subject, []) if d.who in ("", who)]
    want, have = _lines(expected), _lines(found)
    problems = []
    if [w for w, _ in want] != [w for w, _ in have]:
        names = [w for w, _ in want]
        stray = [w for w, _ in have if w not in names]
        lost = [w for w in names if w not in [h for h, _ in have]]
        problems.append(f"other lines: {len(have)} instead of {len(want)}; new {stray[:5]}, missing {lost[:5]}")
    results = dict(have)
    for name, result in want:
        if name not in results or results[name] == result:
            continue
        difference = next((d for d in allowed if re.fullmatch(d.what, name)), None)
        if difference and re.fullmatch(difference.result, results[name]):
            continue
        problems.append(f"{name}: {results[name][:300]}   (plain: {result[:300]})")
    if problems:
        more = f"\n… and {len(problems) - 60} more" if len(problems) > 60 else ""
        raise AssertionError(f"{what}: {len(problems)} lines differ\n" + "\n".join(problems[:60]) + more)
