"""/proc/PID/maps, smaps and numa_maps tell where mapped files are in the view.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import mmap
import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support.box import Box, command
from support.oracle import ROOT, Who
from support.trees import Node
from support.world import World

#: Prints what the files tell of paths below the directory where it starts.
LOOK = """if True:
    import ctypes, errno, fcntl, mmap, os, re, subprocess, sys, threading
    top = os.getcwd()
    PATHS = {
        "maps": re.compile(r"^[0-9a-f]+-[0-9a-f]+ +\\\\S+ +\\\\S+ +\\\\S+ +[0-9]+ +(/.*)$", re.M),
        "numa_maps": re.compile(r"^[0-9a-f]+ .*? file=(\\\\S+)", re.M),
    }
    PATHS["smaps"] = PATHS["maps"]
    kept = []

    def hold(path, size=4096, make=True):
        with open(path, "ab" if make else "rb") as file:
            if make:
                file.write(b"x" * size)
        with open(path, "rb") as file:
            kept.append(mmap.mmap(file.fileno(), size, mmap.MAP_SHARED, mmap.PROT_READ))

    def paths(name, text):
        found = [path.replace(top, "TOP", 1) for path in PATHS[name].findall(text) if path.startswith(top)]
        return sorted(set(found)), len(found)

    def told(name, fd):
        with open(fd, errors="surrogateescape") as file:
            text = file.read()
        assert text.endswith("\\\\n"), text[-200:]
        if name == "maps":   # as wide as the kernel writes them
            assert all(line[72] == " " and line[73] in "/[" for line in text.splitlines() if len(line) > 74), text
        return paths(name, text)

    libc = ctypes.CDLL(None, use_errno=True)

    def by_syscall(number, *args):
        fd = libc.syscall(number, *args)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return fd
""".replace("\\\\", "\\")

FILES = ("maps", "smaps", "numa_maps")


def _lay_out(world: World) -> None:
    page = b"y" * 4096
    files = ("low", "copied", "removed", "d/f", "gone/f", "moved/f", "later")
    world.lay_out([
        *(Node(name, "dir", 0o755) for name in (".", "d", "gone", "moved")),
        *(Node(name, "file", 0o644, page) for name in files),
    ])


def _python(script: str) -> list[str]:
    return ["/usr/bin/python3", "-c", LOOK + script]


NAMES = """
    for name in ("new", "new line\\nx", "a b=c\\t", "back\\\\012slash", "x (deleted)", "d/new"):
        hold(name)
    for name in ("low", "removed", "d/f", "gone/f", "later"):
        hold(name, make=False)
    hold("copied", size=4096)
    os.rename("moved", "d/elsewhere")
    hold("d/elsewhere/f", make=False)
    hold("d/new2"), os.rename("d/new2", "d/new3")
    hold("unlinked"), os.unlink("unlinked"), os.unlink("removed")
    os.unlink("gone/f"), os.rmdir("gone")
    open("later", "ab").write(b"more")
    hold("again"), os.unlink("again"), open("again", "x").close()
    fd = os.memfd_create("a/b c")
    os.truncate(fd, 4096)
    kept.append(mmap.mmap(fd, 4096))
    for name in sys.argv[1:]:
        print(name, *told(name, os.open(f"/proc/self/{name}", os.O_RDONLY))[0], sep="\\n")
    print(sorted(set(re.findall("/memfd.*", open("/proc/self/maps").read()))), os.readlink(f"/proc/self/fd/{fd}"))
