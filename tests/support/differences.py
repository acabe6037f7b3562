"""Deliberate differences from the kernel's overlayfs, in one place: what tests let pass, and what docs/differences.rst
is made of (test_differential.py compares).

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .sequences import Step

Result = tuple[str, Any]


@dataclass(frozen=True)
class Difference:
    """title, kernel, view, why: as the documentation tells it; row: of the issue's table, 0 for none.

    call, object: whether a difference that a differential test met is this one."""

    title: str
    kernel: str
    view: str
    why: str
    row: int = 0
    call: Callable[[Step, Result, Result], bool] = lambda step, kernel, view: False
    object: Callable[[Any, Any], bool] = lambda kernel, view: False


def _only_fifo_time(kernel: Any, view: Any) -> bool:
    both = [o for o in (kernel, view) if hasattr(o, "attributes") and stat.S_ISFIFO(o.attributes.mode)]
    return len(both) == 2 and replace(kernel.attributes, mtime=0) == replace(view.attributes, mtime=0)


def _stray_whiteouts(step: Step, kernel: Result, view: Result) -> bool:
    return step.op in ("rmdir", "rename") and "ENOTEMPTY" in str(kernel[1]) and kernel != view


def _symlink_identity(kernel: Any, view: Any) -> bool:
    both = [o for o in (kernel, view) if hasattr(o, "attributes") and not _holds_user_attributes(o.attributes.mode)]
    return (len(both) == 2 and kernel.attributes.lower == 0
            and replace(kernel, attributes=replace(kernel.attributes, lower=view.attributes.lower)) == view)


def _holds_user_attributes(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


DIFFERENCES = (
    Difference(
        "A descriptor opened for reading before the file was copied up is mapped afterwards",
        "the mapping shows what the lower has",
        "it shows the copy, as read(2) does",
        "such a descriptor is replaced by one of the copy. Mappings that were made before stay what they are, there "
        "and here",
    ),
    Difference(
        "A descriptor opened for reading before the file was copied up, of a process that has installed seccomp "
        "filters of its own, has no room for two more (RLIMIT_NOFILE), or is held by a debugger in the view",
        "reads what was written since; locks that were taken by it exclude others",
        "stays with the lower file. Counted: ``--stats`` says how many were left",
        "the process has to be made to run dup3(2). See :doc:`semantics` for what it costs",
    ),
    Difference(
        "A thread closes a descriptor of a file that is being copied up, and opens another file, in the moment in "
        "which a second thread of the process replaces that descriptor",
        "the number leads to the other file",
        "it may lead to the copy instead",
        "threads of the process that do not replace anything run on meanwhile: to stop them all costs each of them as "
        "much. Looked at until the last stop before dup3(2)",
    ),
    Difference(
        "epoll_wait(2), semtimedop(2), sigtimedwait(2) and reading from a socket with SO_RCVTIMEO, at the moment when "
        "a descriptor of the process is replaced",
        "goes on",
        "goes on with its timeout from the beginning; on aarch64 EINTR, as after SIGSTOP and SIGCONT (signal(7))",
        "the kernel restarts the other calls, and these not",
    ),
    Difference(
        "The flags a (append only) and i (immutable) of what a lower has",
        "hold: EPERM for who would change it",
        "do not: what is changed is the copy, which has neither. Set in the view, they hold",
        "they would have to be asked for at each change, and kept for what is copied up",
    ),
    Difference(
        "PR_SET_DUMPABLE 0, where the supervisor has no CAP_SYS_PTRACE",
        "closes the process to others of the same user, its files in /proc too",
        "PR_GET_DUMPABLE is 0, and the process stays open",
        "a closed process is closed to the supervisor too; root's runs close it",
    ),
    Difference(
        "fanotify_init(2) for events with descriptors for writing, or that ask for permission; pidfd_getfd(2) of a "
        "process outside of the run; request_key(2) with something to call out",
        "are possible for who may",
        "EPERM; EINVAL for permission; ENOKEY",
        "the descriptor would be one of a lower's file, or of the host's; the supervisor would wait for the tracee; "
        "the program that the kernel calls is the host's",
    ),
    Difference(
        "A core of a program that crashes (core(5)), by a file name or a program in kernel.core_pattern",
        "is written",
        "is not. RLIMIT_CORE is what the program has set, but in /proc/PID/limits",
        "the kernel writes it by itself: into the lower, over what is there, or to a program of the host's",
    ),
    Difference(
        "/proc/PID/maps, smaps and numa_maps of processes of the run that have mapped what the kernel has elsewhere",
        "are the kernel's: each reading tells anew, so does the ioctl(2) PROCMAP_QUERY, and of a process that has "
        "ended there is nothing",
        "are files with the text of the moment of the open, which fstat(2) and readlink of their descriptors show. "
        "Device and inode number in it are the real file's",
        "the kernel writes the paths of the layers there. Where it has no other path than the view, its file is opened",
    ),
    Difference(
        "Paths of bound sockets in /proc/net/unix and by sock_diag(7) (ss -x)",
        "are as they were given to bind(2)",
        "are the upper's. getsockname(2), getpeername(2), accept(2) and recvmsg(2) tell what was given",
        "the kernel tells the name that the supervisor has bound",
    ),
    Difference(
        "The paths of what is executed and mapped in the records of perf_event_open(2)",
        "are the mount's",
        "are the layers'",
        "the kernel writes them to memory that it shares with the program",
    ),
    Difference(
        "The time of access of what a lower has and a program reads",
        "stays",
        "is set as on the host without a view, by the rules of the lower's mount (noatime, relatime)",
        "the program opens the lower's file by itself, which is as fast as ever. A lower on a mount that is read-only, "
        "or noatime, keeps it",
    ),
    Difference(
        "Leases and F_SETOWN of a descriptor opened for reading before the file was copied up",
        "stay",
        "are gone",
        "they belong to the open file description, which is another one then. Position, status flags and locks stay",
    ),
    Difference(
        "A lease for writing (F_SETLEASE with F_WRLCK) on what a lower has",
        "is given, if nobody else has it open",
        "EAGAIN, as where somebody has; counted as refused",
        "copying the file up would break it, and the supervisor would wait for its holder",
    ),
    Difference(
        "truncate(2) by path of a file that a process of the run has a lease on",
        "waits until the holder gives it up, 45 seconds at most",
        "EINTR at once; the holder is told",
        "the supervisor would wait, and so the holder for it. Opening the file waits",
    ),
    Difference(
        "A descriptor opened for reading before a run inside the run copied the file up",
        "reads what was written since",
        "stays with the lower file",
        "a process of the outer run may hold it, whose file it still is",
    ),
    Difference(
        "Owners and groups that an ordinary user's run keeps for what it has copied up, in a run inside it",
        "are shown",
        "the user's own are",
        "a lower's attribute that keeps them is not read",
    ),
    Difference(
        "An upper inside the view: ``ptoverlay … -- ptoverlay --upper DIR …``",
        "no overlayfs can be an upper",
        "DIR has to be made inside, or not be covered; one that merges with a lower is refused",
        "what is made in it would have to be copied up twice",
    ),
    Difference(
        "A lower inside the view that holds the mount point of another overlay of the outer run",
        "the other overlay is not part of the lower",
        "is refused",
        "what it hides there is not known to the inner view",
    ),
    Difference(
        "A lower inside the view that is not its top, in which the outer run has put a directory from elsewhere by "
        "rename",
        "shows what it merges",
        "EIO for that directory",
        "its redirect leads out of the lower",
    ),
    Difference(
        "A program is executed while it is open for writing, and its ELF interpreter is not where the host would find "
        "it",
        "ETXTBSY",
        "runs",
        "it runs as a copy that names the interpreter's real path; the other way round, writing a program that runs, "
        "is ETXTBSY here too",
    ),
    Difference(
        "Whiteouts in a directory that merges nothing",
        "are listed, so that the directory cannot be removed",
        "are never shown",
        "a whiteout is not a name; no overlayfs leaves one in such a directory",
        call=_stray_whiteouts,
    ),
    Difference(
        "Times of fifos",
        "writing to a fifo changes the times of an inode of its own",
        "writing to a fifo changes the times of the layer's fifo, of a lower one too",
        "fifos, sockets and devices are used in place, so that programs in and outside of the view meet at them",
        object=_only_fifo_time,
    ),
    Difference(
        "st_ino of symlinks, fifos and devices with userxattr",
        "changes when they are copied up",
        "does not change within a run",
        "they hold no user.* attribute that could tell what they were copied from",
        object=_symlink_identity,
    ),
    Difference(
        "A lower file that an ordinary user may not read (mode 0200) is changed",
        "it is read with the credentials of who mounted",
        "EACCES",
        "it cannot be copied up",
    ),
    Difference(
        "Owners and groups that an ordinary user may not give",
        "shows the user's own ids when it mounts the upper",
        "are shown by the view only",
        "they are kept in an attribute that only the view reads",
    ),
    Difference(
        "With --fake-root: what only root may read in a lower",
        "is read by root",
        "a file is EACCES, an empty one and a directory show as empty; /etc/shadow and /etc/gshadow have stand-ins "
        "without passwords. Counted: --stats says how often",
        "of the kernel the fake root is the user",
    ),
    Difference(
        "With --fake-root: /proc/PID/auxv, credentials in messages (SCM_CREDENTIALS), a peer's (SO_PEERCRED) that has "
        "changed its own since, or has ended",
        "are root's, and what the task has made of them; those of when it connected",
        "are the user's, and who sends root's gets EPERM; those that it has now, or root's",
        "not carried out; the kernel keeps the peer's id alone that we can go by",
    ),
    Difference(
        "With --fake-root: capabilities of executed files; seen credentials of a thread that differ from its process's "
        "in what it forks by the notify trap",
        "are given; are those of the thread",
        "are shown and give nothing; are those that the process has set last",
        "not carried out; the kernel tells the notify trap of no fork",
    ),
    Difference(
        "With --fake-root: a user namespace (unshare -r); mounts outside of a mount namespace of the program's own",
        "root maps himself; are made",
        "EPERM at /proc/PID/uid_map; EPERM, within unshare -m they are made",
        "the kernel maps the user alone, who is not 0 for it; what is mounted belongs to those in a namespace",
    ),
    Difference(
        "With --fake-root: owners of symlinks, fifos and sockets that are given to others than root",
        "stay",
        "are forgotten with the run, and root's in the next one, in what commit makes and export writes",
        "they hold no user.* attribute that could keep them",
    ),
    Difference(
        "Paths in the view of 16,384 bytes and more, reached step by step",
        "work",
        "ENAMETOOLONG",
        "the view names objects by their path",
    ),
    Difference(
        "A descriptor of a file that the user may not read, or of no regular file, whose path in the layer is longer "
        "than 4095 bytes",
        "as everywhere",
        "fstat(2) and other calls about it are ENAMETOOLONG once the view has changed anything",
        "the kernel does not tell where it is",
    ),
    Difference(
        "chmod and the like of a lower file with several names whose opened one is gone, through a descriptor",
        "changes it",
        "EEXIST, as of other lower files without a name; counted as refused",
        "it must not reach the lower, and there is no name to copy it up to",
    ),
    Difference(
        "``..`` of a removed directory of which upper and lower had a part each",
        "is the directory that it was in",
        "ENOENT",
        "what the upper had of it is moved to the work directory, in one step with the whiteout, and removed there",
    ),
    Difference(
        "Extended attributes of which only the size is asked",
        "listxattr(2) counts the private ones in",
        "counts those that are shown",
        "the size is that of the list",
    ),
    Difference(
        "In a user namespace of a program's own (``unshare -r``): POSIX ACLs and ``security.capability`` "
        "asked for and set by setxattr(2), and a file of mode 0 that its owner opens by ``notify``",
        "name ids of that namespace; opens, by CAP_DAC_OVERRIDE over what its ids own",
        "name ids of the supervisor's; EACCES",
        "owners are mapped in stat(2) and chown(2), not inside of attributes; the supervisor opens the file, "
        "who is an ordinary user",
    ),
    Difference(
        "mount(2), umount2(2) and pivot_root(2) in a mount namespace of the program's own (``unshare -m``, "
        "bubblewrap)",
        "file systems of all kinds; propagation; a mount is a boundary for rename(2) and openat2(2), has a "
        "device number, and its options (nosuid, noexec, size=)",
        "bind mounts, with all that is mounted in what is bound; tmpfs, an empty directory on the file system"
        " of the upper; proc, sysfs, devpts, mqueue and cgroup are those of the host, a new process "
        "namespace's too; MS_RDONLY holds, other options are taken and mean nothing. Block devices, overlay "
        "and FUSE, and a program's own executable (``/proc/self/exe``, which container runtimes copy then), are "
        "EPERM, counted as refused, and so is a namespace by vfork with ``--trap notify``, or in"
        " a run within a run",
        "what is mounted is a place of the view that those processes have; the kernel's mounts, which are the"
        " supervisor's too, stay",
    ),
    Difference(
        "fsopen(2), fsmount(2), move_mount(2), open_tree(2), mount_setattr(2) and their kin",
        "as everywhere",
        "ENOSYS",
        "programs fall back to mount(2)",
    ),
    Difference(
        "A current directory, or a descriptor, in what is bound at two places",
        "names the mount that it came by",
        "names the place that has its own name, else the newest; runc, which looks for the name in what it has "
        "mounted, ends there",
        "the kernel tells where the object is, and not by which place the program came",
    ),
    Difference(
        "setns(2) into a mount namespace; mount(2) and umount2(2) outside of one of the program's own; "
        "open_by_handle_at(2) on a file system that no overlay covers, quotactl(2), swapon(2), acct(2)",
        "as everywhere",
        "EPERM, counted as refused",
        "they would change what paths mean, or cannot be followed",
    ),
    Difference(
        "chroot(2)",
        "the root follows its directory, whoever renames that; processes that share it by CLONE_FS change it together; "
        "/proc/PID/mounts tells of mounts below it",
        "it does when a process in the same view renames it, and not one in another mount namespace or outside of the "
        "run; the root belongs to a process with its threads, and to its parent where that shares it "
        "(kcmp(2)), not to its children; mounts are told as of outside; a run inside a "
        "run does not start there; from the first one on no call is answered inside of programs",
        "the kernel's root stays the real one, since the layers lie outside of the other one",
    ),
    Difference(
        "io_uring, clone3(2), uselib(2), calls newer than Linux 7.0",
        "as everywhere",
        "ENOSYS",
        "programs fall back to calls that can be followed",
    ),
    Difference(
        "Landlock rule sets",
        "as everywhere",
        "EOPNOTSUPP",
        "a rule would name the real file",
    ),
    Difference(
        "Set-user-id and set-group-id programs, file capabilities",
        "as everywhere",
        "without effect unless ptoverlay runs as root",
        "the kernel gives no privileges to a program that an ordinary user traces",
    ),
    Difference(
        "Programs that may be executed and not read (mode 0711), by an ordinary user",
        "run",
        "EACCES, counted as refused",
        "the kernel keeps the memory of such a process from all who may not read its program, from the supervisor too",
    ),
    Difference(
        "A directory of a lower that lies elsewhere than the mount point, entered by the lower's own path",
        "is the lower's own directory",
        "shows what the view has of it, and relative paths from there change the view; by absolute paths, which no "
        "overlay covers, it is the lower",
        "a descriptor of it is the same as one that was opened in the view",
    ),
    Difference(
        "A lower that lies in another lower",
        "is refused (ELOOP)",
        "is a layer, and hidden where the other one would show it",
        "layers that were made over ``/`` lie in it",
    ),
    Difference(
        "sendmmsg(2) to sockets with a path",
        "as everywhere",
        "a short count",
        "one message a call; programs send the rest",
    ),
    Difference(
        "A directory of the host, above the mount point of an overlay, is renamed",
        "takes the mount along",
        "EBUSY, counted as refused",
        "the view appears at a path",
    ),
    Difference(
        "Processes with a signal handler that was installed without SA_RESTART, with ``--trap notify``",
        "as everywhere",
        "are traced (TracerPid in proc(5)) until they execute, and so are those that ask for real-time signals or get "
        "some; a debugger that wants them gets them. Once it has, and with real-time signals, SIGPIPE, "
        "SIGXFSZ, SIGPWR and SIGSTKFLT that come from outside of the run or are sent to a process group, a signal that "
        "arrives as a call begins makes calls like stat(2), too, fail with EINTR",
        "seccomp_unotify(2), BUGS; ``--trap ptrace`` has no such gap",
    ),
    Difference(
        "sched_getaffinity(2) of another task that is just opening a file of the upper, with ``--trap notify``",
        "as it was set",
        "the one CPU of the supervisor, for a moment; one that is set at that very moment (taskset -p) may be lost",
        "a descriptor is handed over by wake-ups that would go to an idle CPU and back",
    ),
    Difference(
        "seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER",
        "as everywhere",
        "EBUSY",
        "there is one listener in a chain of filters, and its filter comes before one that only traces: calls would go "
        "unseen",
    ),
    Difference(
        "A task that a debugger traces, with ``--trap notify``",
        "as everywhere",
        "EPERM, counted as refused: execve of a program whose interpreter is in the upper; of one with a short "
        "relative path by vfork while it runs already; execveat; opens with O_PATH or O_TMPFILE.  \".\" of a removed "
        "directory is ENOENT.  A script inherits a descriptor of its directory",
        "the registers are the debugger's; only the text of the path can be changed, in its place, for as long as "
        "nobody else can look at it",
    ),
    Difference(
        "ptrace(2), and what of /proc/PID needs its permission, of processes outside of the run, from Linux 6.2 on",
        "as everywhere",
        "EPERM, EACCES",
        "programs run in a Landlock domain, which guards the host where the trap could be raced",
    ),
    Difference(
        "Opening /proc/PID/mem for writing: of a process outside of the run; with ``--trap ptrace`` of any",
        "as everywhere",
        "EACCES, counted as refused; process_vm_writev(2) works within the run",
        "who writes there acts as that process, and obeys no page protection: what a tracee opens for writing by "
        "``ptrace`` is named in memory that nobody may write",
    ),
    Difference(
        "inotify(7) in a view: OPEN, ACCESS and CLOSE_NOWRITE",
        "of all that is in a watched directory",
        "in a directory that is watched for changes too, only of what the upper has; a few may be missed while the "
        "view reads a directory of the upper",
        "a watch is of one directory, the upper's, and what a lower has is opened where it is; changes are heard event "
        "by event as on the kernel's overlayfs",
    ),
    Difference(
        "inotify(7) where a container's profile refuses pidfd_getfd(2)",
        "changes of the view",
        "changes of the upper: a copy-up and a whiteout are made there, a new name is moved there",
        "the supervisor cannot ask the watch to be quiet meanwhile",
    ),
    Difference(
        "fanotify(7) of a directory that merges",
        "changes of the view",
        "changes of the upper: a copy-up and a whiteout are made there (FAN_CREATE), a new name is moved there",
        "the kernel takes nothing out of a mark for a while and loses no event; watches of inotify(7) can be quiet",
    ),
    Difference(
        "With ``--trap ptrace``: F_GETFL of a descriptor of the upper that was opened for reading; F_CREATED_QUERY",
        "the flags that were asked for; whether the open has made the file",
        "O_NOFOLLOW besides; 0",
        "the program opens what the supervisor has made and names, where it must follow no symlink",
    ),
    Difference(
        "The mount's number in statx(2), name_to_handle_at(2) and /proc/PID/fdinfo; STATX_ATTR_MOUNT_ROOT; "
        "statmount(2)",
        "are the overlay's",
        "are those of the file systems on which the layers lie; the view's root is no mount's",
        "there is no mount; st_dev is the same in all of a view",
    ),
    Difference(
        "A descriptor that was opened before a copy-up, of a process in a network namespace of its own, where a "
        "profile refuses pidfd_getfd(2)",
        "the copy",
        "the lower's file; --stats counts it, --strict kills who writes",
        "the process cannot hand it over",
    ),
    Difference(
        "A watch on a file of a lower of more than 1 GiB",
        "hears what is written to it",
        "hears nothing once it is copied up",
        "it would have to be copied for the watch alone, as smaller ones are",
    ),
    Difference(
        "ptrace(2) within the view, by the ``ptrace`` trap",
        "as everywhere",
        "a debugger cannot attach",
        "a process has one tracer",
    ),
    Difference(
        "Sixteen MiB of addresses from 0x7e9000000000 on, in a program that answers calls itself (``--no-inject``: "
        "none does)",
        "are free",
        "are taken: MAP_FIXED_NOREPLACE is EEXIST there, mincore(2) and /proc/self/map_files tell of them, and with "
        "MAP_FIXED or munmap(2) the program breaks itself. /proc/PID/maps, smaps and numa_maps hide them",
        "the code and the table for the answers lie there, and the text of the C library leads to them",
    ),
    Difference(
        "A backtrace from a signal handler, or a signal handler that throws, in a call that is answered inside",
        "leads to main",
        "ends at the call",
        "nothing tells an unwinder of that code; opens that are cancellation points are not answered there",
    ),
)

#: pjdfstest's cases (TEST:NUMBER, or TEST for all of them) that pass on the kernel's overlayfs and not in a view, or
#: the other way round.
PJDFSTEST: dict[str, str] = {}


def known_call(step: Step, kernel: Result, view: Result) -> bool:
    """Whether the results of a call may differ so."""
    return any(difference.call(step, kernel, view) for difference in DIFFERENCES)


def known_object(kernel: Any, view: Any) -> bool:
    """Whether what two views show under a name may differ so."""
    return any(difference.object(kernel, view) for difference in DIFFERENCES)


# ---- the documentation

_HEAD = """Differences from the kernel's overlayfs
=======================================
.. Printed by ``python -m support.differences`` in tests/; test_differential.py compares.

The tests compare a view with the kernel's overlayfs, mounted with ``index=on,redirect_dir=on,xino=on``. These
differences are known:

.. list-table::
   :header-rows: 1

   * - What
     - The kernel's overlayfs
     - Here
     - Why
"""


def documentation() -> str:
    """docs/differences.rst."""
    rows = [f"   * - {d.title}\n     - {d.kernel}\n     - {d.view}\n     - {d.why}\n" for d in DIFFERENCES]
    which = "these pass" if PJDFSTEST else "none passes"
    suite = [f"\npjdfstest\n---------\nOf the cases of this suite (``tools/pjdfstest CHECKOUT``) {which} on the "
             "kernel's overlayfs and not in a view, or the other way round (2026-12-01: 8770 pass in both)"
             f"{'; the rest is equal' if PJDFSTEST else ''}.\n", "\n" if PJDFSTEST else ""]
    for reason in dict.fromkeys(PJDFSTEST.values()):
        names = [name for name, why in PJDFSTEST.items() if why == reason]
        suite.append(f"- {', '.join(names)}: {reason}.\n")
    return _HEAD + "".join(rows) + "".join(suite)


if __name__ == "__main__":
    print(documentation(), end="")
