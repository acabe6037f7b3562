"""A virtual machine of software (qemu -accel tcg) that runs one command and ends.

The command comes on the second disk and ends with a NUL; the console is a terminal, which ends lines with CR LF.

An empty directory, which ends with the machine, is there by 9P under the name "shared".

Rules: the guest has no network; unless its image is being made, what it changes is thrown away.  Temporary files are on
the disk: a tmpfs has no user.* attributes before 6.6.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from guest import CACHE, Trouble
from guest.kernels import fetch_kernel, image_of, make_initrd

GUEST = "/srv/ptoverlay"
_BEGIN, _END = "VM-BEGIN", "VM-END"


@dataclass(frozen=True)
class Machine:
    """How qemu is a machine of an architecture of Debian's; python: how Python's packages name it."""

    emulator: str
    package: str
    options: tuple[str, ...]
    console: str
    python: str


MACHINES = {
    "amd64": Machine("qemu-system-x86_64", "qemu-system-x86", ("-machine", "pc", "-cpu", "max,la57=off"), "ttyS0",
                     "x86_64"),
    "arm64": Machine("qemu-system-aarch64", "qemu-system-arm",
                     ("-machine", "virt,gic-version=max", "-cpu", "max,pauth-impdef=on"), "ttyAMA0", "aarch64"),
}

INIT = f"""#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CI=1
export PTOVERLAY_TEST_PATIENCE=20
mount -t tmpfs tmpfs /run; mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts; mount -t tmpfs tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd; chmod 1777 /tmp /dev/shm; mkdir -p /run/user; hostname guest
ip link set lo up 2>/dev/null || busybox ifconfig lo 127.0.0.1 up
cd {GUEST}
tr -d '\\0' </dev/vdb >/run/command
stty -onlcr 2>/dev/null
echo {_BEGIN}
setsid -w sh /run/command </dev/null
status=$?
echo
echo {_END} $status
sync
busybox poweroff -f
"""


@dataclass(frozen=True)
class Guest:
    """A kernel and the image of a root; busybox: the root's."""

    kernel: str
    arch: str
    image: Path
    busybox: Path

    def _words(self, command: str, shared: str, keep: bool) -> list[str]:
        directory, machine = fetch_kernel(self.kernel, self.arch), MACHINES[self.arch]
        append = (f"console={machine.console} panic=-1 quiet mitigations=off random.trust_cpu=on lsm=landlock,yama "
                  "no_timer_check")   # which a starved machine of software fails
        words = ["nice", "-n", "19", machine.emulator, *machine.options, "-accel", "tcg,thread=multi", "-smp", "2",
                 "-m", "3072", "-nographic", "-no-reboot", "-net", "none", "-kernel", str(image_of(directory)),
                 "-initrd", str(make_initrd(directory, self.busybox)), "-append", append]
        for file, thrown_away in ((str(self.image), not keep), (command, True)):
            words += ["-drive", f"file={file},format=raw,if=virtio,snapshot={'on' if thrown_away else 'off'}"]
        words += ["-virtfs", f"local,path={shared},mount_tag=shared,security_model=mapped-xattr"]
        return [*words, "-object", "rng-random,filename=/dev/urandom,id=rng", "-device", "virtio-rng-pci,rng=rng"]

    def run(self, command: str, timeout: float, keep: bool = False) -> tuple[int, str]:
        """Exit status and output; Trouble when there was no end.  keep: what it changes stays in the image."""
        prefix = f"console-{self.kernel}-{self.arch}-"   # a file that one can look at meanwhile
        with tempfile.NamedTemporaryFile(dir=CACHE) as disk, \
                tempfile.NamedTemporaryFile(dir=CACHE, prefix=prefix) as console, \
                tempfile.TemporaryDirectory(dir=CACHE) as shared:
            disk.write(command.encode() + b"\n" + bytes(65536 - len(command.encode()) - 1))
            disk.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(self._words(disk.name, shared, keep), stdin=subprocess.DEVNULL, stdout=console,
                               stderr=subprocess.STDOUT, check=False, timeout=timeout)
            text = Path(console.name).read_text(errors="replace").replace("\r", "")
        found = re.search(rf"{_BEGIN}\n(.*?)\n?^{_END} (\d+)$", text, re.MULTILINE | re.DOTALL)
        if not found:
            last = "\n".join(text.splitlines()[-15:])
            raise Trouble(f"Linux {self.kernel}: no end; the console's last lines:\n{last}")
        return int(found[2]), found[1]