"""


@pytest.mark.parametrize("name", FILES)
def test_names(world: World, name: str) -> None:
    """New files, copies, what is below a renamed directory, removed ones, names that are written with escapes."""
    _lay_out(world)
    done = world.same_run([*_python(NAMES), name], env={"PYTHONDONTWRITEBYTECODE": "1"})
    assert done.status == 0, done.err
    assert "TOP/new\n" in done.out
    world.assert_lowers_untouched()


WAYS = """
    hold("new"), hold("low", make=False)
    me, name = os.getpid(), sys.argv[1]
    shell = "/usr/bin/python3 -c 'import sys; sys.stdout.write(open(sys.argv[1]).read())' "

    def relative():
        os.chdir("/proc/self")
        try:
            return os.open(name, os.O_RDONLY)
        finally:
            os.chdir(top)

    def beside(directory, path):
        above = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.open(path, os.O_RDONLY, dir_fd=above)
        finally:
            os.close(above)

    def in_thread(path):
        found = []
        def look():
            found.append(told(name, os.open(path.format(tid=threading.get_native_id()), os.O_RDONLY)))
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        return found[0]

    def by_openat2(path, resolve):
        how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, resolve)
        return by_syscall(437, -100, path.encode(), how, ctypes.c_size_t(24))

    def by_symlink():
        os.symlink(f"/proc/self/{name}", "link")
        return os.open("link", os.O_RDONLY)

    ways = {
        "self": lambda: os.open(f"/proc/self/{name}", os.O_RDONLY),
        "pid": lambda: os.open(f"/proc/{me}/{name}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK),
        "task": lambda: os.open(f"/proc/self/task/{me}/{name}", os.O_RDONLY),
        "thread": lambda: in_thread(f"/proc/self/task/{{tid}}/{name}"),
        "thread-self": lambda: in_thread(f"/proc/thread-self/{name}"),
        "its id as a process": lambda: in_thread(f"/proc/{{tid}}/{name}"),
        "relative": relative,
        "beside": lambda: beside("/proc/self", name),
        "up": lambda: beside("/proc/self/fd", f"../task/{me}/../../{name}"),
        "openat2": lambda: by_openat2(f"/proc/self/{name}", 0),
        "openat2, no links": lambda: by_openat2(f"/proc/{me}/{name}", 4),
        "symlink": by_symlink,
    }
    if os.uname().machine == "x86_64":
        ways["open"] = lambda: by_syscall(2, f"/proc/self/{name}".encode(), 0)
    for way, opens in ways.items():
        found = opens()
        print(way, told(name, found) if isinstance(found, int) else found)
    child = f"import sys; sys.stdout.write(open('/proc/{me}/{name}').read())"
    print("child", paths(name, subprocess.check_output(["/usr/bin/python3", "-c", child], text=True)))
    grandchild = subprocess.check_output(["/bin/sh", "-c", f"cat /proc/{me}/{name} | cat"], text=True)
    print("cat", paths(name, grandchild))
    sleeper = subprocess.Popen(["./program", "/dev/stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sleeper.stdin.write(b"x"), sleeper.stdin.flush(), sleeper.stdout.read(1)
    print("parent", told(name, os.open(f"/proc/{sleeper.pid}/{name}", os.O_RDONLY))[0])
    sleeper.communicate()
    print("of its own", paths(name, subprocess.check_output(["./program", f"/proc/self/{name}"], text=True))[0])
"""


@pytest.mark.parametrize("name", FILES)
def test_ways(world: World, name: str) -> None:
    """By each way to such a file, of the process itself and of others, with a program that was copied into the view."""
    _lay_out(world)
    done = world.same_run(["/bin/sh", "-ec", 'cp /bin/cat program; exec "$@"', "sh", *_python(WAYS), name])
    assert done.status == 0, done.err
    assert done.out.count("TOP/program") == 2
    world.assert_lowers_untouched()


ODD = """
    hold("new")
    libc.prctl(4, 1)
    fd = os.open("/proc/self/maps", os.O_RDONLY)
    first, flags = os.read(fd, 100), fcntl.fcntl(fd, fcntl.F_GETFL)
    print(os.get_inheritable(fd), flags & os.O_ACCMODE, os.lseek(fd, 0, os.SEEK_SET), os.read(fd, 100) == first)
    print(os.get_inheritable(by_syscall(257 if os.uname().machine == "x86_64" else 56, -100, b"/proc/self/maps", 0)))
    for what in (lambda: os.write(fd, b"x"), lambda: os.ftruncate(fd, 0),
                 lambda: os.open("/proc/self/maps", os.O_RDONLY | os.O_DIRECTORY),
                 lambda: os.open("/proc/self/maps", os.O_CREAT | os.O_EXCL),
                 lambda: os.open("/proc/self/maps/", os.O_RDONLY),
                 lambda: os.open("/proc/self/maps/x", os.O_RDONLY),
                 lambda: os.open("/proc/self/task/1/maps", os.O_RDONLY),
                 lambda: os.open("/proc/999999999/maps", os.O_RDONLY)):
        try:
            print(what())
        except OSError as error:
            print(errno.errorcode[error.errno])
    print(os.stat(os.open("/proc/self/maps", os.O_PATH)).st_size)
    with open("new", "rb") as file:
        for _ in range(3000):
            kept.append(mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ))
    print(told("maps", os.open("/proc/self/maps", os.O_RDONLY)))
    libc.prctl(4, 0)
    print(told("maps", os.open("/proc/self/maps", os.O_RDONLY)))
"""


def test_odd_opens(world: World) -> None:
    """Flags, errors, descriptors that write nothing, a text of many pages, a process that is closed to others."""
    _lay_out(world)
    done = world.same_run(_python(ODD))
    assert done.status == 0, done.err


OTHERS = """
    hold("new")
    me = os.getpid()
    read = f"print(open('/proc/self/maps').read().count({os.getcwd()!r} + '/new'))"
    other = f'''if True:
        import mmap
        with open("new", "rb") as file:
            kept = mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        print(open("/proc/self/maps").read().count({top!r} + "/new"))
        try:
            print(open("/proc/{me}/maps").read().count("new"))
        except OSError as error:
            print(error.errno)
    '''
    print(subprocess.check_output(["/usr/bin/python3", "-c", other], user=1000, group=1000, extra_groups=[], text=True))
"""


@pytest.mark.root_only
def test_of_another_user(make_world: Callable[[Who, str], World], trap: str) -> None:
    """Who has given up root sees his own, and not those of root."""
    world = make_world(ROOT, trap)
    _lay_out(world)
    assert world.same_run(_python(OTHERS)).out == "1\n13\n\n"


def test_nothing_to_tell(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all paths are the kernel's too, and there is no code to hide, it is the file of /proc that is opened."""
    monkeypatch.setenv("PTOVERLAY_INJECT", "0")
    _lay_out(world)
    script = """
    hold("/usr/bin/env", make=False)
    for name in sys.argv[1:]:
        fd = os.open(f"/proc/self/{name}", os.O_RDONLY)
        assert os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/{name}")), name
        assert os.readlink(f"/proc/self/fd/{fd}") == f"/proc/{os.getpid()}/{name}"
    """
    world.box().check([*_python(script), *FILES], env=world.env)


def test_of_outside(world: World) -> None:
    """A process outside of the run is the kernel's to tell about, or to keep."""
    _lay_out(world)
    held = world.upper / "held"
    held.write_bytes(b"x" * 4096)
    held.chmod(0o644)
    script = f"""
    try:
        print(open("/proc/{os.getpid()}/maps").read().count("{world.upper}/held"))
    except OSError as error:
        print(errno.errorcode[error.errno])
    """
    with held.open("rb") as file, mmap.mmap(file.fileno(), 4096, mmap.MAP_SHARED, mmap.PROT_READ):
        assert world.box().check(_python(script), env=world.env).strip() in ("EACCES", "EPERM", "1")


@pytest.mark.parametrize("inside", [False, True])
def test_no_upper_is_told(make_world: Callable[[Who, str], World], who: Who, trap: str, inside: bool) -> None:
    """Over all of /, and in a run inside the run."""
    world = make_world(who, trap)
    _lay_out(world)
    top = world.lowers[0]
    box = Box(world.subjects, who, Path("/"), [Path("/")], world.upper, world.work, trap=trap)
    script = f"""cd {top}; cp /bin/cat program
        for file in {' '.join(FILES)}; do ./program /proc/self/$file; done >told
        grep -o '[ =]{top}/.*' told | cut -c2- | cut -d' ' -f1 | sort -u
        grep -c /upper told || :"""
    if inside:
        script = shlex.join([*command(), "run", "--", "sh", "-c", script])
    assert box.check(["/bin/sh", "-ec", script], cwd=top, env=world.env) == f"{top}/program\n0\n"


def test_memory_with_a_slash_in_its_name(make_world: Callable[[Who, str], World], who: Who, trap: str) -> None:
    """What has no directory keeps its whole name, over all of / too."""
    world = make_world(who, trap)
    _lay_out(world)
    box = Box(world.subjects, who, Path("/"), [Path("/")], world.upper, world.work, trap=trap)
    script = """
    hold("new")
    fd = os.memfd_create("a/b c")
    os.truncate(fd, 4096)
    kept.append(mmap.mmap(fd, 4096))
    print(os.readlink(f"/proc/self/fd/{fd}"), re.findall("/memfd.*", open("/proc/self/maps").read())[0], sep=", ")
    """
    told = box.check(_python(script), cwd=world.lowers[0], env=world.env)
    assert told == "/memfd:a/b c (deleted), /memfd:a/b c (deleted)\n"
