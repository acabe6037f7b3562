"""Wheels of this machine, installed and run where there is no compiler: in bare roots, by pipx and by uvx.

A bare Debian is mmdebstrap's with Python alone.  A bare musl root has Debian's musl, a busybox, and a CPython that is
made here of Debian's source; it has no zlib, so pip installs into it from outside.

Rules: what is mounted is mounted in a namespace of its own, which ends with the command; a root is kept, each try has
a copy in memory of what it changes: a tmpfs above it.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
#: The versions that a wheel is for.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: Debian's suites, with the Python that each has.
SUITES = {"bookworm": "3.11", "trixie": "3.13"}
_MUSL_LIBRARY = "/usr/lib/python3.11/site-packages"


class Trouble(Exception):
    """What failed, in one line or with the last words of what did."""


#: What is shown of an installation: both traps, a throw-away layer, a sandbox with its diff and commit, an extra that
#: is not there.  PT: the command; its line of words is split by the shell.
PROGRAM = r"""
set -eu
fail() { echo "wrong: $*"; exit 1; }
for name in gcc cc; do if command -v $name >/dev/null; then fail "there is a compiler: $name"; fi; done
cd "$HOME"; mkdir -p p; echo old >p/f
for trap in ptrace notify auto; do
    out=$($PT --trap $trap -- sh -c 'echo new >p/f; rm -r p; mkdir p; echo 1 >p/g; cat p/g; exit 3') && fail no status
    [ $? = 3 ] || fail "status by $trap"
    [ "$out" = 1 ] || fail "output by $trap: $out"
    [ "$(cat p/f)" = old ] || fail "the host was changed by $trap"
