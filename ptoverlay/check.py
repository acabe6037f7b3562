"""What this machine allows: one `Finding` for each thing that ptoverlay can use.

Whether a run works is not concluded from parts: runs of a command that does nothing are made, with each trap.  The
other findings tell why one does not, and what is slower or coarser than it could be.

Rules: what is tried is tried in a directory of our own that goes away, or in a process of its own where it cannot be
taken back; nothing is changed on the machine.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import re
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ptoverlay import errors
from ptoverlay.layer.private import TRUSTED, USER, prefix
from ptoverlay.process import plain
from ptoverlay.remove import remove_tree

_LIMIT = 60.0  # seconds that a command that does nothing may take

# Numbers of system calls: the old ones differ between machines, the new ones do not (asm/unistd.h).
_SECCOMP, _PROCESS_VM_READV = {"x86_64": (317, 310), "aarch64": (277, 270)}.get(os.uname().machine, (-1, -1))
_PIDFD_OPEN, _PIDFD_GETFD, _LANDLOCK_CREATE_RULESET = 434, 438, 444
# linux/seccomp.h
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_RET_TRACE, _RET_USER_NOTIF, _RET_ALLOW = 0x7FF00000, 0x7FC00000, 0x7FFF0000
_NEW_LISTENER, _WAIT_KILLABLE_RECV = 8, 32
_IOCTL_ADDFD, _IOCTL_SET_FLAGS = 0x40182103, 0x40082104
_SYNC_WAKE_UP = 1
_BPF_RET = 6
_PR_SET_NO_NEW_PRIVS = 38
_RULESET_VERSION = 1  # linux/landlock.h
_LANDLOCK_WANTED = 3  # the ABI that csrc/command/landlock.c needs
_FICLONE = 0x40049409  # linux/fs.h

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Finding:
    """One thing.  ok: it is there; found: what there is; lost: what is not to be had without it, remedy: how to get it,
    both "" when ok; needed: no run works without it."""

    name: str
    ok: bool
    found: str
    lost: str = ""
    remedy: str = ""
    needed: bool = False


@dataclass(frozen=True)
class Report:
    """All findings about this machine and `directory`, where the layers are to be.  trap: the one that a run takes
    when none is asked for, "" when no run works."""

    directory: str
    findings: tuple[Finding, ...]
    trap: str

    @property
    def works(self) -> bool:
        """Whether a run will work."""
        return bool(self.trap)


def check(directory: str | None = None) -> Report:
    """Looks at everything.  directory: where an upper is to be made or is (default: $TMPDIR, /tmp)."""
    errors.need_proc()
    where = directory or os.environ.get("TMPDIR") or "/tmp"
    place, findings = _place(where)
    findings += [_kernel(), _yama(), *_profile(), _seccomp(), *_notification(), _memory(), _pidfd(), _landlock()]
    ptrace, notify = _run("ptrace", place), _run("notify", place)
    default = _run("auto", place)
    findings += [ptrace, notify, _inside(place), *_narrow()]
    if not default.ok:
        findings.append(default)
    trap = default.found if default.ok and place is not None else ""
    if trap:
        findings.append(_debuggers(trap))
    return Report(where, tuple(findings), trap)


def _debuggers(trap: str) -> Finding:
    if trap == "notify":
        return Finding("debuggers", True, "strace and gdb work in the view, and so does LeakSanitizer")
    return Finding("debuggers", False, "the ptrace trap holds all processes", "strace and gdb in the view; a program "
                   "built with LeakSanitizer exits 1", "the notify trap (above); ASAN_OPTIONS=detect_leaks=0")


# ---- the kernel ----


def _kernel() -> Finding:
    system = os.uname()
    return Finding("kernel", _SECCOMP >= 0, f"{system.sysname} {system.release} {system.machine}",
                   "" if _SECCOMP >= 0 else "everything: the core does not know this machine's registers",
                   "" if _SECCOMP >= 0 else "use an x86-64 or aarch64 machine", needed=True)


def _narrow() -> Iterator[Finding]:
    """Whether the kernel runs 32-bit programs: one that ends at once, from memory."""
    if os.uname().machine != "x86_64":
        return
    code = b"\xb8\1\0\0\0\x31\xdb\xcd\x80"  # mov $1, %eax; xor %ebx, %ebx; int $0x80: exit(0)
    size, base = 84 + len(code), 0x8048000
    header = struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, 0, base, base, size, size, 5, 4096)
    fd = os.memfd_create("narrow", 0)
    try:
        os.write(fd, b"\x7fELF\1\1\1".ljust(16, b"\0") + header + segment + code)
        ok = subprocess.run([f"/proc/self/fd/{fd}"], pass_fds=[fd], check=False).returncode == 0
    except OSError:
        ok = False
    finally:
        os.close(fd)
    yield Finding("32-bit programs", ok, "those of i386 run in a view" if ok else "the kernel runs none",
                  "" if ok else "i386 programs, with and without a view",
                  "" if ok else "a kernel with CONFIG_IA32_EMULATION (ia32_emulation=1)")


def _yama() -> Finding:
    try:
        scope = int(Path("/proc/sys/kernel/yama/ptrace_scope").read_text())
    except (OSError, ValueError):
        return Finding("Yama", True, "not there: it forbids nothing")
    if scope <= 1 or (scope == 2 and os.geteuid() == 0):
        return Finding("Yama", True, f"ptrace_scope {scope}: one may trace one's own children")
    return Finding("Yama", False, f"ptrace_scope {scope}", "the ptrace trap", errors.ptrace_remedy(scope, False))


def _profile() -> Iterator[Finding]:
    """Filters that we have inherited are those of a container, mostly; what they forbid the other findings tell."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if line.startswith("Seccomp"))
    if fields.get("Seccomp") == "2":
        count = fields.get("Seccomp_filters", "1")
        yield Finding("seccomp profile", True, f"there is one ({count} filter{'s' * (count != '1')} around us, as in a "
                      "container): what it forbids is told below")


