"""Rows of the seed's table (test_seed.py) that need a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import command
from support.oracle import Who
from support.world import World

PYTHON = "/usr/bin/python3"


def box_python(world: World, script: str) -> str:
    """What a Python script prints that runs in the view."""
    return world.box().check([PYTHON, "-c", script], env=world.env)


@pytest.fixture
def small(make_world: Callable[[Who, str], World], who: Who, trap: str) -> World:
    """A lower with a file, a directory of five files, and a program."""
    world = make_world(who, trap)
    lower = world.add_lower()
    (lower / "file").write_text("old\n")
    (lower / "dir/sub").mkdir(parents=True)
    for name in "abcde":
        (lower / "dir" / name).write_text(name)
    (lower / "program").write_bytes(Path("/bin/sleep").read_bytes())
    (lower / "program").chmod(0o755)
    for path in (lower, *lower.rglob("*")):
        os.chown(path, *world.owner)
    world.fill_plain()
    world.freeze()
    return world


def test_row03_statfs(small: World) -> None:
    """The kernel's type and block size, and the room that the upper has."""
    command = ["stat", "-f", "-c", "%t %s %b %l", "."]
    assert small.box().check(command, env=small.env) == small.kernel().check(command, env=small.env)


def test_row17_fsync_of_a_directory(small: World) -> None:
    """A directory opened before its copy-up can be synced after it."""
    assert box_python(small, """if True:
        import os
        fd = os.open("dir", os.O_RDONLY)
        os.fsync(fd)
        open("dir/new", "w").close()
        os.fsync(fd)
        os.fdatasync(fd)
        print("new" in os.listdir(fd))
    """) == "True\n"


def test_row18_lseek_against_readdir(small: World) -> None:
    """Two threads on one descriptor of a merged directory: no crash, and afterwards a whole listing."""
    assert box_python(small, """if True:
        import os, threading
        open("dir/new", "w").close()
        fd = os.open("dir", os.O_RDONLY)
        def seek():
            for _ in range(300):
                os.lseek(fd, 0, os.SEEK_SET)
        thread = threading.Thread(target=seek)
        thread.start()
        for _ in range(100):
            os.listdir(fd)
        thread.join()
        os.lseek(fd, 0, os.SEEK_SET)
        print(*sorted(os.listdir(fd)))
    """) == "a b c d e new sub\n"


def test_row23_a_view_in_a_view(small: World) -> None:
    """ptoverlay inside itself: each upper holds its own changes."""
    top = small.mount / "dir"
    inner = [f"--lower={top}", f"--mount={top}", f"--upper={small.mount}/inner", "-C", str(top)]
    script = "echo changed > a; cat a b; rm c; ls"
    out = small.box().run([*command(), "run", *inner, "--", "sh", "-c", script], env=small.env)
    assert out.out == "changed\nba\nb\nd\ne\nsub\n", out.err
    assert (small.upper / "inner/a").read_text() == "changed\n"
    assert not (small.upper / "dir").exists()


def test_row26_rm_while_copied_up(small: World) -> None:
    """A directory copied up between opendir and the first read still lists all that it has, and goes as a whole."""
    assert box_python(small, """if True:
        import os, shutil
        fd = os.open("dir", os.O_RDONLY)
        os.chmod("dir/a", 0o600)
        os.unlink("dir/b")
        print(*sorted(os.listdir(fd)))
        stream = os.scandir("dir")
        open("dir/new", "w").close()
        shutil.rmtree("dir")
        print(os.path.exists("dir"))
    """) == "a c d e sub\nFalse\n"


def test_row27_nlink_of_merged_directories(small: World) -> None:
    """find and du, which may go by st_nlink, find everything."""
    script = "mkdir dir/new; echo x > dir/sub/f; find . -type d | sort; find . -type f | sort; du -a | cut -f2 | sort"
    small.same_run(["/bin/sh", "-c", script])


def test_row40_descriptor_shows_what_is_written_later(small: World) -> None:
    """Opened for reading before the copy-up."""
    assert box_python(small, """if True:
        import os
        fd = os.open("file", os.O_RDONLY)
        with open("file", "a") as file:
            file.write("new\\n")
        print(os.pread(fd, 100, 0))
        print(os.fstat(fd).st_size == os.stat("file").st_size, os.fstat(fd).st_ino == os.stat("file").st_ino)
    """) == "b'old\\nnew\\n'\nTrue True\n"


