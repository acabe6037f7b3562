"""What a build's result could depend on beside its inputs: a row each, what it is made, and what of it stays open.

The core closes those that have a bit (csrc/ptoverlay.h: PTO_BUILD_*), `Build` the others.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

from typing import NamedTuple

from ptoverlay.core import lib


class Chance(NamedTuple):
    """bit: PTO_BUILD_*, 0 for what is done before CMD starts; made: what it is in a build."""

    bit: int
    made: str


SOURCES = {
    "listings": Chance(lib.PTO_BUILD_LISTINGS, "directories list their names in the order of their bytes"),
    "clock": Chance(lib.PTO_BUILD_CLOCK, "the time of day begins at the epoch and goes on by use and by sleep; "
                                         "programs have no vDSO to ask"),
    "files": Chance(lib.PTO_BUILD_FILES, "what is younger than the epoch has its time, in stat and in the layer; inode "
                                         "and device numbers are by order of appearance"),
    "random": Chance(lib.PTO_BUILD_RANDOM, "getrandom, /dev/random, /dev/urandom, AT_RANDOM and uuid come from --seed, "
                                           "for each process a stream of its own"),
    "machine": Chance(lib.PTO_BUILD_MACHINE, "host name, kernel, one processor, 4 GiB of memory: uname, sysinfo, "
                                             "sched_getaffinity, /proc/cpuinfo, /proc/meminfo…"),
    "addresses": Chance(lib.PTO_BUILD_ADDRESSES, "programs, libraries, heap and stack lie where they always lie"),
    "environment": Chance(0, "PATH, HOME, USER, SHELL, TERM, locale (C.UTF-8), time zone (UTC), size of the terminal, "
                             "SOURCE_DATE_EPOCH, and what --env says; nothing else"),
    "umask": Chance(0, "022"),
    "place": Chance(0, "the directory that the build is started in lies at /build, and /tmp is empty"),
    "network": Chance(0, "no sockets but those of AF_UNIX"),
}

#: What no switch closes.
LEFT = {
    "pids": "process ids, which a shell's $$ and bash's $RANDOM tell",
    "numbers": "the number of a file that has got the inode of one which was removed",
    "users": "names and ids of the user and group",
    "threads": "the order in which threads and processes that run at one time do things (make -j: what they write "
               "into one file, whose name comes first)",
    "processor": "cpuid, rdtsc, and the number of the CPU that a program runs on, which instructions tell without a "
                 "call (-march=native)",
    "kernel": "calls that one kernel has and another has not, limits of the user (ulimit), free memory as a program "
              "finds it by using it",
}


def explanation() -> str:
    """The text of --explain."""
    lines = ["Made equal (--keep WHAT leaves it as it is on this machine):"]
    lines += [f"  {name:<12} {chance.made}" for name, chance in SOURCES.items()]
    lines += ["", "Left as it is:"]
    lines += [f"  {name:<12} {text}" for name, text in LEFT.items()]
    return "\n".join(lines) + "\n"