def _seccomp() -> Finding:
    if _action(_RET_TRACE):
        return Finding("seccomp", True, "filters can hand calls to a tracer", needed=True)
    return Finding("seccomp", False, os.strerror(ctypes.get_errno()), "everything", "a kernel with "
                   "CONFIG_SECCOMP_FILTER; in a container: --security-opt seccomp=unconfined", needed=True)


def _action(action: int) -> bool:
    return _syscall(_SECCOMP, _GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(action))) == 0


def _syscall(number: int, *arguments: object) -> int:
    """The result, or -errno."""
    result = int(_libc.syscall(ctypes.c_long(number),
                               *(ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)))
    return result if result >= 0 else -ctypes.get_errno()


_NOTIFY = "the notify trap, which leaves ptrace to debuggers and serves several processes at a time"
# What the trap asks of a listener: our name, what is lost without it, the first kernel that has it.
_FLAGS = (("user notification", _NOTIFY, "5.0"),
          ("user notification: ADDFD", _NOTIFY, "5.9"),
          ("user notification: WAIT_KILLABLE_RECV", _NOTIFY, "5.19"),
          ("user notification: SYNC_WAKE_UP", "some speed of the notify trap", "6.6"))


def _notification() -> Iterator[Finding]:
    results = _in_child(_listen) if _action(_RET_USER_NOTIF) else [-ctypes.get_errno()] * len(_FLAGS)
    asked = len(_FLAGS) if results[0] >= 0 else 1  # without a listener it has no flags
    for (name, lost, since), result in zip(_FLAGS[:asked], results[:asked], strict=True):
        if result >= 0:
            yield Finding(name, True, "there")
        elif result == -errno.EBUSY:
            yield Finding(name, False, "another listener is in the way", lost,
                          "run outside of what listens already (ptoverlay --trap notify, a container's supervisor)")
        else:
            yield Finding(name, False, os.strerror(-result), lost,
                          f"Linux {since} or newer; in a container: --security-opt seccomp=unconfined")


def _listen() -> list[int]:
    """Results of getting a listener and of what it is asked for; the filter stays with this process."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _BPF_RET, 0, 0, _RET_ALLOW))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction)))
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    killable = _syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER | _WAIT_KILLABLE_RECV, program)
    listener = killable if killable >= 0 else _syscall(_SECCOMP, _SET_MODE_FILTER, _NEW_LISTENER, program)
    if listener < 0:
        return [listener] * len(_FLAGS)
    addfd = _ioctl(listener, _IOCTL_ADDFD, struct.pack("QIIII", 0, 0, listener, 0, 0))
    wake = int(_libc.ioctl(listener, ctypes.c_ulong(_IOCTL_SET_FLAGS), ctypes.c_ulong(_SYNC_WAKE_UP)))
    return [listener, 0 if addfd == -errno.ENOENT else addfd, killable, wake if wake >= 0 else -ctypes.get_errno()]


def _ioctl(fd: int, request: int, argument: bytes) -> int:
    try:
        fcntl.ioctl(fd, request, argument)
    except OSError as error:
        return -(error.errno or errno.EIO)
    return 0


def _in_child(what: Callable[[], list[int]]) -> list[int]:
    """Calls it in a process of its own, where nothing that it does to itself matters."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(what()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    return [int(value) for value in json.loads(data)] if data else [-errno.EIO] * len(_FLAGS)


