"""The tree that the subjects work on, as data, and ways to lay it out over layers.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

from ptoverlay.remove import remove_tree

#: Owner of what belongs neither to root nor to the ordinary user of the tests.
FOREIGN = 1234
#: A group that neither is in.
FOREIGN_GROUP = 4321
#: mtime of everything laid out here: seconds and nanoseconds.
OLD = 1_000_000_000 * 10**9 + 123_456_789


@dataclass(frozen=True)
class Node:
    """One entry.  kind: file dir link fifo socket hard; target: of a symlink, or the first name of a hard link."""

    path: str
    kind: str = "file"
    mode: int = 0o644
    content: bytes = b""
    target: str = ""
    owner: tuple[int, int] | None = None
    xattrs: dict[str, bytes] = field(default_factory=dict)
    hole: int = 0  # bytes of hole after the content, which is then repeated


def _rename_cells() -> Iterator[Node]:
    """ren/SRC-DST-FLAG/ for subjects/rename.c."""

    def thing(path: str, kind: str, content: str) -> Iterator[Node]:
        if kind == "f":
            yield Node(path, content=content.encode())
        elif kind == "l":
            yield Node(path, "link", target=content)
        elif kind == "h":
            yield Node(path, "hard", target=path[:-3] + "src")
        elif kind in "ed":
            yield Node(path, "dir", 0o755 if content == "src" else 0o711)
            if kind == "d":
                yield Node(f"{path}/{content}-x", content=f"{content} x".encode())
                yield Node(f"{path}/sub", "dir", 0o755)
                yield Node(f"{path}/sub/{content}-y", content=f"{content} y".encode())

    for flag in "012":
        for source in "fedln":
            for target in "fedlhn":
                if target == "h" and source != "f":
                    continue
                cell = f"ren/{source}-{target}-{flag}"
                yield Node(cell, "dir", 0o755)
                yield from thing(f"{cell}/src", source, "src")
                yield from thing(f"{cell}/dst", target, "dst")


def _metadata() -> Iterator[Node]:
    """meta/KIND.N for subjects/fdmeta.c: a fresh object for each way."""
    yield Node("meta", "dir", 0o755)
    for i in range(5):
        yield Node(f"meta/file.{i}", content=b"metadata\n")
        yield Node(f"meta/dir.{i}", "dir", 0o755)
        yield Node(f"meta/link.{i}", "link", target="../file")
        yield Node(f"meta/fifo.{i}", "fifo", 0o644)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """A POSIX ACL as system.posix_acl_* holds it: (tag, permissions, id) each."""
    out = (2).to_bytes(4, "little")
    for tag, permissions, identity in entries:
        out += tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + identity.to_bytes(4, "little")
    return out


NOBODY = 0xFFFFFFFF
ACL = acl((1, 6, NOBODY), (2, 4, 4711), (4, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 4, NOBODY))
DEFAULT_ACL = acl((1, 7, NOBODY), (2, 5, 4711), (4, 5, NOBODY), (0x10, 5, NOBODY), (0x20, 0, NOBODY))


def standard(mount: Path, subject: str = "") -> list[Node]:
    """Everything the subject looks for; `mount` is where absolute symlinks lead."""
    nodes = [
        Node(".", "dir", 0o755),
        Node("file", content=b"lower file\n", xattrs={"user.test": b"a value"}),
        Node("empty"),
        Node("ro", mode=0o444, content=b"read only\n"),
        Node("noaccess", mode=0o000, content=b"nobody\n"),
        Node("setuid", mode=0o4755, content=b"set user id\n"),
        Node("foreign", mode=0o644, content=b"of somebody else\n", owner=(FOREIGN, FOREIGN)),
        Node("foreign-writable", mode=0o666, content=b"of somebody else\n", owner=(FOREIGN, FOREIGN)),
        Node("big", content=b"".join(b"%07d\n" % i for i in range(40_000))),
        Node("sparse", content=b"data" * 1024, hole=1 << 20),
        Node("dir", "dir", 0o755, xattrs={"user.test": b"of a directory"}),
        *(Node(f"dir/{name}", content=f"in dir: {name}\n".encode()) for name in "abc"),
        Node("dir/sub", "dir", 0o755),
        Node("dir/sub/deep", content=b"deep\n"),
        Node("dir/sub/deeper", "dir", 0o755),
        Node("dir/sub/deeper/leaf", content=b"leaf\n"),
        Node("emptydir", "dir", 0o755),
        Node("noaccessdir", "dir", 0o000),
        Node("noaccessdir/x", content=b"not reachable\n"),
        Node("sticky", "dir", 0o1777, owner=(FOREIGN + 1, FOREIGN)),
        Node("sticky/other", mode=0o666, content=b"of another\n", owner=(FOREIGN, FOREIGN)),
        Node("setgid", "dir", 0o2775, owner=(-1, FOREIGN_GROUP)),
        Node("full", "dir", 0o755),
        *(Node(f"full/entry-{i:03}", content=b"%d" % i) for i in range(300)),
        Node("long", "dir", 0o755),
        *(Node(f"long/{c * 255}", content=c.encode()) for c in "xyz"),
        Node("mixed", "dir", 0o755),
        Node("mixed/keep", content=b"keep"),
        Node("mixed/dir", "dir", 0o755),
        Node("mixed/link", "link", target="keep"),
        Node("mixed/fifo", "fifo", 0o600),
        Node("mixed/socket", "socket", 0o600),
        Node("gone", "dir", 0o755),
        Node("gone/x", content=b"old x"),
        Node("gone/y", content=b"old y"),
        Node("gone/z", "dir", 0o755),
        Node("link", "link", target="file"),
        Node("dirlink", "link", target="dir"),
        Node("dangling", "link", target="nowhere"),
        Node("loop", "link", target="loop"),
        Node("abslink", "link", target=f"{mount}/file"),
        Node("updir", "link", target=".."),
        Node("escape", "link", target="/etc/hostname"),
        Node("chain", "dir", 0o755),
        Node("chain/l0", content=b"end of the chain"),
        *(Node(f"chain/l{i}", "link", target=f"l{i - 1}") for i in range(1, 43)),
        Node("fifo", "fifo", 0o644),
        Node("socket", "socket", 0o755),
        Node("hard1", content=b"two names\n"),
        Node("hard2", "hard", target="hard1"),
        Node("attrs", content=b"x", xattrs={"user.a": b"1", "user.b": b"\0\xff", "system.posix_acl_access": ACL}),
        Node("attrsdir", "dir", 0o755, xattrs={"user.d": b"2", "system.posix_acl_default": DEFAULT_ACL}),
    ]
    if subject == "rename":
        nodes += [Node("ren", "dir", 0o755), *_rename_cells()]
    if subject == "fdmeta":
        nodes += _metadata()
    return nodes


def _make(root: Path, node: Node, owner: tuple[int, int]) -> None:
    path = root / node.path
    if node.kind == "dir":
        path.mkdir(exist_ok=node.path == ".")
    elif node.kind == "link":
        path.symlink_to(node.target)
    elif node.kind == "hard":
        os.link(root / node.target, path)
        return
    elif node.kind == "file":
        with path.open("wb") as out:
            out.write(node.content)
            if node.hole:
                out.seek(node.hole, os.SEEK_CUR)
                out.write(node.content)
    else:
        os.mknod(path, (stat.S_IFIFO if node.kind == "fifo" else stat.S_IFSOCK) | 0o600)
    if os.geteuid() == 0:
        wanted = node.owner or owner
        os.lchown(path, wanted[0] if wanted[0] >= 0 else owner[0], wanted[1])
    for name, value in node.xattrs.items():
        os.setxattr(path, name, value, follow_symlinks=False)
    if node.kind != "link" and not any(name.startswith("system.posix_acl_access") for name in node.xattrs):
        os.chmod(path, node.mode)


def settle(root: Path) -> None:
    """Gives every entry the same old times, deepest first."""
    for directory, _, files in os.walk(root, topdown=False):
        for name in files:
            os.utime(f"{directory}/{name}", ns=(OLD, OLD), follow_symlinks=False)
        os.utime(directory, ns=(OLD, OLD))
        for name in os.listdir(directory):
            path = f"{directory}/{name}"  # as text: every small test comes here for hundreds of entries
            if os.path.islink(path):
                os.utime(path, ns=(OLD, OLD), follow_symlinks=False)


def write(root: Path, nodes: Iterable[Node], owner: tuple[int, int]) -> None:
    """Lays all of it out below `root`, an existing directory, with old times."""
    later: list[Node] = []
    for node in nodes:
        if node.owner and os.geteuid() != 0:
            node = replace(node, owner=None)
        if node.kind == "dir" and not node.mode & 0o200:
            later.append(node)
            node = replace(node, mode=0o700)
        _make(root, node, owner)
    settle(root)
    for node in later:
        os.chmod(root / node.path, node.mode)


def whiteout(path: Path, owner: tuple[int, int]) -> None:
    """The kernel's whiteout: a character device 0/0."""
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(0, 0))
    if os.geteuid() == 0:
        os.lchown(path, *owner)


