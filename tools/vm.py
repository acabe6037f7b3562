"""What tools/vm runs: a command under another kernel, in a virtual machine of software (qemu -accel tcg).

    tools/vm KERNEL [ARCH] [-- CMD…]     CMD, or else the quick tests, as root, in the tree of the guest
    tools/vm --matrix [--record FILE]    the same under every kernel of KERNELS; FILE: the table, as text
    tools/vm … --tests 'ARG…'            other tests than the quick ones: arguments of pytest

The guest is Debian with this tree in /srv/ptoverlay, built there.  What CMD prints and its exit status are ours; 125:
there was no end of it.

Kernels, the root and its image lie in build/vm and are made again when what they are made of has changed.

Rules: packages come from Debian's archive by apt, which checks their signatures; the guest has no network, and what it
changes is thrown away.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
CACHE = TOP / "build/vm"
GUEST = "/srv/ptoverlay"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ROOT_SUITE = "bookworm"
#: Name → the suite of Debian that has it.
KERNELS = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie"}
#: What the root needs beside what the chosen tests do.
PACKAGES = ("python3", "python3-dev", "python3-venv", "gcc", "libc6-dev", "kmod", "busybox-static", "ca-certificates",
            "procps")
#: Modules that are loaded before the root is mounted, with what they need.
MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_rng", "crc32c_generic", "crc32c_intel", "libcrc32c",
           "ext4", "overlay", "fuse", "loop")
PYTEST = ".venv/bin/python -m pytest -q --color=no -p no:cacheprovider"
QUICK = "-n 2 -m quick"
_BEGIN, _END = "VM-BEGIN", "VM-END"


@dataclass(frozen=True)
class Machine:
    """How qemu is a machine of an architecture of Debian's."""

    emulator: str
    options: tuple[str, ...]
    console: str


MACHINES = {"amd64": Machine("qemu-system-x86_64", ("-machine", "pc", "-cpu", "max,la57=off"), "ttyS0")}


class Trouble(Exception):
    """What failed, in one line."""


