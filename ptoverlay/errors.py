"""What a user reads when something goes wrong: one line, ``ptoverlay: what: why (remedy)``.

Rules: every failure that a user can cause is a `Failure`; it takes one line however the names in it look;
an errno alone is never the whole message.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Exit statuses that are ours and not CMD's, as env(1) and timeout(1) have them.
TIMED_OUT = 124
OWN_ERROR = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127

#: No space, or no more for this user.
FULL = (errno.ENOSPC, errno.EDQUOT)

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"

_PROCESSES = "there may be no more processes: raise ulimit -u, or the container's limit (docker run --pids-limit)"
_SETUP_REMEDIES = {
    errno.EAGAIN: _PROCESSES,
    errno.EBUSY: "end the other run, or give another --upper and --work",
    errno.EROFS: "give an --upper that can be written, or -o ro for a view that nothing can change",
    errno.EOPNOTSUPP: "it can hold no marks: give an --upper on ext4, XFS, btrfs or tmpfs, or none",
    errno.EXDEV: "give a --work directory on the file system of the upper",
}


class Failure(Exception):
    """A run that could not be: what failed, why, the remedy if there is one, the exit status, and the errno where it
    was CMD itself, or the directory to start it in, that could not be used."""

    def __init__(self, what: str, why: str, remedy: str = "", status: int = OWN_ERROR, number: int = 0) -> None:
        super().__init__(what, why, remedy)
        self.what = what
        self.why = why
        self.remedy = remedy
        self.status = status
        self.number = number

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}"
        return f"{text} ({self.remedy})" if self.remedy else text


class InUse(Failure):
    """Layers that another run uses, or a change of them."""


class Missing(Failure):
    """A sandbox that is not there."""


class Taken(Failure):
    """A name of a sandbox that is there."""


def usage(what: str, why: str, meant: str = "", prog: str = "ptoverlay") -> Failure:
    """A command line that cannot be understood.  meant: of `did_you_mean`; prog: whose -h tells more."""
    return Failure(what, why, f"{meant}{prog} -h shows the options")


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """A question, with a blank at its end, that names the known word which this one could be a slip of; else ""."""
    from difflib import get_close_matches

    near = get_close_matches(word, known, 1, 0.7)
    return f"did you mean {prefix}{near[0]}? " if near else ""


def from_os_error(what: str, error: OSError, remedy: str = "") -> Failure:
    return Failure(what, error.strerror or str(error), full_remedy(error) or remedy)


def full_remedy(error: OSError) -> str:
    """What frees space, where there is none; "" for every other error.  error.filename: where it was to be written."""
    if error.errno not in FULL:
        return ""
    path = os.path.abspath(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else ""
    while path and not os.path.ismount(path):
        path = os.path.dirname(path)
    where = f"free some on {path}" if path else "free some there"
    return f"{where}; ptoverlay list shows what sandboxes take, discard and remove free it"


def not_written(error: OSError, where: str = "standard output") -> str:
    """What is told at the end of a run that could not write down all of what is to be remembered."""
    told = f"{os.fsdecode(error.filename or where)}: {error.strerror}: not all of the run is written down"
    remedy = full_remedy(error)
    return f"{told} ({remedy})" if remedy else told


def need_proc() -> None:
    """Failure where proc(5) is not mounted: every tracee is known by what is there."""
    if not os.path.exists("/proc/self"):
        raise Failure("/proc", "not mounted", "mount -t proc proc /proc")


def from_core(message: str, number: int, kind: type[Failure] = Failure) -> Failure:
    """A failure of the core: its own ``what: why`` and the errno that goes with it."""
    what, _, why = message.partition(": ")
    if not why:
        what, why = what or "set-up", os.strerror(number)
    remedy = _SETUP_REMEDIES.get(number, "")
    if what.startswith("~"):
        remedy = "the shell puts a home directory for ~ at the beginning of a word only: write $HOME"
    elif what == "run inside a run" and why == os.strerror(errno.ENOSYS):
        remedy = "it needs Linux 5.3 or newer"
    return kind(what, why, remedy)


def who_can_change(path: str) -> str:
    """Who besides us and root can have put what is at an absolute path there, as a reason; "" for nobody."""
    while True:
        try:
            status = os.lstat(path)
        except OSError as error:
            return f"{path}: {error.strerror}"
        if status.st_uid not in (0, os.geteuid()):
            return f"{path} belongs to user {status.st_uid}"
        if stat.S_ISLNK(status.st_mode):
            return f"{path} is a symbolic link"
        if status.st_mode & 0o022 and not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
            return f"{path} can be written by others"
        if path == "/":
            return ""
        path = os.path.dirname(path)


_QUOTED = {"\a": "a", "\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", '"': '"', "\\": "\\"}
_MISTAKABLE = ("  ", " -> ", " => ", " | ")  # what stands between a name and something else
_REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def no_more_processes(what: str) -> Failure:
    """A thread or a process that could not be made: EAGAIN of clone(2)."""
    return Failure(what, os.strerror(errno.EAGAIN), _PROCESSES)


def trap_refused(message: str, number: int) -> Failure:
    """The kernel did not let us trace: `number` is the errno of ptrace(2), seccomp(2) or process_vm_readv(2)."""
    failure = from_core(message, number)
    failure.remedy = _PROCESSES if number == errno.EAGAIN else ""
    if number in _REFUSED:
        failure.remedy = ptrace_remedy(_read_yama(), os.geteuid() == 0, tracer())
    elif number == errno.EINVAL and failure.what == "seccomp filter":
        failure.what, failure.remedy = "user notification", "the notify trap needs Linux 5.19 or newer: --trap ptrace"
    elif number == errno.EBUSY:
        failure.remedy = "something around this listens to its calls already: --trap ptrace"
    return failure


def ptrace_remedy(scope: int, root: bool, traced_by: str = "") -> str:
    """What lets us trace where `scope` is Yama's ptrace_scope, -1 without Yama (admin-guide/LSM/Yama.rst)."""
    if traced_by:
        return f"{traced_by} traces this already, and a process has one tracer: --trap notify"
    if scope >= 3:
        return "Yama forbids all tracing until the next boot: boot with kernel.yama.ptrace_scope=1"
    if scope == 2 and not root:
        return "sysctl -w kernel.yama.ptrace_scope=1, or run as root"
    return "in a container: allow ptrace, e.g. docker run --cap-add=SYS_PTRACE or --security-opt seccomp=unconfined"