def write_split(layers: Sequence[Path], nodes: Sequence[Node], owner: tuple[int, int], prefix: str) -> None:
    """The same tree spread over layers, topmost first, so that merging them gives it: each entry in one of
    them, directories in all, and decoys below that whiteouts and opaque directories hide.

    prefix: `trusted` or `user`, before .overlay.opaque."""
    top, bottom = layers[0], layers[-1]
    directories = [n for n in nodes if n.kind == "dir"]
    home: dict[str, int] = {}
    for node in nodes:
        name = node.target if node.kind == "hard" else node.path
        home[node.path] = crc32(name.encode()) % len(layers)
    for i, layer in enumerate(layers):
        here = [n for n in nodes if n.kind == "dir" or home[n.path] == i]
        write(layer, here, owner)
    closed = [n for n in directories if not n.mode & 0o200]
    for layer in layers:
        for node in closed:
            os.chmod(layer / node.path, 0o700)
    decoys = [n for n in directories if n.path in ("dir", "dir/sub", "mixed", "full", ".")]
    for node in decoys:
        for kind, name in (("file", "decoy-file"), ("dir", "decoy-dir")):
            _make(bottom, Node(f"{node.path}/{name}", kind, 0o755 if kind == "dir" else 0o644), owner)
            whiteout(top / node.path / name, owner)
    _make(bottom, Node("dir/decoy-dir/inside"), owner)
    for path in ("emptydir", "attrsdir"):
        _make(bottom, Node(f"{path}/decoy", content=b"hidden by an opaque directory"), owner)
        os.setxattr(top / path, f"{prefix}.overlay.opaque", b"y")
    for layer in layers:
        settle(layer)
        for node in closed:
            os.chmod(layer / node.path, node.mode)


