"""What tools/filesystems runs: the operations of filesystems_script.py in a plain copy and in a view, on each file
system that this machine can mount, as root and as an ordinary user, by both traps.

    tools/filesystems [NAME…]          prints the table and what differs (default: all)
    tools/filesystems --record FILE    writes the table there, as text for docs/

Lower, upper and work directory lie on the file system, and so does the plain copy; where it is read-only the lower
alone does, and the rest on a tmpfs.

Rules: all mounts are in a namespace of their own and below one temporary directory; what cannot be mounted here is
named with the reason, not left out; the lower is compared with what it was.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SCRIPT = Path(__file__).with_name("filesystems_script.py")
sys.path.insert(0, str(TOP / "tests"))

import filesystems_script  # noqa: E402
from support import host  # noqa: E402
from support.box import command, traps  # noqa: E402
from support.oracle import ROOT, USER, Who, as_user, run  # noqa: E402

PYTHON = ("/usr/bin/python3", "-I", "-S", "-B")
SFTP = "/usr/lib/openssh/sftp-server"


class NotHere(Exception):
    """Why a file system cannot be tried on this machine."""


def sh(script: str, *words: str | Path) -> None:
    """Runs a line of shell; NotHere with its last words when it fails."""
    done = subprocess.run(["sh", "-ec", script, "sh", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if done.returncode:
        told = [line for line in (done.stderr or done.stdout).splitlines() if line.strip() and "dmesg(1)" not in line]
        raise NotHere(told[-1].strip() if told else f"status {done.returncode}")


@dataclass(frozen=True)
class FileSystem:
    """mount: a line of shell, for the image ($1, 512 MiB), the mount point ($2) and a directory on the disk ($3).
    read_only: made of the directory $3, which holds the lower."""

    name: str
    mount: str
    read_only: bool = False
    owner: str = ""


FUSE = "allow_other,default_permissions"
FILE_SYSTEMS = (
    FileSystem("ext4", 'mke2fs -q -t ext4 "$1"; mount -o loop "$1" "$2"'),
    FileSystem("ext4, no dir_index", 'mke2fs -q -t ext4 -O ^dir_index "$1"; mount -o loop "$1" "$2"'),
    FileSystem("ext2", 'mke2fs -q -t ext2 "$1"; mount -o loop -t ext2 "$1" "$2"'),
    FileSystem("ext4, casefold", 'mke2fs -q -t ext4 -O casefold -E encoding=utf8 "$1"; mount -o loop "$1" "$2"'),
    FileSystem("XFS", 'mkfs.xfs -q "$1"; mount -o loop "$1" "$2"'),
    FileSystem("btrfs", 'mkfs.btrfs -q "$1"; mount -o loop "$1" "$2"'),
    FileSystem("f2fs", 'mkfs.f2fs -q "$1"; mount -o loop "$1" "$2"'),
    FileSystem("tmpfs", 'mount -t tmpfs tmpfs "$2"'),
    FileSystem("ramfs", 'mount -t ramfs ramfs "$2"'),
    FileSystem("overlayfs", 'mkdir "$3/l" "$3/u" "$3/w"; '
               'mount -t overlay overlay -o "lowerdir=$3/l,upperdir=$3/u,workdir=$3/w" "$2"'),
    FileSystem("vfat", 'mkfs.vfat "$1"; mount -o loop,uid=$OWNER "$1" "$2"', owner="all"),
    FileSystem("exfat", 'mkfs.exfat "$1"; mount -o loop,uid=$OWNER "$1" "$2"', owner="all"),
    FileSystem("ntfs3", 'mkntfs -qF "$1"; mount -t ntfs3 -o loop,uid=$OWNER "$1" "$2"', owner="all"),
    FileSystem("ntfs-3g", f'mkntfs -qF "$1"; ntfs-3g -o permissions,acl,{FUSE} "$1" "$2"'),
    FileSystem("bindfs", 'bindfs "$3" "$2"'),
    FileSystem("sshfs", f'mkfifo "$3.in"; exec 2>/dev/null\n'
               f'sshfs -o slave,{FUSE} :"$3" "$2" <"$3.in" | {SFTP} >"$3.in" &\n'
               'for i in $(seq 100); do mountpoint -q "$2" && exit; sleep 0.1; done; exit 1'),
    FileSystem("fuse-overlayfs", 'mkdir "$3/l" "$3/u" "$3/w"; fuse-overlayfs -o '
               '"lowerdir=$3/l,upperdir=$3/u,workdir=$3/w,allow_other" "$2"'),
    FileSystem("9p", 'mount -t 9p -o trans=virtio,version=9p2000.L shared "$2"'),   # as tools/vm has it
    FileSystem("NFS 4.2", 'mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd\n'
               'test "$(cat /proc/fs/nfsd/threads)" != 0 || { rpc.mountd; rpc.nfsd -N 3 2; }\n'
               'exportfs -ua; exportfs -o rw,fsid=0,no_root_squash,insecure "127.0.0.1:$3"\n'
               'mount -t nfs4 127.0.0.1:/ "$2"'),
    FileSystem("squashfs", 'rm "$1"; mksquashfs "$3" "$1" -quiet; mount -o loop "$1" "$2"', read_only=True),
    FileSystem("erofs", 'rm "$1"; mkfs.erofs "$1" "$3"; mount -o loop "$1" "$2"', read_only=True),
    FileSystem("read-only bind", 'mount --bind "$3" "$2"; mount -o remount,ro,bind "$2"', read_only=True),
)


@dataclass
class Cell:
    """What one who and trap saw.  trouble: in place of it, what ended it."""

    differ: list[str] = field(default_factory=list)
    trouble: str = ""
    count: int = 0

    def __str__(self) -> str:
        if self.trouble:
            return "refused"
        return "all" if not self.differ else f"{self.count - len(self.differ)} of {self.count}"


@contextlib.contextmanager
def mounted(system: FileSystem, who: Who, source: Path, top: Path) -> Iterator[Path]:
    """The mount point; image and all go when the context ends."""
    image, place = top / "image", top / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(512 << 20)
    os.environ["OWNER"] = str(who.uid)
    try:
        sh(system.mount, image, place, source)
        yield place
    finally:
        for _ in range(50):
            if not os.path.ismount(place) or subprocess.run(["umount", place], capture_output=True,
                                                            check=False).returncode == 0:
                break
            time.sleep(0.1)


def state(top: Path) -> list[tuple[str, int, int, int, bytes]]:
    """What the lower must still be."""
    found = []
    for path in top.rglob("*"):
        status, data = path.lstat(), path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found.append((str(path.relative_to(top)), status.st_mode, len(data), status.st_mtime_ns, data))
    return sorted(found)


def lines(text: str) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)


def directory(path: Path, who: Who) -> Path:
    path.mkdir()
    with contextlib.suppress(OSError):  # where the file system keeps no owners
        os.chown(path, who.uid, who.gid)
    with contextlib.suppress(OSError):
        path.chmod(0o755)
    return path


def lay_out(path: Path, who: Who) -> Path:
    filesystems_script.lay_out(path)
    for each in [path, *path.rglob("*")]:
        with contextlib.suppress(OSError):
            os.chown(each, who.uid, who.gid, follow_symlinks=False)
    return path


def compare(who: Who, trap: str, lower: Path, disk: Path) -> Cell:
    """One run of the script beside itself.  disk: where all but the lower lies."""
    here = directory(disk / f"{who.name}-{trap}", who)
    plain, mount = lay_out(directory(here / "plain", who), who), directory(here / "mount", who)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(here), "LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(here)}
    words = [*PYTHON, str(SCRIPT)]
    expected = lines(run([*as_user(who), *words], cwd=plain, env=environment).out)
    before = state(lower)
    layers = ["-l", str(lower), "-m", str(mount), "-u", str(here / "upper")]
    done = run([*as_user(who), *command(), "--trap", trap, *layers, "-C", str(mount), "--", *words], env=environment,
               timeout=300)
    found = lines(done.out)
    if done.status != 0 or not found:
        told = (done.err.strip().splitlines() or [f"status {done.status}"])[-1]
        return Cell(trouble=told.replace(f"{here}/", ""))
    names = [name for name in expected if expected[name] != found.get(name)]
    if state(lower) != before:
        names.append("the lower is as it was")
    for name in names:
        print(f"    {who.name} {trap} {name}: {expected.get(name, '')[:150]} here: {found.get(name, '')[:150]}")
    return Cell(names, count=len(expected))


def examine(system: FileSystem) -> dict[tuple[str, str], Cell]:
    """All of one file system; NotHere."""
    cells = {}
    for who in (ROOT, USER):
        with tempfile.TemporaryDirectory(prefix="filesystems-", ignore_cleanup_errors=True) as name:
            top = Path(name)
            top.chmod(0o755)
            source = directory(top / "source", who)
            if system.read_only:
                lay_out(source, who)
            with mounted(system, who, source, top) as place:
                disk = place
                if system.read_only:
                    disk = directory(top / "disk", who)
                    host.mount_tmpfs(disk)
                elif not system.owner:
                    place.chmod(0o777)
                for trap in traps():
                    lower = place
                    if not system.read_only:
                        lower = lay_out(directory(place / f"{who.name}-{trap}-lower", who), who)
                    cells[who.name, trap] = compare(who, trap, lower, disk)
                if system.read_only:
                    host.unmount(disk)
    return cells


def table(results: dict[str, dict[tuple[str, str], Cell] | str]) -> str:
    """As reStructuredText."""
    columns = [(who.name, trap) for who in (ROOT, USER) for trap in traps()]
    rows = [["file system", *(f"{who}, {trap}" for who, trap in columns)]]
    notes: dict[str, list[str]] = {}
    for name, cells in results.items():
        if isinstance(cells, str):
            continue
        rows.append([name, *(str(cells[column]) for column in columns)])
        for column in columns:
            cell = cells[column]
            for told in [cell.trouble] if cell.trouble else cell.differ:
                notes.setdefault(f"{name}: {told.removeprefix('ptoverlay: ')}", []).append(" ".join(column))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rule = "  ".join("=" * width for width in widths)
    text = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    count = len(filesystems_script.OPERATIONS)
    kernel = os.uname().release.split("-")[0]
    head = (f"Run on {datetime.date.today().isoformat()} by ``tools/filesystems`` under Linux {kernel}: {count} "
            "operations, in a view\nbeside a plain copy on the same file system.")
    differ = [f"- {note} ({', '.join(where)})" for note, where in notes.items()]
    absent = [f"{name} ({why})" for name, why in results.items() if isinstance(why, str)]
    return "\n".join([head, "", rule, text[0], rule, *text[1:], rule, "", *(["What is not the same:", "", *differ, ""]
                                                                             if differ else []),
                      *([f"This kernel could not mount: {', '.join(absent)}.", ""] if absent else [])])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tools/filesystems")
    known = [system.name for system in FILE_SYSTEMS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table there")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(known):
        parser.error(f"no such file system: {', '.join(sorted(unknown))}")
    host.private_mounts()
    results: dict[str, dict[tuple[str, str], Cell] | str] = {}
    for system in FILE_SYSTEMS:
        if options.names and system.name not in options.names:
            continue
        try:
            results[system.name] = cells = examine(system)
            told = [f"{' '.join(column)}: {cell} {cell.trouble}".rstrip() for column, cell in cells.items()]
            print(f"{system.name}: {', '.join(told)}", flush=True)
        except (NotHere, OSError) as why:
            results[system.name] = str(why).split(": ")[-1].split(",")[0].rstrip(".")
            print(f"{system.name}: not here: {why}", flush=True)
    text = table(results)
    if options.record:
        options.record.write_text(text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
