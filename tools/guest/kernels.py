"""Kernels of Debian's, unpacked, each with an initramfs that goes on in the root on the first disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from pathlib import Path

from guest import CACHE, Trouble, run
from guest.packages import Archive

#: Name → the suite of Debian that has it.
KERNELS = {"5.10": "bullseye", "6.1": "bookworm", "6.12": "trixie", "unstable": "sid"}
#: Modules that are loaded before the root is mounted, with what they need.
MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "virtio_rng", "crc32c_generic", "crc32c_intel", "libcrc32c",
           "ext4", "overlay", "fuse", "loop")
#: And those of file systems that tools/filesystems mounts there.
FILE_SYSTEMS = ("nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "vfat", "exfat", "ntfs3", "f2fs", "9pnet_virtio",
                "9p", "virtiofs", "nfsv4", "nfsd", "ecryptfs", "erofs", "squashfs", "xfs", "btrfs")


def packages_of(archive: Archive, kernel: str) -> list[str]:
    """The image that the suite's meta-package depends on, and, where the suite has them in packages of their own, its
    modules and the kernel itself."""
    version = r"\d" if kernel == "unstable" else re.escape(kernel)
    images = [name for name in archive.depends(f"linux-image-{archive.arch}")
              if re.match(rf"linux-image-{version}", name)]
    if not images:
        raise Trouble(f"{archive.suite}: it has no kernel {kernel}")
    others = archive.depends(images[0])
    return [images[0], *(name for name in others if re.match(r"linux-(binary|modules|base)-\d", name))]


def fetch_kernel(kernel: str, arch: str) -> Path:
    """The unpacked packages."""
    directory = CACHE / f"kernels/{kernel}-{arch}"
    if (directory / "complete").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    archive = Archive(KERNELS[kernel], arch)
    archive.update()
    archive.download(packages_of(archive, kernel), directory)
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


def image_of(kernel: Path) -> Path:
    return next(path for pattern in ("boot/vmlinu[xz]-*", "lib/modules/*/vmlinuz") for path in kernel.glob(pattern))


def needed_modules(modules: Path) -> list[str]:
    """Paths below the directory, in the order of insmod(8)."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[Path(path).name.split(".ko")[0].replace("-", "_")] = [path, *others.split()]
    ordered: dict[str, None] = {}
    for name in (*MODULES, *FILE_SYSTEMS):
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


def make_initrd(kernel: Path, busybox: Path) -> Path:
    """busybox, the modules, and what loads them and goes on in the root."""
    told = repr((_INIT, MODULES, FILE_SYSTEMS)).encode()
    initrd = kernel / f"initrd-{hashlib.sha256(told).hexdigest()[:16]}"
    if initrd.exists():
        return initrd
    modules = modules_of(kernel)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        top = Path(name)
        for directory in ("bin", "dev", "proc", "sys", "root", "modules"):
            (top / directory).mkdir()
        shutil.copy(busybox, top / "bin/busybox")
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