done
$PT run --name trial -- sh -c 'echo more >>p/f'
$PT diff trial >d && fail no changes; grep -q modified d || fail "$(cat d)"
$PT commit trial >/dev/null; [ "$(cat p/f)" = "old
more" ] || fail commit
$PT remove trial
$PT --trace t -- true 2>e && fail a trace; grep -q "pip install 'ptoverlay\[trace\]'" e || fail "$(cat e)"
echo tried: $(uname -m) $($PT --version)
"""


def run(words: list[str | Path]) -> str:
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        told = (done.stdout + done.stderr).strip().splitlines()
        raise Trouble(f"{words[0]}: " + "\n".join(told[-12:] or [f"status {done.returncode}"]))
    return done.stdout


def inside(root: Path, index: Path, script: str) -> str:
    """What the script prints, as root in a copy of the root: with /proc, own devices, and the index in /index."""
    setup = r"""
set -eu
root=$1 index=$2 script=$3
top=$(mktemp -d); mount -t tmpfs tmpfs "$top"; mkdir "$top/u" "$top/w" "$top/m"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$top/u,workdir=$top/w" "$top/m"; cd "$top/m"
mkdir -p proc dev tmp index home/someone; mount -t tmpfs tmpfs tmp; mount -t proc proc proc; mount -t tmpfs tmpfs dev
for name in null zero urandom tty; do mknod -m 666 dev/$name c $(stat -c '0x%t 0x%T' /dev/$name); done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts; chmod 1777 tmp dev/shm; chown 1000:1000 home/someone
mount --bind "$index" index
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 chroot . /bin/sh -c "$script"
"""
    return run(["unshare", "-m", "--propagation", "private", "sh", "-c", setup, "sh", root, index, script])


def debian(suite: str, cache: Path) -> Path:
    """A Debian with Python and nothing that compiles."""
    root = cache / f"root-{suite}"
    if not (root / "complete").exists():
        shutil.rmtree(root, ignore_errors=True)
        if not shutil.which("mmdebstrap"):
            run([TOP / "tools/apt", "mmdebstrap"])
        run(["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io",
             "--include=python3-venv", f"--keyring={KEYRING}", suite, root, MIRROR])
        (root / "complete").touch()
    return root


def try_in_debian(suite: str, index: Path, cache: Path) -> str:
    """As root and as an ordinary user, each with an environment that pip makes of the index alone."""
    install = ("python3 -m venv /tmp/v && /tmp/v/bin/pip install -q --no-index --find-links /index ptoverlay && "
               "/tmp/v/bin/pip list --format=freeze && ")
    both = f"export PT=/tmp/v/bin/ptoverlay\ncat >/tmp/program <<'END'\n{PROGRAM}END\nmkdir -p /root; sh /tmp/program\n"
    user = "setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/home/someone sh /tmp/program"
    return inside(debian(suite, cache), index, f"{install}{{ {both}{user}; }}")


def make_python(cache: Path, place: Path) -> None:
    """A CPython for musl, installed below the place."""
    state = cache / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {MIRROR} bookworm main\n")
    options = {"Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "-",
               "Dir::State::lists": state / "lists", "Dir::State::status": state / "status", "Dir::Cache": state,
               "APT::Sandbox::User": "root"}
    words: list[str | Path] = ["apt-get"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    source = cache / "python"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir()
    run([*words, "-qq", "update"])
    run(["sh", "-c", 'cd "$0"; "$@"', source, *words, "-qq", "--download-only", "source", "python3.11",
         "libffi"])
    compiler = source / "cc"
    kernel = f"-idirafter /usr/include -idirafter /usr/include/{os.uname().machine}-linux-gnu"
    compiler.write_text("#!/bin/sh\nfor word; do [ $word != --print-multiarch ] || exit 1; done\n"
                        f'exec musl-gcc {kernel} "$@"\n')
    compiler.chmod(0o755)
    machine = f"{os.uname().machine}-linux-musl"
    run(["sh", "-c", f"""
set -eu; cd {source}; tar xf libffi_*.orig.tar.gz; cd libffi-*
./configure -q CC={compiler} --prefix=/usr --build={machine} --host={machine} --disable-static --disable-docs \
    --disable-multi-os-directory
make -s -j2 >/dev/null; make -s install DESTDIR={place} >/dev/null
cd {source}; tar xf python3.11_*.orig.tar.gz; cd Python-3.11*
sed -i 's|^#if defined(HAVE_SYS_XATTR_H) && defined(__GLIBC__).*|#ifdef HAVE_SYS_XATTR_H|
    /^#ifdef HAVE_SYS_XATTR_H/a #include <linux/limits.h>' Modules/posixmodule.c   # as from 3.11.3 on
echo '*disabled*
_codecs_cn _codecs_hk _codecs_iso2022 _codecs_jp _codecs_kr _codecs_tw' >Modules/Setup.local
./configure -q CC={compiler} OPT='-O1 -g0' --prefix=/usr --build={machine} --host={machine} --without-ensurepip \
    --with-build-python=/usr/bin/python3 --disable-test-modules ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no
make -s -j2; make -s install DESTDIR={place} COMPILEALL_OPTS='-x .'
"""])   # optimised little, and no .pyc: it is made to be tried once


def musl(cache: Path) -> Path:
    """A root with musl, busybox and a Python."""
    root = cache / "root-musl"
    if not (root / "complete").exists():
        run([TOP / "tools/apt", "musl-tools", "busybox-static", "libc6-dev", "linux-libc-dev"])
        shutil.rmtree(root, ignore_errors=True)
        for name in ("bin", "lib", "etc", "root", "usr"):
            (root / name).mkdir(parents=True)
        make_python(cache, root)
        shutil.copy(f"/lib/ld-musl-{os.uname().machine}.so.1", root / "lib")
        shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
        (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nsomeone:x:1000:1000::/home/someone:/bin/sh\n")
        for applet in run([root / "bin/busybox", "--list"]).split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        (root / "complete").touch()
    return root


def try_in_musl(wheel: Path, index: Path, cache: Path) -> str:
    root = musl(cache)
    library = root / _MUSL_LIBRARY.lstrip("/")
    shutil.rmtree(library, ignore_errors=True)
    run([sys.executable, "-m", "pip", "install", "-q", "--no-index", "--find-links", index, "--python-version", "3.11",
         "--only-binary=:all:", "--implementation", "cp", "--platform", f"musllinux_1_2_{os.uname().machine}",
         "--target", library, wheel])
    script = f"export PT='python3 -m ptoverlay'\ncat >/tmp/program <<'END'\n{PROGRAM}END\nsh /tmp/program\n"
    user = "HOME=/home/someone su -s /bin/sh someone /tmp/program"
    return inside(root, index, script + user)


def try_runners(index: Path) -> str:
    """pipx and uvx, which install and run in one go; nothing is fetched."""
    told = []
    tools = Path(sys.executable).parent
    script = ["--", "sh", "-c", "echo ran; exit 3"]
    runners: dict[str, list[str | Path]] = {
        "pipx": [tools / "pipx", "run", "--backend", "pip", "--pip-args", f"--no-index --find-links {index}",
                 "ptoverlay"],
        "uvx": [tools / "uvx", "-q", "--no-config", "--no-cache", "--no-index", "--find-links", index, "ptoverlay"]}
    for name, words in runners.items():
        environment = {**os.environ, "PIPX_HOME": str(index.parent / "pipx"), "UV_PYTHON_DOWNLOADS": "never"}
        done = subprocess.run([*map(str, words), *script], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, env=environment)
        if (done.returncode, done.stdout) != (3, "ran\n"):
            raise Trouble(f"{name}: status {done.returncode}: {done.stdout}{done.stderr[-800:]}")
        told.append(f"tried: {name} run ptoverlay -- CMD\n")
    return "".join(told)


def try_it(wheel: Path, platform: str, index: Path, cache: Path) -> str:
    """Where the wheel was tried, for the table; prints what was said there."""
    if not platform.endswith(os.uname().machine):
        return ""
    if "musl" in platform:
        print(try_in_musl(wheel, index, cache), end="", flush=True)
        return "musl 1.2, Python 3.11"
    for suite in SUITES:
        print(f"{suite}:\n{try_in_debian(suite, index, cache)}", end="", flush=True)
    print(try_runners(index), end="", flush=True)
    return ", ".join([*(f"Debian {suite}, Python {python}" for suite, python in SUITES.items()), "pipx", "uvx"])
