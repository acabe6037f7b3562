"""chroot(2): roots of a process's own within a view, beside the kernel's.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.box import command
from support.oracle import ROOT, USER, Done, Who, as_user, run
from support.roots import busybox_root, debian_root, put_outside, skeleton
from support.subjects import Subjects

pytestmark = pytest.mark.root_only


def box(trap: str, *words: str | Path, options: tuple[str | Path, ...] = ()) -> Done:
    """A command in a view of all that there is."""
    return run([*command(), "run", "--trap", trap, *options, "--", *words], cwd=Path("/"))


def check(trap: str, *words: str | Path, options: tuple[str | Path, ...] = ()) -> str:
    """The same; it has to succeed: its output."""
    done = box(trap, *words, options=options)
    assert done.status == 0, f"{done.out}\n{done.err}"
    return done.out


@pytest.fixture
def busybox(area: Path) -> Path:
    """A root of one static program."""
    return busybox_root(area / "root")


SHELL = """
pwd; cat /etc/motd; cd bin; pwd; cd ../../..; pwd; ls ..; echo x > /tmp/made; cat tmp/made; ln -s /etc/motd /tmp/l
cat /tmp/l; exec 3< /etc; cd /tmp; readlink l; ls ../../etc; mkdir -p a/b; cd a/b; mv /tmp/a /tmp/c; pwd; pwd -P
(cd /; pwd); chroot /tmp/c /b/none || echo none; mkdir /tmp/c/bin; ln /bin/busybox /tmp/c/bin/sh
chroot /tmp/c /bin/sh -c 'pwd; cd ..; pwd; echo *; test -e /etc || echo hidden'; pwd
"""


@pytest.mark.debian("busybox-static")
def test_a_shell_as_in_the_kernels(busybox: Path, area: Path, trap: str) -> None:
    """Names, links, directories that move, a root in a root: the same output; the root itself stays."""
    words = ["/bin/sh", "-c", SHELL]
    copy = area / "copy"
    subprocess.run(["cp", "-a", busybox, copy], check=True)
    expected = run(["chroot", copy, *words], cwd=Path("/"))
    found = box(trap, "chroot", busybox, *words)
    assert (found.status, found.out, found.err) == (expected.status, expected.out, expected.err)
    assert sorted(path.name for path in busybox.rglob("*")) == sorted(
        path.name for path in (area / "root").rglob("*"))
    assert not (busybox / "tmp/made").exists()


outside = pytest.fixture(put_outside)


@pytest.mark.debian("busybox-static")
@pytest.mark.parametrize("proc", [False, True])
def test_ways_out(busybox: Path, outside: tuple[Path, Path, int], subjects: Subjects, trap: str, proc: bool) -> None:
    """The ways that lead out of the kernel's root lead out of this one, and no other: descriptors and links of /proc,
    to what the view has there."""
    file, listener, pid = outside
    (busybox / "bin/escape").hardlink_to(subjects.path("escape"))
    (busybox / "proc").mkdir()
    line = ["/bin/escape", str(file), str(listener), str(pid), "9", "/bin/true"]
    native = ["sh", "-c", f'exec 9<"$0"; {"mount --bind /proc $1/proc;" if proc else ""} exec chroot "$@"',
              str(file.parent), str(busybox), *line]
    expected = run(["unshare", "-m", *native], cwd=Path("/"))
    bind = ("--bind", f"/proc:{busybox / 'proc'}") if proc else ()
    found = run(["sh", "-c", 'exec 9<"$0"; exec "$@"', file.parent, *command(), "run", "--trap", trap, *bind, "--",
                 "chroot", busybox, *line], cwd=Path("/"))
    assert expected.status == found.status == 0, f"{expected.err}\n{found.err}"
    assert found.out == expected.out
    assert expected.out.count("\n") == 22


DESCRIPTORS = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
def where():
    text = ctypes.create_string_buffer(4096)
    return libc.syscall(int(sys.argv[2]), text, 4096), text.value
top, own = os.open("/", os.O_RDONLY), os.open("/proc/self", os.O_RDONLY)
os.chroot(sys.argv[1]); os.chdir("/bin")
print(where(), os.readlink("cwd", dir_fd=own), os.readlink("root", dir_fd=own))
os.fchdir(top); print(where(), os.path.exists("/usr"), os.path.exists("usr"))
print(os.readlink("cwd", dir_fd=own), os.readlink("root", dir_fd=own), os.listdir("/"))
os.chdir("usr"); print(where(), os.readlink("cwd", dir_fd=own)); os.chdir("../usr/../tmp"); print(where())
os.chroot("/bin"); print(where(), os.path.exists("/usr"), os.path.exists("/ls"), os.path.exists("../usr"))
os.chdir("/"); print(where(), os.listdir(".") == os.listdir(".."))
os.fchdir(top); os.chroot("."); print(where(), os.path.exists("/usr"), os.readlink("root", dir_fd=own))
"""