def remove(path: Path) -> None:
    """A whole tree, directories without permissions included, and whatever of it a supervisor that is ending takes away
    or leaves meanwhile."""
    while path.exists():
        for directory, names, _ in os.walk(path):
            for name in names:
                below = Path(directory, name)
                with suppress(FileNotFoundError):
                    if not below.is_symlink():
                        below.chmod(0o700)
        shutil.rmtree(path, onerror=_passed)


def _passed(_function: object, _path: str, what: tuple[type[BaseException], BaseException, object]) -> None:
    """Removing what is gone, or what somebody has just put something into: that is looked at anew."""
    error = what[1]
    if not (isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTEMPTY)):
        raise error


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """What is there: kind, mode, contents or target, which names are one file.  What a process that ends takes away
    while it is looked at (its socket) is not there."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for directory, names, files in os.walk(top):
        names.sort()  # the first name of a file is the same whatever order the directory is in
        for name in sorted((*names, *files)):
            path = Path(directory, name)
            shown = str(path.relative_to(top))
            with suppress(FileNotFoundError):
                found[shown] = _entry(path, shown, first)
    return found


def _entry(path: Path, shown: str, first: dict[int, str]) -> tuple[object, ...]:
    status = path.lstat()
    content: object = ""
    if path.is_symlink():
        content = os.readlink(path)
    elif path.is_file():
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    group = first.setdefault(status.st_ino, shown) if not path.is_dir() else ""
    xattrs = tuple(sorted(os.listxattr(path, follow_symlinks=False)))
    return oct(status.st_mode), content, group, xattrs


@contextmanager
def in_memory() -> Iterator[Path]:
    """A directory where syncing takes no time, if there is one; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="ptoverlay-tests-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    try:
        yield path
    finally:
        remove_tree(str(path))
