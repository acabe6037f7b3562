"""Places where programs may little, as containers, clusters and hardened machines make them: a launcher.

    python -m support.containers NAME CMD…    runs CMD there
    python -m support.containers              the table for docs/: each place, and what a run does there

A place is what is mounted, who one is there, and which calls are refused with which errno.  Profiles are told in terms
of what they refuse, which for a program is the same as a list of what they allow.

Rules: as root, in namespaces of its own that end with the command; nothing is written outside of them.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import datetime
import errno
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from . import host
from .box import ROOT_DIRECTORY, command

USER = 1000
ALONE = 54321  # a user who has no other process, so that a limit of their number means what it says
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 4, 22, 38, 24
_CLONE_NEWUSER = 0x10000000
_NEW_NAMESPACES = 0x7E020000  # all CLONE_NEW* of clone(2)
_SET_MODE_FILTER, _GET_NOTIF_SIZES, _NEW_LISTENER = 1, 3, 1 << 3
_SEIZE, _ATTACH, _TRACEME = 0x4206, 16, 0


@dataclass(frozen=True)
class Refused:
    """A call that fails; conditions: (argument, mask, value), all of which hold then."""

    call: str
    error: int = errno.EPERM
    conditions: tuple[tuple[int, int, int], ...] = ()


def refused(names: str, error: int = errno.EPERM) -> tuple[Refused, ...]:
    return tuple(Refused(name, error) for name in names.split())


#: What Docker refuses a container without capabilities on a kernel since 4.8.
DOCKER = (
    *refused("""
        acct add_key bpf chroot clock_adjtime clock_settime create_module delete_module fanotify_init finit_module
        fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register
        io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind mount mount_setattr
        move_mount move_pages nfsservctl open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
        process_madvise query_module quotactl quotactl_fd reboot request_key set_mempolicy setdomainname
        sethostname setns settimeofday swapoff swapon _sysctl sysfs syslog umount2 unshare uselib userfaultfd
        ustat vhangup
    """),
    *refused("clone3 setxattrat getxattrat listxattrat removexattrat file_getattr file_setattr", errno.ENOSYS),
    Refused("clone", conditions=((0, _CLONE_NEWUSER, _CLONE_NEWUSER),)),
    Refused("socket", conditions=((0, 0xFFFFFFFF, 40),)),  # AF_VSOCK
)
_LISTENER = ((0, 0xFFFFFFFF, _SET_MODE_FILTER), (1, _NEW_LISTENER, _NEW_LISTENER))
NO_LISTENER = (Refused("seccomp", errno.EPERM, _LISTENER),)
#: Its own kernel, which knows less.
GVISOR = (
    Refused("seccomp", errno.EINVAL, _LISTENER),
    Refused("seccomp", errno.EINVAL, ((0, 0xFFFFFFFF, _GET_NOTIF_SIZES),)),
    *refused("""landlock_create_ruleset landlock_add_rule landlock_restrict_self openat2 pidfd_getfd kcmp
        name_to_handle_at open_by_handle_at io_uring_setup fanotify_init setxattrat getxattrat""", errno.ENOSYS),
)
#: Yama's, for who has no CAP_SYS_PTRACE: kernel.yama.ptrace_scope 2 and, for all, 3.
YAMA_2 = (*(Refused("ptrace", errno.EPERM, ((0, 0xFFFFFFFF, request),)) for request in (_SEIZE, _ATTACH, _TRACEME)),
          *refused("process_vm_readv process_vm_writev pidfd_getfd"))


# ---- what is mounted


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def read_only_root() -> None:
    """Docker's --read-only --tmpfs /tmp; what the tests lie in stays."""
    _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/var/tmp")
    _mount("-o", "remount,ro,bind", "/")


def small_shm() -> None:
    _mount("-t", "tmpfs", "-o", "size=64m,mode=1777", "tmpfs", "/dev/shm")


def bare_dev() -> None:
    """A /dev with what every program needs, and no shm."""
    kept = [name for name in ("null", "zero", "full", "random", "urandom", "tty") if os.path.exists(f"/dev/{name}")]
    with tempfile.TemporaryDirectory(prefix="dev-") as directory:
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
        for name in kept:
            os.mknod(f"{directory}/{name}", 0o20666, os.stat(f"/dev/{name}").st_rdev)
            os.chmod(f"{directory}/{name}", 0o666)
        os.symlink("/proc/self/fd", f"{directory}/fd")
        _mount("--move", directory, "/dev")


