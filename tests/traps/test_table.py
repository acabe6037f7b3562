"""The call table against what is known of system calls: python-ptrace's prototypes and this machine's kernel headers.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os

import pytest
from ptrace.syscall.prototypes import SYSCALL_PROTOTYPES
from support.headers import kernel_calls

from ptoverlay._core import ffi, lib

pytestmark = [pytest.mark.quick, pytest.mark.debian("gcc", "linux-libc-dev")]

#: Arguments of python-ptrace's prototypes that are a path, or the descriptor of a directory.
PATH_ARGUMENTS = frozenset((
    "filename", "pathname", "path", "oldname", "newname", "old", "new", "dfd", "dirfd", "olddfd", "newdfd",
    "dir_name", "specialfile",
))
#: The same names where they mean something else.
NOT_PATHS = {
    "delete_module": "name_user is a module",
    "mincore": "vec",
    "setitimer": "a time",
    "timer_settime": "a time",
    "timerfd_settime": "a time",
    "newuname": "the machine's name",
    "dup2": "old and new are descriptors of any kind",
    "dup3": "old and new are descriptors of any kind",
}
#: Calls with a path, or that change metadata through a descriptor, in Linux 6.x; what the issue lists and more.
NAMED = [
    "open", "openat", "openat2", "creat", "stat", "lstat", "newfstatat", "fstat", "statx", "access", "faccessat",
    "faccessat2", "readlink", "readlinkat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir",
    "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat",
    "fchmodat2", "chown", "lchown", "fchown", "fchownat", "truncate", "utime", "utimes", "futimesat", "utimensat",
    "setxattr", "lsetxattr", "fsetxattr", "getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr",
    "flistxattr", "removexattr", "lremovexattr", "fremovexattr", "setxattrat", "getxattrat", "listxattrat",
    "removexattrat", "getdents", "getdents64", "chdir", "fchdir", "getcwd", "chroot", "execve", "execveat", "statfs",
    "fstatfs", "bind", "connect", "sendto", "sendmsg", "sendmmsg", "getsockname", "getpeername", "accept", "accept4",
    "inotify_add_watch", "fanotify_mark", "name_to_handle_at", "open_by_handle_at", "ioctl", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen",
    "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare", "setns", "clone", "clone3",
]
#: Calls of the headers that python-ptrace has no prototype of, and that take no path.
WITHOUT_PATH = frozenset((
    "rt_sigreturn", "modify_ldt", "_sysctl", "arch_prctl", "iopl", "create_module", "get_kernel_syms", "query_module",
    "nfsservctl", "getpmsg", "putpmsg", "afs_syscall", "tuxcall", "security", "set_thread_area", "get_thread_area",
    "epoll_ctl_old", "epoll_wait_old", "vserver", "preadv2", "pwritev2", "pkey_mprotect", "pkey_alloc", "pkey_free",
    "io_pgetevents", "rseq", "pidfd_send_signal", "pidfd_open", "close_range", "pidfd_getfd", "process_madvise",
    "epoll_pwait2", "quotactl_fd", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
    "memfd_secret", "process_mrelease", "futex_waitv", "set_mempolicy_home_node", "cachestat", "map_shadow_stack",
    "futex_wake", "futex_wait", "futex_requeue", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules",
    "statmount", "listmount", "mseal", "uretprobe", "uprobe", "listns", "rseq_slice_yield",
))


def table() -> dict[str, int]:
    """Name → number of every row; -1: not a call on this machine."""
    number = ffi.new("int *")
    rows: dict[str, int] = {}
    for i in range(lib.pto_table_size()):
        name = os.fsdecode(ffi.string(lib.pto_table_name(i, number)))
        assert name not in rows, f"two rows for {name}"
        rows[name] = int(number[0])
    return rows


def test_numbers_are_the_kernels() -> None:
    """Every row that the headers know has their number."""
    kernel = kernel_calls()
    wrong = {n: (nr, kernel[n]) for n, nr in table().items() if n in kernel and kernel[n] != nr}
    assert not wrong
    absent = [n for n, nr in table().items() if n not in kernel and 0 <= nr <= max(kernel.values())]
    assert not absent, "rows with numbers for calls that the kernel does not have"


def test_numbers_are_unique() -> None:
    """No number has two rows."""
    numbers = [nr for nr in table().values() if nr >= 0]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", NAMED)
def test_named_call_has_a_row(name: str) -> None:
    """Each call that the table promises."""
    assert name in table()


def test_every_call_with_a_path_has_a_row() -> None:
    """By python-ptrace's prototypes."""
    rows, kernel = table(), kernel_calls()
    missing = []
    for name, (_, arguments) in SYSCALL_PROTOTYPES.items():
        takes_path = any(argument in PATH_ARGUMENTS for _, argument in arguments)
        if takes_path and name in kernel and name not in rows and name not in NOT_PATHS:
            missing.append(name)
    assert not missing


def test_every_call_of_the_headers_is_known() -> None:
    """A call that nobody has looked at is not in the headers."""
    rows = table()
    unknown = [n for n in kernel_calls() if n not in SYSCALL_PROTOTYPES and n not in rows and n not in WITHOUT_PATH]
    assert not unknown
