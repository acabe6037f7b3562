"""What surrounds a build and may find its way into the result: a row each, with two values.

Rules: a first run has the first value of each, which are fixed ones; a variation changes one thing and nothing else;
what this machine or user cannot vary is told, and not taken for varied.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass, field

ADDR_NO_RANDOMIZE = 0x0040000
UNAME26 = 0x0020000
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True)
class Around:
    """What surrounds one run.  place: a directory below that of all runs, where the tree is seen, "": where
    it lies; home: the same for HOME; personality: as personality(2); hostname and
    listings (the order of names in directories): as of `ptoverlay build`, a name of "" for the machine's; cpus: None
    for all; later: seconds by which it is later than in the first run; seed: of random bytes."""

    environment: dict[str, str] = field(default_factory=dict)
    umask: int = 0o022
    place: str = ""
    home: str = ""
    personality: int = ADDR_NO_RANDOMIZE
    hostname: str = ""
    cpus: set[int] | None = None
    later: int = 0
    seed: int = 0
    listings: str = "sorted"

    def enter(self) -> None:
        """In the process that becomes the run."""
        os.umask(self.umask)
        _LIBC.personality(self.personality)
        if self.cpus is not None:
            os.sched_setaffinity(0, self.cpus)


@dataclass(frozen=True, slots=True)
class Variation:
    """name: for users; text: what differs; vary: changes what surrounds a run; lacks: why it cannot be had, "" if it
    can."""

    name: str
    text: str
    vary: Callable[[Around], None]
    lacks: Callable[[], str] = lambda: ""


#: Of the first run.
FIXED = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "USER": "user", "LOGNAME": "user", "PYTHONHASHSEED": "0",
         "PERL_HASH_SEED": "0", "COLUMNS": "80"}


def _sets(**variables: str) -> Callable[[Around], None]:
    return lambda around: around.environment.update(variables)


def _attribute(name: str, value: object) -> Callable[[Around], None]:
    return lambda around: setattr(around, name, value)


def _seed(around: Around) -> None:
    around.seed = 1
    around.environment.update(PYTHONHASHSEED="1", PERL_HASH_SEED="1")


def _one_cpu(around: Around) -> None:
    around.cpus = {min(os.sched_getaffinity(0))}


def _no_other_cpu() -> str:
    return "" if len(os.sched_getaffinity(0)) > 1 else "there is one CPU alone"


VARIATIONS = (
    Variation("time", "400 days, a few hours, minutes and seconds later", _attribute("later", 400 * 86400 + 19023)),
    Variation("listings", "names in directories come in reverse", _attribute("listings", "reversed")),
    Variation("shuffled listings", "names in directories come in no order", _attribute("listings", "shuffled")),
    Variation("time zone", "TZ: 14 hours later", _sets(TZ="UTC-14")),
    Variation("locale", "LC_ALL: C, where bytes above 127 are no letters", _sets(LC_ALL="C")),
    Variation("umask", "002 for 022", _attribute("umask", 0o002)),
    Variation("home", "another HOME", _attribute("home", "other-home")),
    Variation("path", "the tree at another path", _attribute("place", "other/place")),
    Variation("user", "another USER and LOGNAME", _sets(USER="other", LOGNAME="other")),
    Variation("host name", "another host name", _attribute("hostname", "other-host")),
    Variation("CPUs", "one CPU", _one_cpu, _no_other_cpu),
    Variation("seed", "of random bytes, and of the hashes of Python and Perl", _seed),
    Variation("addresses", "programs, libraries, heap and stack lie elsewhere each time", _attribute("personality", 0)),
    Variation("kernel version", "2.6.NN, as uname(2) tells old programs",
              _attribute("personality", ADDR_NO_RANDOMIZE | UNAME26)),
    Variation("environment", "one variable more, and another width of the terminal",
              _sets(PTOVERLAY_REPRODUCE="1", COLUMNS="132")),
)
BY_NAME = {variation.name.replace(" ", "-").lower(): variation for variation in VARIATIONS}