def hidden_processes() -> None:
    _mount("-t", "proc", "-o", "hidepid=2", "proc", "/proc")


def yama(scope: int) -> Callable[[], None]:
    """What a kernel with Yama tells of itself, where this one has none."""
    def told() -> None:
        _mount("-t", "tmpfs", "tmpfs", "/proc/sys/kernel")
        Path("/proc/sys/kernel/yama").mkdir()
        Path("/proc/sys/kernel/yama/ptrace_scope").write_text(f"{scope}\n")
    return told


def no_proc() -> None:
    _mount("-t", "tmpfs", "tmpfs", "/proc")


# ---- who one is


def become(uid: int) -> None:
    """An ordinary user without any capability, who can get none."""
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def own_user_namespace() -> None:
    """`unshare -r`: root there, with one id, and nobody else known."""
    uid, gid = os.getuid(), os.getgid()
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # setresuid(2) took it, and with it what lies in /proc/self
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def full(left: int) -> Callable[[], None]:
    """As where a container's limit of processes is nearly reached: so many more threads or processes there may be."""
    return lambda: resource.setrlimit(resource.RLIMIT_NPROC, (1 + left, 1 + left))


# ---- what is refused


@cache
def numbers() -> dict[str, int]:
    """Call → number on this machine, as the C library's headers have them."""
    done = subprocess.run(["gcc", "-E", "-dM", "-include", "sys/syscall.h", "-x", "c", os.devnull], capture_output=True,
                          text=True, check=True)
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", done.stdout, re.MULTILINE)}


class _Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction)))


_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def program(rules: Iterable[Refused]) -> list[tuple[int, int, int, int]]:
    """The filter: what is not refused is allowed."""
    code = []
    for rule in rules:
        if rule.call not in numbers():
            continue
        left = 1 + 3 * len(rule.conditions)  # behind the first comparison, up to the return
        code += [(_LOAD, 0, 0, 0), (_EQUAL, 0, left, numbers()[rule.call])]
        for argument, mask, value in rule.conditions:
            left -= 3
            code += [(_LOAD, 0, 0, 16 + 8 * argument), (_AND, 0, 0, mask), (_EQUAL, 0, left, value)]
        code.append((_RETURN, 0, 0, _ERRNO | rule.error))
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def restrict(code: Sequence[tuple[int, int, int, int]]) -> None:
    """The filter holds from here on, for all that we start; nothing gives rights any more."""
    array = (_Instruction * len(code))(*(_Instruction(*each) for each in code))
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or _libc.prctl(
            _PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(code), array)), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


# ---- the places


@dataclass(frozen=True)
class Container:
    """title: for docs/; mounts: what is done as root; uid; then: what the user does; calls: refused; filters: so many
    more that allow all.  trap: what auto takes there, "" where nothing runs; says: the line then, in part."""

    title: str
    mounts: tuple[Callable[[], None], ...] = ()
    uid: int = USER
    then: tuple[Callable[[], None], ...] = ()
    calls: tuple[Refused, ...] = ()
    filters: int = 0
    trap: str = "notify"
    says: str = ""


_DOCKER = Container("Docker: default profile, no capabilities, read-only root, 64 MB of /dev/shm",
                    (read_only_root, small_shm), calls=DOCKER)
