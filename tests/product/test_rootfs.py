"""--rootfs and --bind: other roots, for who is not root either.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.box import command
from support.oracle import Done, Who, as_user, run
from support.roots import busybox_root, debian_root, put_outside, skeleton
from support.subjects import Subjects

MESSAGE = "ptoverlay: "


def inside(who: Who, trap: str, root: Path, *words: str | Path, options: tuple[str, ...] = (), **how: str) -> Done:
    """A command in a root."""
    line = [*as_user(who), *command(), "run", "--trap", trap, "--rootfs", root, *options, "--", *words]
    return run(line, cwd=Path("/"), **how)  # type: ignore[arg-type]


def check(who: Who, trap: str, root: Path, *words: str | Path, options: tuple[str, ...] = ()) -> str:
    """The same; it has to succeed, and changes nothing in the root."""
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*"))
    done = inside(who, trap, root, *words, options=options)
    assert done.status == 0, f"{done.out}\n{done.err}"
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in root.rglob("*")) == before
    return done.out


@pytest.fixture
def busybox(area: Path) -> Path:
    """A root of the directories bin, etc and tmp."""
    root = busybox_root(area / "root")
    (root / "tmp").chmod(0o777)
    return root


@pytest.mark.debian("busybox-static")
def test_a_root_of_busybox(busybox: Path, who: Who, trap: str) -> None:
    """Its own files, the host's /proc, /sys, /dev and resolver, and nothing else of the host."""
    out = check(who, trap, busybox, "sh", "-c", """
        pwd; cat etc/motd; echo new > /tmp/new; cat /tmp/new; ls / | grep -v -e sys -e dev; test -e /usr || echo no /usr
        test -d /proc/self && test -c /dev/null && readlink /proc/self/exe; readlink /proc/self/root; cd ..; pwd
        (echo x > /etc/resolv.conf) 2>/dev/null || echo read-only; ls /proc/self/root/bin/sh
        """)
    resolver = ["read-only"] if os.path.exists("/etc/resolv.conf") else []
    listed = ["bin", "etc", *(["proc"] if who.is_root else []), "tmp"]
    assert out.splitlines() == ["/", "inside", "new", *listed, "no /usr", "/bin/busybox", "/", "/", *resolver,
                                "/proc/self/root/bin/sh"]


@pytest.mark.debian("busybox-static")
def test_what_is_bound(busybox: Path, area: Path, who: Who, trap: str) -> None:
    """Directories and files of the host at other paths: names, links, descriptors, changes."""
    shared = area / "shared"
    (shared / "sub").mkdir(parents=True)
    (shared / "f").write_text("shared\n")
    (shared / "sub/up").symlink_to("../f")
    (shared / "absolute").symlink_to("/etc/motd")
    (area / "one").write_text("one\n")
    for path in (shared, shared / "sub", shared / "f", area / "one"):
        os.chown(path, who.uid, who.gid)
    out = check(who, trap, busybox, "sh", "-ec", """
        cd /work/sub; pwd; cat ../f up ../absolute /etc/one; cd ..; cd ..; pwd
        echo new > /work/new; mv /work/new /work/sub/moved; ln /work/f /work/hard; rm /work/f; mkdir /work/d
        exec 3< /work/hard; readlink /proc/self/fd/3; cd /work/d; readlink /proc/self/cwd; cat <&3; echo two > /etc/one
        """, options=("--bind", f"{shared}:/work", "--bind", f"{area / 'one'}:/etc/one"))
    assert out.splitlines() == ["/work/sub", "shared", "shared", "inside", "one", "/", "/work/hard", "/work/d",
                                "shared"]
    assert sorted(path.name for path in shared.rglob("*")) == ["absolute", "d", "hard", "moved", "sub", "up"]
    assert (area / "one").read_text() == "two\n"


@pytest.mark.debian("busybox-static")
def test_what_cannot_be_bound(busybox: Path, area: Path) -> None:
    """One line each."""
    who = Who("user", os.geteuid(), os.getegid())
    (area / "file").write_text("")
    for bind, why in ((f"{area}/none:/x", "No such file or directory"), (f"{busybox}/etc:/x", "a layer shows it"),
                      (f"{area}/file:/etc", "Is a directory"), ("a:b:c", "HOST or HOST:INSIDE is meant"),
                      (f"{area}:x", "INSIDE is no absolute path")):
        done = inside(who, "auto", busybox, "true", options=("--bind", bind))
        assert done.status == 125, bind
        assert done.err.startswith(MESSAGE), done.err
        assert why in done.err, (bind, done.err)
        assert done.err.count("\n") == 1, done.err


def test_a_debian(area: Path, who: Who, trap: str) -> None:
    """Dynamic programs by the root's own loader and libraries, and dpkg on an empty database."""
    root = debian_root(area / "root", ["sh", "ls", "cat", "dpkg", "dpkg-query"])
    out = check(who, trap, root, "sh", "-ec", "cat /etc/motd; ls -d /usr/bin; test ! -e /srv; dpkg --audit; "
                "dpkg --print-architecture; dpkg-query -W; cat /proc/self/maps")
    inside_, usr, architecture, *maps = out.splitlines()
    assert (inside_, usr) == ("inside", "/usr/bin")
    assert architecture.isalnum()
    assert any("/usr/lib/" in line or " /lib" in line for line in maps)
    assert str(area) not in "".join(maps)


def test_a_compiler(area: Path, who: Who, trap: str) -> None:
    """In a root whose /usr is bound to the host's."""
    root = skeleton(area / "root")
    (root / "tmp").chmod(0o777)
    source = '#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n'
    (root / "tmp/a.c").write_text(source)
    out = check(who, trap, root, "sh", "-ec",
                "cd /tmp; gcc -o a a.c; ./a; test ! -e /srv; apt-get --version | head -n1",
                options=("--bind", "/usr", "--bind", "/etc/alternatives"))
    assert out.splitlines()[0] == "compiled"
    assert out.splitlines()[1].startswith("apt ")


outside = pytest.fixture(put_outside)


@pytest.mark.debian("busybox-static")
def test_no_escape(busybox: Path, outside: tuple[Path, Path, int], subjects: Subjects, who: Who, trap: str) -> None:
    """By no path, link, process, descriptor, socket or interpreter."""
    file, listener, pid = outside
    (busybox / "bin/escape").hardlink_to(subjects.path("escape"))
    line = ["/bin/escape", str(file), str(listener), str(pid), "9", "/bin/true"]
    words = [*as_user(who), *command(), "run", "--trap", trap, "--rootfs", str(busybox), "--", *line]
    busybox.chmod(0o777)
    done = run(["sh", "-c", 'exec 9<"$0"; exec "$@"', str(file.parent), *words], cwd=Path("/"))
    assert done.status == 0, done.err
    answers = dict(line.rsplit(" ", 1) for line in done.out.splitlines())
    assert len(answers) == 22
    assert not [way for way, reached in answers.items() if reached != "0"]