@pytest.mark.debian("busybox-static")
def test_descriptors_that_lead_out(busybox: Path, trap: str) -> None:
    """Root's way out of the kernel's root is one out of this, and what is told on it is the same."""
    words = ["python3", "-c", DESCRIPTORS, str(busybox), {"x86_64": "79"}.get(os.uname().machine, "17")]
    expected = run(words, cwd=Path("/"))
    found = box(trap, *words)
    assert (expected.status, expected.err) == (0, "")
    assert (found.status, found.out, found.err) == (0, expected.out, "")


def test_sockets(area: Path, trap: str) -> None:
    """A name in the root, told as it was given; the socket is where the root is."""
    (area / "root/tmp").mkdir(parents=True)
    script = f"""
import os, socket
os.chroot({str(area / "root")!r}); os.chdir("/")
one, other = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
one.bind("/tmp/s"); one.listen(); other.connect("tmp/s"); third, _ = one.accept()
print(one.getsockname(), other.getpeername(), third.getsockname())
"""
    assert check(trap, "python3", "-c", script) == "/tmp/s /tmp/s /tmp/s\n"
    assert not (area / "root/tmp/s").exists()


@pytest.mark.debian("busybox-static")
def test_a_program_without_a_name(busybox: Path, trap: str) -> None:
    """A memfd is run where its interpreter is the view's; the kernel would take the host's."""
    script = f"""
import os
def attempt(data, root):
    fd = os.memfd_create("program", 0)
    os.write(fd, data)
    pid = os.fork()
    if pid == 0:
        try:
            if root:
                os.chroot({str(busybox)!r})
            os.execve(fd, ["true"], {{}})
        except OSError as error:
            os._exit(error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
with open("/bin/true", "rb") as dynamic, open("/bin/busybox", "rb") as static:
    programs = dynamic.read(), static.read(), b"#!/bin/sh\\nexit 7\\n", b"#!/bin/bash\\nexit 8\\n"
print([attempt(each, root) for root in (False, True) for each in programs])
"""
    assert check(trap, "python3", "-c", script) == "[0, 0, 7, 8, 2, 0, 13, 2]\n"


EMPTY = """
import os, sys
os.chroot(sys.argv[1]); os.chdir("/"); os.setgroups([])
os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)
print(os.listdir("/"), os.getcwd(), os.path.exists("/etc"), flush=True)
if os.fork() == 0:
    print(os.listdir("/.."), flush=True)
else:
    os.wait()
try:
    os.chroot("/")
except PermissionError as error:
    print(error.errno, flush=True)
os._exit(0)
"""


@pytest.mark.debian("busybox-static")
def test_an_empty_root(area: Path, subjects: Subjects, trap: str) -> None:
    """As sshd's privilege separation: the process goes on, without any name."""
    empty = area / "empty"
    empty.mkdir()
    out = check(trap, "python3", "-c", EMPTY, empty)
    assert out.splitlines() == ["[] / False", "[]", "1", "1"]