CONTAINERS = {
    "docker": _DOCKER,
    "docker-root": replace(_DOCKER, title="the same as root, without capabilities", uid=0),
    "kubernetes": Container("Kubernetes: RuntimeDefault of today (containerd), restricted", (read_only_root, small_shm),
                            calls=DOCKER, filters=1),
    "kubernetes-2022": Container("the same of late 2022: no process_vm_readv, process_vm_writev", (small_shm,),
                                 calls=(*DOCKER, *refused("process_vm_readv process_vm_writev")), trap="",
                                 says="process_vm_readv: Operation not permitted (in a container: "),
    "gvisor": Container("gVisor: no listener, no Landlock, no openat2, no pidfd_getfd", calls=GVISOR, trap="ptrace"),
    "fargate": Container("Fargate: Docker's profile, and no listener", (small_shm,), calls=(*DOCKER, *NO_LISTENER),
                         trap="ptrace"),
    "unmapped": Container("a user namespace of one id (unshare -r)", then=(own_user_namespace,)),
    "no-user-namespaces": Container("no user namespaces (AppArmor, Ubuntu 24.04)",
                                    calls=(Refused("unshare", errno.EACCES, ((0, _CLONE_NEWUSER, _CLONE_NEWUSER),)),
                                           Refused("clone", errno.EACCES, ((0, _CLONE_NEWUSER, _CLONE_NEWUSER),)))),
    "yama-1": Container("Yama 1, an ordinary user: children may be traced", (yama(1),), trap="ptrace"),
    "yama-2": Container("Yama 2, an ordinary user: no tracing", (yama(2),), calls=YAMA_2, trap="",
                        says="forbidden by kernel.yama.ptrace_scope = 2"),
    "yama-3": Container("Yama 3: no tracing for anybody", (yama(3),), uid=0, calls=YAMA_2, trap="",
                        says="forbidden by kernel.yama.ptrace_scope = 3"),
    "no-tracing": Container("neither tracing nor a listener", calls=(*YAMA_2, *NO_LISTENER), trap="", says="ptrace"),
    "hidepid": Container("/proc with hidepid=2", (hidden_processes,)),
    "no-proc": Container("no /proc", (no_proc,), trap="", says="/proc: not mounted (mount -t proc proc /proc)"),
    "no-shm": Container("no /dev/shm", (bare_dev,)),
    **{f"full-{left}": Container(f"room for {left} more processes (RLIMIT_NPROC, pids.max)", uid=ALONE,
                                 then=(full(left),), trap="", says="Resource temporarily unavailable (")
       for left in range(3)},
    "filtered": Container("twenty filters around it", filters=20),
}


def enter(container: Container) -> None:
    """This process is there from here on."""
    code = program(container.calls)
    more = program(())
    host.private_mounts()
    for mount in container.mounts:
        mount()
    if container.uid or container.calls:
        become(container.uid)
    for step in container.then:
        step()
    for filter_ in [code, *[more] * container.filters]:
        restrict(filter_)


# ---- the table

#: What is run, over a lower with a file f and a directory d: each line is right in a view alone.
SCRIPT = "echo more >>f; cat f; rm -r d; ls; mkdir d; ls -A d; mv f d/f; cat d/f; exec 3<d/f; echo new >d/f; cat <&3"
OUTPUT = "old\nmore\nf\nold\nmore\nnew\n"


def start(name: str, trap: str, lower: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The script, in a view of the lower, there."""
    uid = CONTAINERS[name].uid
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/var/tmp", "TMPDIR": "/var/tmp", "LC_ALL": "C.UTF-8",
                   "PYTHONPATH": f"{ROOT_DIRECTORY}/tests"}
    for path in (lower, *lower.rglob("*")):
        os.chown(path, uid, uid)
    words = [*command(), "run", "--trap", trap, *more, "-l", str(lower), "-m", str(lower), "-C", str(lower), "--"]
    return subprocess.run([sys.executable, "-m", "support.containers", name, *words, "sh", "-c", SCRIPT],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=environment,
                          timeout=120)


def lay_out(lower: Path) -> Path:
    (lower / "d").mkdir(parents=True)
    (lower / "f").write_text("old\n")
    (lower / "d/in").write_text("in\n")
    lower.chmod(0o755)
    return lower


def told(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode == 0 and done.stdout == OUTPUT:
        return "works"
    lines = done.stderr.strip().splitlines()
    if len(lines) == 1:
        return lines[0].removeprefix("ptoverlay: ")
    return f"WRONG: {done.returncode} {done.stdout!r} {lines}"


def table() -> str:
    """As reStructuredText."""
    rows = []
    for name, container in CONTAINERS.items():
        with tempfile.TemporaryDirectory(prefix="containers-") as directory:
            os.chmod(directory, 0o755)
            lower = lay_out(Path(directory, "lower"))
            outcomes = [told(start(name, trap, lower)) for trap in ("auto", "ptrace", "notify")]
        rows.append(f"   * - {container.title}\n" + "\n".join(f"     - {outcome}" for outcome in outcomes))
        print(name, outcomes, file=sys.stderr, flush=True)
    when = datetime.date.today().isoformat()
    head = f"Run on {when} by ``python -m support.containers`` under Linux {os.uname().release.split('-')[0]}.\n\n"
    return (f"{head}.. list-table::\n   :header-rows: 1\n\n   * - place\n     - ``auto``\n     - ``--trap ptrace``\n"
            "     - ``--trap notify``\n" + "\n".join(rows) + "\n")


def main(words: list[str]) -> None:
    if not words:
        print(table(), end="")
        return
    enter(CONTAINERS[words[0]])
    os.execvp(words[1], words[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