def _memory() -> Finding:
    """The traps read paths out of the program's memory."""
    target = ctypes.create_string_buffer(1)
    vector = ctypes.create_string_buffer(struct.pack("PN", ctypes.addressof(target), 1))
    result = _syscall(_PROCESS_VM_READV, os.getpid(), vector, 1, vector, 1, 0)
    if result == 1:
        return Finding("process_vm_readv", True, "there", needed=True)
    return Finding("process_vm_readv", False, os.strerror(-result), "everything: the paths that a program names cannot "
                   "be read", "a kernel with CONFIG_CROSS_MEMORY_ATTACH; in a container: --cap-add=SYS_PTRACE, or "
                   "--security-opt seccomp=unconfined", needed=True)


def _pidfd() -> Finding:
    pidfd = _syscall(_PIDFD_OPEN, os.getpid(), 0)
    copy = _syscall(_PIDFD_GETFD, pidfd, 0, 0) if pidfd >= 0 else pidfd
    for fd in (pidfd, copy):
        if fd >= 0:
            os.close(fd)
    if copy >= 0 or copy == -errno.EBADF:  # standard input may be closed
        return Finding("pidfd_getfd", True, "there")
    return Finding("pidfd_getfd", False, os.strerror(-copy), "watches (inotify) that tell nothing of the upper, and "
                   "descriptors that follow a copy-up where a program has a network namespace of its own",
                   "Linux 5.6 or newer; in a container: --cap-add=SYS_PTRACE")


def _landlock() -> Finding:
    abi = _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _RULESET_VERSION)
    if abi >= _LANDLOCK_WANTED:
        return Finding("Landlock", True, f"ABI {abi}: the kernel guards the host behind the trap")
    found = f"ABI {abi}, {_LANDLOCK_WANTED} is needed" if abi >= 0 else os.strerror(-abi)
    return Finding("Landlock", False, found, "the kernel's guard behind the trap",
                   "Linux 6.2 or newer, with landlock in the boot option lsm=; in a container: a profile that allows "
                   "landlock_create_ruleset, landlock_add_rule and landlock_restrict_self")


# ---- the place of the layers ----


_XATTRS = "an upper on ext4, XFS, btrfs, or on tmpfs of Linux 6.6 or newer"


def _place(where: str) -> tuple[str | None, list[Finding]]:
    """The directory in which layers can be made (None: none can be made), and what it allows."""
    below = where
    while not os.path.lexists(below):
        below = os.path.dirname(os.path.abspath(below))
    name = f"{below}: place of layers"
    top = os.path.join(os.path.abspath(below), f".ptoverlay-check-{os.urandom(6).hex()}")
    try:
        os.mkdir(top, 0o700)
    except OSError as error:
        return None, [Finding(name, False, error.strerror or "", "every run", "set TMPDIR, or give --upper DIR, to a "
                              "place that can be written", needed=True)]
    try:
        found = [Finding(name, True, f"{_file_system(top)}, can be written", needed=True),
                 *_marks(top), _reflinks(top)]
    finally:
        remove_tree(top)
    return below, found


def _file_system(path: str) -> str:
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.split()[2] == number:
                return line.partition(" - ")[2].split()[0]
    return "a file system"


def _refusal(call: Callable[..., object], *arguments: object) -> str:
    """Why the call fails, "" if it does not."""
    try:
        call(*arguments)
    except OSError as error:
        return error.strerror or "refused"
    return ""