def test_a_debian(area: Path, trap: str) -> None:
    """Dynamic programs by the root's own loader and libraries, scripts by its interpreters; what is shown of them."""
    root = debian_root(area / "root", ["sh", "ls", "cat", "readlink", "env", "dpkg", "dpkg-query"])
    (root / "usr/bin/script").write_text("#!/usr/bin/env sh\necho $0; readlink /proc/self/exe\n")
    (root / "usr/bin/script").chmod(0o755)
    (root / "proc").mkdir()
    line = ["sh", "-ec", "cat /etc/motd; script; readlink /proc/self/root; dpkg --audit; dpkg --print-architecture; "
            "readlink /proc/self/cwd; cat /proc/self/maps"]
    expected = run(["unshare", "-m", "sh", "-c", 'mount --bind /proc "$0/proc"; exec chroot "$0" "$@"', root, *line],
                   cwd=Path("/"))
    found = box(trap, "chroot", root, *line, options=("--bind", f"/proc:{root / 'proc'}"))
    assert expected.status == 0, expected.err
    assert (found.status, found.err) == (0, expected.err)
    assert _without_addresses(found.out) == _without_addresses(expected.out)


def _without_addresses(text: str) -> set[str]:
    """Of lines of maps the path is left."""
    return {words[5] if len(words) == 6 else line for line in text.splitlines() if len(words := line.split()) != 5}


def test_a_compiler(area: Path, trap: str) -> None:
    """In a root in a root, with the host's /usr in both; apt-get's verbs that need no network, there and outside."""
    outer = skeleton(area / "outer")
    root = skeleton(outer / "deb")
    for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt/apt.conf.d",
                 "etc/apt/preferences.d", "dev"):
        (root / name).mkdir(parents=True)
    (root / "etc/apt/sources.list").write_text("")
    (root / "tmp/a.c").write_text('#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n')
    script = """
        cd /tmp; gcc -o a a.c; ./a; test ! -e /deb; apt-get check >/dev/null; apt-cache stats | head -n1
        """
    options: list[str | Path] = ["--rootfs", outer, "--bind", "/dev:/deb/dev"]
    for path in ("/usr", "/etc/alternatives"):
        options += ["--bind", path, "--bind", f"{path}:/deb{path}"]
    out = check(trap, "sh", "-ec", f"""
        chroot /deb sh -ec '{script}'
        apt-get -o RootDir=/deb check > /dev/null; apt-get -o Dir=/deb -s install -y; test -x /deb/tmp/a
        """, options=tuple(options))
    lines = out.splitlines()
    assert lines[:2] == ["compiled", "Total package names: 0 (0 )"]
    assert lines[-1].startswith("0 upgraded, 0 newly installed")
    assert not (root / "tmp/a").exists()


@pytest.mark.debian("busybox-static")
def test_who_may(busybox: Path, trap: str) -> None:
    """As by the kernel: the errors, and who has not the capability."""
    script = "\n".join((
        "import os", "def attempt(path):", "    try:", "        os.chroot(path)", "    except OSError as error:",
        "        print(error.errno)", f"for path in ({str(busybox)!r} + '/none', {str(busybox)!r} + '/etc/motd', ''):",
        "    attempt(path)", "os.setresuid(65534, 65534, 65534)", f"attempt({str(busybox)!r})"))
    expected = run(["python3", "-c", script])
    assert check(trap, "python3", "-c", script) == expected.out
    assert os.geteuid() == ROOT.uid