def test_row42_watches_set_before_a_copy_up(small: World) -> None:
    """inotify on a lower file, and on its directory, sees what happens to the upper's copy."""
    assert box_python(small, """if True:
        import ctypes, os, struct
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(fd, b"file", 2)
        libc.inotify_add_watch(fd, b"dir", 0x100)
        with open("file", "a") as file:
            file.write("new")
        open("dir/new", "w").close()
        data, seen = os.read(fd, 4096), set()
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            seen.add(mask & 0x102)
            data = data[16 + length:]
        print(*sorted(seen))
    """) == "2 256\n"


def test_row43_locks_taken_before_a_copy_up(small: World) -> None:
    """flock of the lower file excludes those who open the copy."""
    assert box_python(small, """if True:
        import fcntl, os
        fcntl.flock(os.open("file", os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
        try:
            fcntl.flock(os.open("file", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("locked twice")
        except BlockingIOError:
            print("excluded")
    """) == "excluded\n"


def test_row44_text_file_busy(small: World) -> None:
    """A lower program that runs cannot be written, by no name and in no way, and can again when it has ended; nor can
    one run that is open for writing."""
    lower = small.lowers[0]
    os.link(lower / "program", lower / "other")
    (lower / "shell").write_bytes(Path("/bin/sh").read_bytes())
    (lower / "script").write_text("#!./shell\nread line\n")
    for name in ("shell", "script"):
        (lower / name).chmod(0o755)
        os.chown(lower / name, *small.owner)
    small.freeze()
    found = box_python(small, TEXT_FILE_BUSY)
    assert found == small.kernel().check([PYTHON, "-c", TEXT_FILE_BUSY], env=small.env)
    assert "program open WRONLY: ETXTBSY\n" in found
    assert "ended program open WRONLY: done\n" in found


TEXT_FILE_BUSY = """if True:
    import errno, os, subprocess

    def attempt(what, call, *arguments):
        try:
            result = call(*arguments)
            if isinstance(result, int):
                os.close(result)
            print(what + ": done")
        except OSError as error:
            print(f"{what}: {errno.errorcode[error.errno]}")

    def attempts(name, what=""):
        for flag in ("WRONLY", "RDWR", "RDONLY"):
            attempt(f"{what}{name} open {flag}", os.open, name, getattr(os, "O_" + flag))
        attempt(f"{what}{name} O_TRUNC", os.open, name, os.O_RDONLY | os.O_TRUNC)
        attempt(f"{what}{name} truncate", os.truncate, name, 1 << 20)
        fd = os.open(name, os.O_RDONLY)
        attempt(f"{what}{name} descriptor", os.open, f"/proc/self/fd/{fd}", os.O_WRONLY)
        os.close(fd)

    def end(process):
        process.kill()
        process.wait()

    os.close(os.open("dir/a", os.O_WRONLY))
    process = subprocess.Popen(["./program", "60"])
    attempts("program")
    attempts("other")
    attempt("chmod", os.chmod, "program", 0o700)
    attempts("program", "copied up ")
    attempt("rename", os.rename, "program", "renamed")
    attempts("renamed")
    end(process)
    attempt("rename", os.rename, "renamed", "program")

    process = subprocess.Popen(["./script"], stdin=subprocess.PIPE)
    attempts("shell")
    attempt("script", os.open, "script", os.O_WRONLY)
    end(process)

    fd = os.open("other", os.O_WRONLY)
    attempt("run while written", subprocess.run, ["./other", "0"])
    attempt("run while its name is written", subprocess.run, ["./program", "0"])
    os.close(fd)
    for name in ("program", "other", "shell"):
        attempt(f"ended {name} open WRONLY", os.open, name, os.O_WRONLY)
    attempts("shell", "ended ")
"""


def test_row31_a_descriptor_counts_the_names_left(small: World) -> None:
    """fstat of a lower file that was opened by one of its names, which was then removed."""
    os.link(small.lowers[0] / "file", small.lowers[0] / "name")
    small.freeze()
    script = """if True:
        import os
        fd = os.open("file", os.O_RDONLY)
        for name in ("file", "name"):
            os.unlink(name)
            print(os.fstat(fd).st_nlink)
    """
    assert box_python(small, script) == small.kernel().check([PYTHON, "-c", script], env=small.env) == "1\n0\n"