def _marks(top: str) -> Iterator[Finding]:
    """The attributes and the whiteouts, as the core makes them there (csrc/view/upper/whiteout.c)."""
    kind, place = USER, "an upper on ext4, XFS, btrfs, or on tmpfs of Linux 6.6 or newer"
    if prefix(userxattr=False) == TRUSTED and not _refusal(os.setxattr, top, f"{TRUSTED}opaque", b"y"):
        kind = TRUSTED  # else, as in a user namespace, those of a user are taken
    name, attribute = f"extended attributes {kind}*", _refusal(os.setxattr, top, f"{kind}opaque", b"y")
    hidden = not attribute and _refusal(os.getxattr, top, f"{kind}opaque")
    device = _refusal(os.mknod, os.path.join(top, "whiteout"), stat.S_IFCHR, 0)
    if device:
        _refusal(os.listdir, top)  # fuse-overlayfs knows the name as a whiteout of its own until it reads the directory
    if attribute:
        yield Finding("whiteouts", False, "without attributes they are .wh. files", "layers that the kernel reads",
                      place)
        yield Finding(name, False, attribute, "renames of lower directories (EXDEV), owners that a user may not give",
                      place)
        return
    if hidden:
        yield Finding("whiteouts", False, "files with an attribute", "layers that anybody else reads", place)
        yield Finding(name, False, "can be set, but are not shown", "sandboxes, and every --upper there", place)
        return
    if device:
        yield Finding("whiteouts", False, f"devices 0/0: {device}; they are files with an attribute", "layers that the "
                      "kernel reads as an upper: as lowers it does (Linux 6.7 and newer)",
                      "Linux 5.8 or newer, and a file system that has devices")
    else:
        yield Finding("whiteouts", True, "devices 0/0 can be made")
    yield Finding(name, True, "can be written")


def _reflinks(top: str) -> Finding:
    for name in ("from", "to"):
        Path(top, name).write_bytes(bytes(4096))
    with open(os.path.join(top, "from"), "rb") as source, open(os.path.join(top, "to"), "r+b") as target:
        try:
            fcntl.ioctl(target, _FICLONE, source.fileno())
        except OSError as error:
            return Finding("reflinks", False, error.strerror or "", "copy-ups that share their blocks with the lower: "
                           "they copy all bytes", "lower and upper on one btrfs, or XFS with reflink=1")
    return Finding("reflinks", True, "copy-ups within this file system copy no data")


# ---- runs ----


#: Of an errno: why no program can answer calls itself, and what to do.
_NOT_INSIDE = {
    errno.ENOSYS: ("this machine has no stub", "use an x86-64 machine"),
    errno.EACCES: ("memory of a run may not be executed", "SELinux or sysctl vm.memfd_noexec: allow it"),
    errno.EPERM: ("ptrace is refused", "see the findings above"),
    errno.EBUSY: ("another listener or a kernel before Linux 5.19 is in the way", "the notify trap (above)"),
}


def _inside(place: str | None) -> Finding:
    """Whether programs answer calls about what is unchanged themselves: one is made to."""
    name, lost = "answers inside of programs", "speed: each call that names a file is trapped"
    if place is None:
        return Finding(name, False, "not tried: there is no place for its layer", lost, "name another place")
    done = _do_nothing("auto", place, PTOVERLAY_INJECT="always")
    found = re.search(r"answered inside of programs: (no|[0-9]+) calls(?:: (.*))?", done.stderr)
    if found and found[1] != "no":
        return Finding(name, True, "calls about what is unchanged need no trap")
    why, remedy = "no program answers calls itself", "see the findings above"
    if found and found[2]:
        why, remedy = next((told for number, told in _NOT_INSIDE.items() if os.strerror(number) == found[2]),
                           (found[2], remedy))
    return Finding(name, False, why, lost, remedy)


def _do_nothing(trap: str, place: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": place, **variables}
    return subprocess.run(plain(["-v", "--trap", trap, "--", "true"]), capture_output=True, text=True, check=False,
                          timeout=_LIMIT, env=env)


def _run(trap: str, place: str | None) -> Finding:
    """A run, with its layer in that place, of a command that does nothing.  found of "auto": the trap that it took."""
    name = "run" if trap == "auto" else f"{trap} trap"
    lost = "every run" if trap == "auto" else _NOTIFY if trap == "notify" else "the trap that every kernel has"
    if place is None:
        return Finding(name, False, "not tried: there is no place for its layer", lost, needed=trap == "auto")
    done = _do_nothing(trap, place)
    lines = [line.removeprefix("ptoverlay: ") for line in done.stderr.splitlines()]
    if done.returncode == 0:
        used = next((word for line in lines for word in ("notify", "ptrace") if f"the {word} trap" in line), trap)
        return Finding(name, True, used if trap == "auto" else "a run with it works")
    why, _, remedy = (lines[-1] if lines else f"status {done.returncode}").partition(" (")
    return Finding(name, False, why, lost, remedy.removesuffix(")"), needed=trap == "auto")

