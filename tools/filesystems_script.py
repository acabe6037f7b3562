"""The operations that tools/filesystems compares: run in a directory, each prints what it saw, in one line.

Rules: Python's own library alone, since it runs in views and on file systems that can little; a result is a value or
the errno's name, and says nothing of the place (no paths, numbers of devices, sizes of blocks); each operation has
names of its own, so that one that fails spoils no other.

SPDX-License-Identifier: GPL-2.0-or-later
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_RENAMEAT2 = 316 if os.uname().machine == "x86_64" else 276
_OLD = 10**18

OPERATIONS: dict[str, Callable[[], object]] = {}


def operation(function: Callable[[], object]) -> Callable[[], object]:
    OPERATIONS[function.__name__] = function
    return function


def lay_out(top: Path) -> None:
    """What the operations find."""
    def file(name: str, text: str = "text\n", mode: int = 0o644) -> None:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        with contextlib.suppress(OSError):  # where there are no modes
            path.chmod(mode)

    for name in ("read", "append", "overwrite", "cut", "gone", "again", "moved", "over1", "over2", "mode", "times",
                 "attribute", "shared", "mapped", "locked", "open", "number", "exchange1", "exchange2", "kept",
                 "unlinked", "cloned", "descriptor", "reserved"):
        file(name)
    for name in ("tree", "dir", "moving", "replaced", "plain", "full", "swap"):
        for inside in ("a", "b", "sub/c"):
            file(f"{name}/{inside}")
    for name in ("empty", "target"):
        (top / name).mkdir()
    for number in range(40):
        file(f"many/{number:03}")
    file("big", "0123456789abcdef" * 65536)
    file("closed", mode=0o444)
    file("script", "#!/bin/sh\necho ran $1\n", 0o755)
    with contextlib.suppress(OSError):  # where there are no links
        (top / "link").symlink_to("read")
        os.link(top / "shared", top / "shared2")


def renameat2(old: str, new: str, flags: int) -> str:
    if _libc.syscall(_RENAMEAT2, -100, old.encode(), -100, new.encode(), flags) == 0:
        return "done"
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def text(name: str) -> str:
    return Path(name).read_text()


def names(name: str = ".") -> list[str]:
    return sorted(os.listdir(name))


def tree(name: str) -> list[str]:
    return sorted(str(path) for path in Path(name).rglob("*"))


@operation
def read() -> object:
    return text("read")


@operation
def listing() -> object:
    return names()


@operation
def listing_below() -> object:
    return tree("plain")


@operation
def append() -> object:
    with open("append", "a") as file:
        file.write("more\n")
    return text("append")


@operation
def overwrite() -> object:
    with open("overwrite", "r+") as file:
        file.write("TE")
    return text("overwrite")


@operation
def truncate_on_open() -> object:
    Path("cut").write_text("")
    return os.stat("cut").st_size


@operation
def truncate_by_path() -> object:
    os.truncate("big", 100_000)
    return os.stat("big").st_size, text("big")[-4:]


@operation
def hole() -> object:
    with open("hole", "wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    return os.stat("hole").st_size, Path("hole").read_bytes()[-5:]


@operation
def create() -> object:
    Path("new").write_text("new\n")
    return text("new")


@operation
def create_exclusively() -> object:
    return os.open("read", os.O_CREAT | os.O_EXCL)


@operation
def unlink() -> object:
    os.unlink("gone")
    return os.path.exists("gone"), "gone" in names()


@operation
def unlink_and_create() -> object:
    os.unlink("again")
    Path("again").write_text("again\n")
    return text("again"), names().count("again")


@operation
def mkdir() -> object:
    os.mkdir("made")
    Path("made/in").write_text("in")
    return tree("made")


@operation
def mkdir_over_a_file() -> object:
    os.mkdir("read")
    return "done"


@operation
def rmdir_of_a_full_one() -> object:
    os.rmdir("full")
    return "done"


@operation
def rmdir() -> object:
    os.rmdir("empty")
    return os.path.exists("empty")


@operation
def remove_a_tree() -> object:
    shutil.rmtree("tree")
    return os.path.exists("tree")


@operation
def remove_a_tree_and_make_it() -> object:
    shutil.rmtree("dir")
    os.mkdir("dir")
    Path("dir/new").write_text("")
    return tree("dir")


@operation
def a_file_where_a_tree_was() -> object:
    shutil.rmtree("replaced")
    Path("replaced").write_text("file\n")
    return text("replaced")


@operation
def rename() -> object:
    os.rename("moved", "moved-on")
    return os.path.exists("moved"), text("moved-on")


@operation
def rename_over() -> object:
    Path("over1").write_text("one\n")
    os.rename("over1", "over2")
    return os.path.exists("over1"), text("over2")


@operation
def rename_a_directory() -> object:
    os.rename("moving", "arrived")
    return os.path.exists("moving"), tree("arrived")


@operation
def rename_over_a_directory() -> object:
    os.mkdir("source")
    Path("source/x").write_text("")
    os.rename("source", "target")
    return tree("target")


@operation
def rename_over_a_full_directory() -> object:
    os.mkdir("source2")
    os.rename("source2", "full")
    return "done"


@operation
def rename_without_replacing() -> object:
    return renameat2("read", "number", 1)


@operation
def rename_exchanging() -> object:
    Path("exchange1").write_text("one\n")
    return renameat2("exchange1", "exchange2", 2), text("exchange1"), text("exchange2")


@operation
def symlink() -> object:
    os.symlink("read", "new-link")
    return os.readlink("new-link"), text("new-link")


@operation
def symlink_of_before() -> object:
    return os.readlink("link"), text("link"), os.path.islink("link")


@operation
def link() -> object:
    os.link("number", "number2")
    return os.stat("number").st_nlink, os.path.samefile("number", "number2")


@operation
def write_by_one_name_of_two() -> object:
    os.link("kept", "kept2")
    Path("kept").write_text("new\n")
    return text("kept2")


@operation
def chmod() -> object:
    os.chmod("mode", 0o600)
    return oct(os.stat("mode").st_mode)


@operation
def chmod_of_a_directory() -> object:
    os.chmod("plain", 0o700)
    return oct(os.stat("plain").st_mode), names("plain")


@operation
def chown_to_myself() -> object:
    os.chown("mode", os.getuid(), os.getgid())
    return os.stat("mode").st_uid == os.getuid()


@operation
def times() -> object:
    os.utime("times", ns=(_OLD, _OLD + 4 * 10**9))
    return os.stat("times").st_mtime_ns


@operation
def times_of_a_directory() -> object:
    os.utime("full", ns=(_OLD, _OLD))
    return os.stat("full").st_mtime_ns


@operation
def attribute() -> object:
    os.setxattr("attribute", "user.a", b"value")
    seen = os.getxattr("attribute", "user.a"), os.listxattr("attribute")
    os.removexattr("attribute", "user.a")
    return seen, os.listxattr("attribute")


@operation
def attribute_of_a_directory() -> object:
    os.setxattr("many", "user.a", b"value")
    return os.getxattr("many", "user.a"), len(names("many"))


@operation
def attribute_that_is_not_there() -> object:
    return os.getxattr("read", "user.none")


@operation
def fifo() -> object:
    os.mkfifo("fifo")
    return oct(os.stat("fifo").st_mode & 0o170000)


@operation
def unix_socket() -> object:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen(1)
        client.connect("socket")
        return oct(os.stat("socket").st_mode & 0o170000)


@operation
def access() -> object:
    return os.access("read", os.W_OK), os.access("closed", os.W_OK), os.access("script", os.X_OK)


@operation
def open_of_a_closed_file() -> object:
    os.close(os.open("closed", os.O_WRONLY))
    return "done"


@operation
def chmod_by_a_descriptor() -> object:
    fd = os.open("descriptor", os.O_RDONLY)
    os.fchmod(fd, 0o640)
    seen = oct(os.fstat(fd).st_mode), oct(os.stat("descriptor").st_mode)
    os.close(fd)
    return seen


@operation
def reserve() -> object:
    with open("reserved", "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 10000)
    return os.stat("reserved").st_size


@operation
def copy_a_range() -> object:
    with open("read", "rb") as source, open("cloned", "r+b") as target:
        return os.copy_file_range(source.fileno(), target.fileno(), 3), text("cloned")


@operation
def send_a_file() -> object:
    with open("read", "rb") as source, open("sent", "wb") as target:
        os.sendfile(target.fileno(), source.fileno(), 0, 100)
    return text("sent")


@operation
def shared_mapping() -> object:
    with open("mapped", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[0:2] = b"MA"
        memory.flush()
    return text("mapped")


@operation
def locks_exclude() -> object:
    with open("locked", "r+") as one, open("locked", "r+") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "excluded"
        return "both"


@operation
def sync() -> object:
    with open("sync", "w") as file:
        file.write("x")
        file.flush()
        os.fsync(file.fileno())
    fd = os.open(".", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    return "done"


@operation
def file_without_a_name() -> object:
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"x")
    here = os.open(".", os.O_RDONLY)
    os.link(f"/proc/self/fd/{fd}", "named", src_dir_fd=here)  # with it the link is followed
    os.close(here)
    os.close(fd)
    return text("named")


@operation
def opened_before_the_copy() -> object:
    with open("open") as file:
        Path("open").write_text("later\n")
        return file.read()


@operation
def number_stays() -> object:
    before = os.stat("times").st_ino
    with open("times", "a") as file:
        file.write("more")
    return os.stat("times").st_ino == before


@operation
def unlink_of_an_open_file() -> object:
    with open("unlinked", "r+") as file:
        os.unlink("unlinked")
        file.write("T")
        file.flush()
        file.seek(0)
        return file.read(), os.path.exists("unlinked")


@operation
def many_names() -> object:
    os.mkdir("hundreds")
    for number in range(300):
        Path(f"hundreds/{number}").touch()
    count = len(names("hundreds"))
    for name in names("hundreds")[::2]:
        os.unlink(f"hundreds/{name}")
    return count, len(names("hundreds"))


@operation
def many_names_of_before() -> object:
    for name in names("many")[:30]:
        os.unlink(f"many/{name}")
    Path("many/new").touch()
    return names("many")


@operation
def remove_while_listing() -> object:
    with os.scandir("hundreds") as entries:
        for entry in entries:
            os.unlink(entry.path)
    os.rmdir("hundreds")
    return "done"


@operation
def long_name() -> object:
    name = "n" * 255
    Path(name).touch()
    if name not in names():
        return "not listed"
    Path("n" * 256).touch()
    return "done"


@operation
def name_of_other_letters() -> object:
    Path("ü€-ß").write_text("x")
    return "ü€-ß" in names()


@operation
def name_of_no_letters() -> object:
    Path("a\nb\\c:d").touch()
    return names()[:1]


@operation
def names_that_differ_in_case() -> object:
    Path("Case").write_text("one")
    Path("case").write_text("two")
    return text("Case"), [name for name in names() if name.lower() == "case"]


@operation
def removed_current_directory() -> object:
    os.mkdir("here")
    script = "cd here && rmdir ../here && ls -A . && touch x"
    return subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=False).returncode


@operation
def run_a_script() -> object:
    return subprocess.run(["./script", "it"], capture_output=True, check=True, text=True).stdout


@operation
def read_only_view_of_sizes() -> object:
    usage = os.statvfs(".")
    return usage.f_blocks > 0, usage.f_namemax >= 255


@operation
def listing_at_last() -> object:
    return [name for name in names() if name not in ("a\nb\\c:d", "moving", "arrived")]


def main() -> None:
    for name, function in OPERATIONS.items():
        try:
            result = repr(function())
        except OSError as error:
            result = errno.errorcode.get(error.errno or 0, str(error))
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        print(f"{name}\t{result}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:]:
        lay_out(Path(sys.argv[1]))
    else:
        main()