def _read_yama() -> int:
    try:
        with open(_YAMA, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return -1


def tracer() -> str:
    """Name and process id of who traces this process (TracerPid, proc(5)); "" for nobody."""
    try:
        with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
            pid = next((line.split()[1] for line in file if line.startswith("TracerPid:")), "0")
        if pid == "0":
            return ""
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()} (process {pid})"
    except OSError:
        return ""


def one_line(text: str) -> str:
    """The text with every character that could end or hide the line written as an escape."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    """A byte that is no UTF-8 (os.fsdecode) as the byte that it is."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) & 0xff:02x}"
    return character.encode("unicode_escape").decode("ascii")


def named(name: str) -> str:
    """A name as git shows it: in the quotes of C where it has a quote, a backslash or a character that cannot be shown,
    and where it could be taken for more than a name or for less."""
    if name.isprintable() and name.strip() == name != "" and not any(c in name for c in ('"', "\\", *_MISTAKABLE)):
        return name
    return '"' + "".join(c if c.isprintable() and c not in _QUOTED else _quoted(c) for c in name) + '"'


def _quoted(character: str) -> str:
    if character in _QUOTED:
        return "\\" + _QUOTED[character]
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(character))


def report(text: str) -> None:
    """Writes one line to standard error; a closed or full one is nothing to fail over."""
    try:
        os.write(2, f"ptoverlay: {one_line(text)}\n".encode("utf-8", "surrogateescape"))
    except OSError:
        pass