#: A child that shares its root with its parent gives it up for both, as sandboxes of browsers do: clone(2).
SHARED = r"""
import ctypes, os, platform, sys
libc = ctypes.CDLL(None)
if sys.argv[1:]:
    assert libc.unshare(0x10000000) == 0
os.makedirs("jail/in", exist_ok=True)
def clone(flags):
    pid = libc.syscall(56 if platform.machine() == "x86_64" else 220, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os.chroot("jail")
        os.chdir("/")
        os._exit(0)
    os.waitpid(pid, 0)
    print(os.listdir("/") == ["in"], os.path.exists("/proc"), os.getcwd() == "/", flush=True)
os.listdir(".")
clone(0)
clone(0x200)
if os.fork() == 0:
    print(os.listdir("/"), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.parametrize("who", [ROOT, USER], ids=["root", "user"])
def test_a_root_that_is_shared(area: Path, trap: str, who: Who) -> None:
    """CLONE_FS, natively and here; an ordinary user in a user namespace."""
    here, there = area / "here", area / "there"
    for directory in (here, there):
        directory.mkdir()
        os.chown(directory, who.uid, who.gid)
    words = ["/usr/bin/python3", "-c", SHARED, *["user"] * (not who.is_root)]
    expected = run([*as_user(who), *words], cwd=here)
    found = run([*as_user(who), *command(), "run", "--trap", trap, "--", *words], cwd=there)
    assert (found.status, found.out, found.err) == (expected.status, expected.out, expected.err)
    assert expected.out.splitlines() == ["False True False", "True False True", "['in']"], expected.err


#: The root is the directory, whatever becomes of its name.
MOVED = r"""
import ctypes, os
libc = ctypes.CDLL(None)
os.makedirs("a/jail/in")
os.makedirs("other/out")
top = os.open(".", os.O_RDONLY)
os.chroot("a/jail")
os.chdir("/")
def tell(what):
    try:
        print(what, os.listdir("/"), os.path.exists("/in"), os.getcwd(), sorted(os.listdir(top)), flush=True)
    except OSError as error:
        print(what, error.errno, sorted(os.listdir(top)), flush=True)
def move(old, new, flags=0):
    return libc.renameat2(top, old.encode(), top, new.encode(), flags)
tell("at first")
print(move("a/jail", "jail")); tell("moved")
os.mkdir("a/jail", dir_fd=top); tell("its name given to another")
print(move("jail", "a/jail")); tell("moved over another")
print(move("a", "b")); tell("with what it is in")
print(move("b/jail", "other", 2)); tell("exchanged")
os.mkdir("/made"); print(sorted(os.listdir("/")))
os.rmdir("/made"); os.rmdir("/in")
os.rmdir("other", dir_fd=top)
print(os.path.exists("/in"), os.listdir(top))
os.makedirs("/in") if os.path.isdir("/in") else None
os.mkdir("other", dir_fd=top); print(os.path.exists("/made"))
os.mkdir("other/made", dir_fd=top); print(os.path.exists("/made"))
"""


def test_a_root_that_moves(area: Path, trap: str) -> None:
    """As natively: renamed by itself, with what it is in, exchanged, replaced and removed."""
    here, there = area / "here", area / "there"
    here.mkdir()
    there.mkdir()
    words = ["/usr/bin/python3", "-c", MOVED]
    expected = run(words, cwd=here)
    found = run([*command(), "run", "--trap", trap, "--", *words], cwd=there)
    assert (found.status, found.out, found.err) == (0, expected.out, expected.err)
    assert "exchanged ['in'] True / ['b', 'other']" in expected.out
    assert not list(there.iterdir())


@pytest.mark.debian("busybox-static")
@pytest.mark.parametrize("way", [("-0", "--", "chroot"), ("--", "unshare", "-r", "chroot")])
def test_an_ordinary_user(busybox: Path, trap: str, way: tuple[str, ...]) -> None:
    """Who sees himself as root, by ptoverlay or by a user namespace of his own, may too."""
    done = run([*as_user(USER), *command(), "run", "--trap", trap, *way, busybox, "/bin/sh", "-c",
                "id -u; pwd; test -e /usr || echo inside"], cwd=Path("/"))
    assert (done.status, done.out) == (0, "0\n/\ninside\n"), done.err