def run(*command: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Its output; Trouble, with its last words, when it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Trouble(f"{command[0]}: {words[-1] if words else f'status {done.returncode}'}")
    return done.stdout


# ---- kernels


def apt(kernel: str, arch: str) -> list[str]:
    """The options of an apt with lists and a state of its own."""
    base = CACHE / f"apt/{KERNELS[kernel]}-{arch}"
    for name in ("lists/partial", "archives/partial", "etc"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "status").touch()
    (base / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {KERNELS[kernel]} main\n")
    options = {"Dir::Etc::sourcelist": base / "etc/sources.list", "Dir::Etc::sourceparts": "-",
               "Dir::State::lists": base / "lists", "Dir::State::status": base / "status",
               "Dir::Cache": base, "APT::Architecture": arch, "APT::Architectures": arch, "Acquire::Retries": "3",
               "APT::Sandbox::User": "root"}
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def kernel_package(kernel: str, arch: str) -> str:
    """The image that the suite's meta-package depends on."""
    told = run("apt-cache", *apt(kernel, arch), "depends", f"linux-image-{arch}").decode()
    found = re.search(rf"Depends: (linux-image-{re.escape(kernel)}\S*)", told)
    if not found:
        raise Trouble(f"{KERNELS[kernel]}: it has no kernel {kernel}")
    return found[1]


def fetch_kernel(kernel: str, arch: str) -> Path:
    """The unpacked package."""
    directory = CACHE / f"kernels/{kernel}-{arch}"
    if (directory / "complete").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    run("apt-get", *apt(kernel, arch), "-qq", "update")
    run("apt-get", *apt(kernel, arch), "-qq", "download", kernel_package(kernel, arch), cwd=directory)
    for package in directory.glob("*.deb"):
        run("dpkg-deb", "-x", package, directory)
        package.unlink()
    if (directory / "usr/lib/modules").exists() and not (directory / "lib").exists():
        (directory / "lib").symlink_to("usr/lib")
    run("depmod", "-b", directory, modules_of(directory).name)
    (directory / "complete").touch()
    return directory


def modules_of(kernel: Path) -> Path:
    return next((kernel / "lib/modules").iterdir())


def needed_modules(modules: Path) -> list[str]:
    """Paths below the directory, in the order of insmod(8)."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).name.split(".ko")[0].replace("-", "_")] = [path, *others.split()]
    ordered: dict[str, None] = {}
    for name in MODULES:
        ordered.update(dict.fromkeys(reversed(needs.get(name, []))))
    return list(ordered)


_INIT = r"""#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc; $busybox mount -t sysfs sys /sys; $busybox mount -t devtmpfs dev /dev
for module in $($busybox cat /list); do $busybox insmod /modules/$module 2>/dev/null; done
tries=0
while [ ! -e /dev/vdb ] && [ $tries -lt 200 ]; do $busybox sleep 0.1; tries=$((tries + 1)); done
$busybox mount -t ext4 /dev/vda /root || $busybox poweroff -f
for name in dev proc sys; do $busybox mount --move /$name /root/$name; done
exec $busybox switch_root /root /vm-init
"""


def make_initrd(kernel: Path) -> Path:
    """busybox, the modules, and what loads them and goes on in the root."""
    initrd = kernel / "initrd"
    if initrd.exists():
        return initrd
    modules = modules_of(kernel)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        top = Path(name)
        for directory in ("bin", "dev", "proc", "sys", "root", "modules"):
            (top / directory).mkdir()
        shutil.copy(shutil.which("busybox") or "/bin/busybox", top / "bin/busybox")
        names = []
        for path in needed_modules(modules):
            unpack = {".xz": ["xz", "-dc"], ".zst": ["zstd", "-qdc"]}.get(Path(path).suffix, ["cat"])
            names.append(Path(path).name.split(".ko")[0] + ".ko")
            (top / "modules" / names[-1]).write_bytes(run(*unpack, modules / path))
        (top / "list").write_text("".join(f"{name}\n" for name in names))
        (top / "init").write_text(_INIT)
        (top / "init").chmod(0o755)
        files = "".join(f"{path.relative_to(top)}\n" for path in top.rglob("*")).encode()
        (kernel / "initrd.new").write_bytes(run("busybox", "cpio", "-o", "-H", "newc", cwd=top, stdin=files))
    (kernel / "initrd.new").rename(initrd)
    return initrd


# ---- the root


#: The command comes on the second disk and ends with a NUL; the console is a terminal, which ends lines with CR LF.
_VM_INIT = f"""#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 CI=1
mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /run; mkdir -p /dev/pts /dev/shm
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
busybox poweroff -f
"""


def test_packages() -> list[str]:
    """Debian packages that the quick tests need, and that are small enough for the guest."""
    with tempfile.NamedTemporaryFile() as file:
        subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "quick", "--needed-packages",
                        file.name], cwd=TOP, capture_output=True, check=False)
        return Path(file.name).read_text().split()


def make_root(arch: str) -> Path:
    """A Debian with what the tests need, without the tree."""
    root, wanted = CACHE / f"root-{arch}", sorted({*PACKAGES, *test_packages()})
    stamp = CACHE / f"root-{arch}.packages"
    if stamp.exists() and stamp.read_text().split() == wanted:
        return root
    print(f"tools/vm: making a Debian root with {' '.join(wanted)}", file=sys.stderr)
    subprocess.run(["rm", "-rf", "--one-file-system", str(root)], check=True)
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--architectures={arch}",
        f"--include={','.join(wanted)}", f"--keyring={KEYRING}", ROOT_SUITE, root, MIRROR)
    stamp.write_text(" ".join(wanted))
    return root


def tree_files() -> list[str]:
    """What of this tree goes into the guest."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TOP).decode()
    return sorted(name for name in listed.split("\0") if name and (TOP / name).exists())


def fingerprint(root: Path) -> str:
    digest = hashlib.sha256((root.parent / f"{root.name}.packages").read_bytes() + _VM_INIT.encode())
    for name in tree_files():
        path = TOP / name
        digest.update(f"{name} {path.lstat().st_mode:o}".encode())
        digest.update(os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes())
    return digest.hexdigest()


def copy_tree(root: Path) -> None:
    """What did not change keeps its time, so that only what changed is compiled."""
    top = root / GUEST.lstrip("/")
    top.mkdir(parents=True, exist_ok=True)
    names = tree_files()
    for path in sorted(top.rglob("*"), reverse=True):
        name = str(path.relative_to(top))
        if not name.startswith((".venv", "ptoverlay/_core")) and path.is_file() and name not in names:
            path.unlink()
    for name in names:
        target = top / name
        if target.is_file() and not target.is_symlink() and target.read_bytes() == (TOP / name).read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(TOP / name, target, follow_symlinks=False)


def make_image(arch: str) -> Path:
    """The root with the tree, built there, as a disk."""
    root = make_root(arch)
    image, stamp = CACHE / f"image-{arch}.ext4", CACHE / f"image-{arch}.stamp"
    wanted = fingerprint(root)
    if stamp.exists() and stamp.read_text() == wanted and image.exists():
        return image
    stamp.unlink(missing_ok=True)
    copy_tree(root)
    (root / "vm-init").write_text(_VM_INIT)
    (root / "vm-init").chmod(0o755)
    wheels = [word for name in ("requirements", "requirements-test") for word in ("-r", TOP / f"tools/{name}.txt")]
    run(sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", root / "wheels", *wheels, "setuptools", "wheel")
    environment = "PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
    run("chroot", root, "/usr/bin/env", "-i", "/bin/sh", "-c", f"cd {GUEST} && {environment} tools/prepare test")
    image.unlink(missing_ok=True)
    run("truncate", "-s", "6G", image)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, image)
    stamp.write_text(wanted)
    return image


# ---- running


def boot(kernel: str, arch: str, command: str, timeout: float) -> tuple[int, str]:
    """Exit status and output; Trouble when there was no end."""
    directory, machine = fetch_kernel(kernel, arch), MACHINES[arch]
    image, initrd = make_image(arch), make_initrd(directory)
    kernels = [*directory.glob("boot/vmlinuz-*"), *directory.glob("lib/modules/*/vmlinuz")]
    append = f"console={machine.console} panic=-1 quiet mitigations=off random.trust_cpu=on lsm=landlock,yama"
    with tempfile.NamedTemporaryFile(dir=CACHE) as disk:
        disk.write(command.encode() + b"\n" + bytes(65536 - len(command.encode()) - 1))
        disk.flush()
        words = ["nice", "-n", "19", machine.emulator, *machine.options, "-accel", "tcg,thread=multi", "-smp", "2",
                 "-m", "2048", "-nographic", "-no-reboot", "-net", "none", "-kernel", str(kernels[0]),
                 "-initrd", str(initrd), "-append", append]
        for file in (image, disk.name):
            words += ["-drive", f"file={file},format=raw,if=virtio,snapshot=on"]
        words += ["-object", "rng-random,filename=/dev/urandom,id=rng", "-device", "virtio-rng-pci,rng=rng"]
        try:
            console = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                                     timeout=timeout).stdout
        except subprocess.TimeoutExpired as late:
            console = late.stdout or b""
    text = console.decode(errors="replace").replace("\r", "")
    found = re.search(rf"{_BEGIN}\n(.*?)\n?^{_END} (\d+)$", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise Trouble(f"Linux {kernel}: no end; the console's last lines:\n" + "\n".join(text.splitlines()[-15:]))
    return int(found[2]), found[1]


# ---- the matrix


@dataclass(frozen=True)
class Row:
    """What the quick tests said under a kernel."""

    kernel: str
    arch: str
    release: str
    auto: str
    notify: str
    passed: int
    failed: int


_PROBE = """uname -r
.venv/bin/python -m ptoverlay -v -- true 2>&1 | sed -n 's/.*with the \\(.*\\) trap/auto \\1/p'
.venv/bin/python -m ptoverlay --trap notify -- true 2>/dev/null && echo notify yes || echo notify no
"""


def examine(kernel: str, arch: str, tests: str, timeout: float) -> tuple[Row, str]:
    """The row, and what the tests printed."""
    _, out = boot(kernel, arch, f"{_PROBE}{PYTEST} {tests}", timeout)
    lines = out.splitlines()
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", lines[-1] if lines else "")}
    told = dict(line.split() for line in lines[1:3] if line.count(" ") == 1)
    if "passed" not in counts:
        raise Trouble(f"Linux {kernel}: the tests did not run:\n" + "\n".join(lines[-15:]))
    return Row(kernel, arch, lines[0], told.get("auto", "none"), told.get("notify", "no"), counts["passed"],
               counts.get("failed", 0) + counts.get("error", 0)), out


def table(rows: list[Row], tests: str) -> str:
    """As reStructuredText."""
    cells = [("Linux", "machine", "``auto`` takes", "``notify``", "tests")]
    cells += [(row.release, row.arch, row.auto, "works" if row.notify == "yes" else "is refused, with the reason",
               f"{row.passed} of {row.passed + row.failed} pass") for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    how = "the quick tests" if tests == QUICK else f"``{tests}``"
    when = f"Run on {datetime.date.today().isoformat()} by ``tools/vm --matrix``: {how}."
    return "\n".join([when, "", rule, lines[0], rule, *lines[1:], rule, ""])


def matrix(record: Path | None, tests: str, timeout: float) -> int:
    """Runs them, and prints or records the table."""
    rows = []
    for kernel in KERNELS:
        row, out = examine(kernel, "amd64", tests, timeout)
        rows.append(row)
        (CACHE / f"{kernel}.txt").write_text(out)
        print(f"{row.release}: {row.passed} passed, {row.failed} failed, auto takes {row.auto}", flush=True)
        if row.failed:
            print("\n".join(line for line in out.splitlines() if line.startswith(("FAILED", "ERROR"))), flush=True)
    text = table(rows, tests)
    if record:
        record.write_text(text)
    else:
        print(text)
    return int(any(row.failed for row in rows))


def main(arguments: list[str]) -> int:
    words, command = arguments, []
    if "--" in arguments:
        words, command = arguments[:arguments.index("--")], arguments[arguments.index("--") + 1:]
    parser = argparse.ArgumentParser(prog="tools/vm", usage="tools/vm KERNEL [ARCH] [-- CMD…] | tools/vm --matrix")
    parser.add_argument("kernel", nargs="?", choices=[*KERNELS])
    parser.add_argument("arch", nargs="?", choices=[*MACHINES], default="amd64")
    parser.add_argument("--matrix", action="store_true", help="the quick tests under every kernel")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table of the matrix there")
    parser.add_argument("--tests", default=QUICK, metavar="ARGS", help="pytest's arguments (default: the quick tests)")
    parser.add_argument("--timeout", type=float, default=3600, metavar="SECONDS", help="for one guest (default: 3600)")
    options = parser.parse_args(words)
    if not options.matrix and not options.kernel:
        parser.error("which kernel? one of " + ", ".join(KERNELS))
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        if options.matrix:
            return matrix(options.record, options.tests, options.timeout)
        command_line = " ".join(command) or f"{PYTEST} {options.tests}"
        status, out = boot(options.kernel, options.arch, command_line, options.timeout)
    except Trouble as trouble:
        print(f"tools/vm: {trouble}", file=sys.stderr)
        return 125
    print(out)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
