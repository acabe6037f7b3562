"""What tools/vm runs: a command under another kernel, in a virtual machine of software (qemu -accel tcg).

    tools/vm KERNEL [ARCH] [-- CMD…]     CMD, or else the quick tests, as root, in the tree of the guest
    tools/vm --matrix [KERNEL-ARCH…]     the quick tests under these, or all of ROWS, into docs/machines-table.inc
    tools/vm … --tests 'ARG…'            other tests than the quick ones: arguments of pytest
    tools/vm … --whole …                 in a guest that has what the whole suite needs from Debian
    tools/vm … --packages 'NAME…' …      in a guest that has these of Debian's packages, too

The guest is Debian with this tree in /srv/ptoverlay, built there.  What CMD prints and its exit status are ours; 125:
there was no end of it.

Kernels, roots and their images lie in build/vm and are made again when what they are made of has changed.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from guest import CACHE, TOP, Trouble
from guest.kernels import KERNELS
from guest.machine import MACHINES, Guest
from guest.matrix import PYTEST, QUICK, matrix
from guest.roots import busybox_of, make_image


def boot(kernel: str, arch: str, command: str, timeout: float, whole: bool = False,
         more: Iterable[str] = ()) -> tuple[int, str]:
    """Exit status and output; Trouble when there was no end.  whole, more: of make_image."""
    return Guest(kernel, arch, make_image(arch, whole, more), busybox_of(arch)).run(command, timeout)


def main(arguments: list[str]) -> int:
    words, command = arguments, []
    if "--" in arguments:
        words, command = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    parser = argparse.ArgumentParser(prog="tools/vm", usage="tools/vm KERNEL [ARCH] [-- CMD…] | tools/vm --matrix")
    parser.add_argument("kernel", nargs="?", choices=[*KERNELS])
    parser.add_argument("arch", nargs="?", choices=[*MACHINES], default="amd64")
    parser.add_argument("--matrix", dest="rows", nargs="*", metavar="KERNEL-ARCH",
                        help="the quick tests under these kernels (default: all), and the table of all")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many guests at once (default: 1)")
    parser.add_argument("--record", type=Path, metavar="FILE", default=TOP / "docs/machines-table.inc",
                        help="where the table of the matrix goes (default: docs/machines-table.inc)")
    parser.add_argument("--tests", default=QUICK, metavar="ARGS", help="pytest's arguments (default: the quick tests)")
    parser.add_argument("--whole", action="store_true", help="the guest has what the whole suite needs from Debian")
    parser.add_argument("--packages", default="", metavar="NAMES", help="Debian packages that the guest has besides")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="for one guest (default: 3600)")
    options = parser.parse_args(words)
    matrix_wanted = options.rows is not None
    if not matrix_wanted and not options.kernel:
        parser.error("which kernel? one of " + ", ".join(KERNELS))
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        if matrix_wanted:
            return matrix(boot, options.rows, options.record, options.timeout, options.jobs)
        command_line = " ".join(command) or f"{PYTEST} {options.tests}"
        status, out = boot(options.kernel, options.arch, command_line, options.timeout, options.whole,
                           options.packages.split())
    except Trouble as trouble:
        print(f"tools/vm: {trouble}", file=sys.stderr)
        return 125
    print(out)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
