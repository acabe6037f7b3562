"""An error at any call of the view reaches the caller, leaves the view what its layers are, and leaks nothing.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support import faults
from support.oracle import ROOT, USER, run
from support.subjects import SOURCES

#: Scenarios that between them go through most of the view; valgrind is slow.
SOME = ["create file", "rename dir moved", "unlink hard2"]
VALGRIND = ["valgrind", "-q", "--error-exitcode=3", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect",
            "--track-fds=no", "--run-libc-freeres=no"]


def test_every_call_is_wrapped(fault_points: Path) -> None:
    """What the view asks of the kernel goes through a wrapper: a call that is new in the view needs one."""
    known = set(faults.wrapped()) | set(NOT_WRAPPED)
    used = set()
    for path in fault_points.parent.glob("*.o"):
        if path.stem != "faults":
            done = run(["nm", "--undefined-only", "--format=posix", path])
            used |= {line.split()[0] for line in done.out.splitlines()}
    defined = run(["nm", "--defined-only", "--format=posix", *fault_points.parent.glob("*.o")])
    used -= {line.split()[0] for line in defined.out.splitlines() if len(line.split()) > 1}
    assert not used - known, f"add WRAP lines to {SOURCES / 'wrap.h'}: {sorted(used - known)}"


#: Calls that cannot fail, or change nothing and report nothing.
NOT_WRAPPED = re.findall(r"\w+", """
    __errno_location __getdelim __isoc99_sscanf __stack_chk_fail asprintf close closedir dirfd fclose feof ferror fgets
    free getegid geteuid getcwd getgroups getline memchr memrchr memcmp memcpy memmove memset mmap munmap mprotect qsort
    snprintf vsnprintf sprintf strcat strchr strcmp strcpy strcspn strerror strlen strncmp strncpy strnlen strrchr
    strspn strstr strtol strtoul strtoull atoi stpcpy clock_gettime sched_yield getpid __memcpy_chk
    pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock pthread_cond_init pthread_cond_wait
    pthread_cond_signal pthread_cond_broadcast pthread_cond_destroy pthread_create pthread_join pthread_detach
    pthread_sigmask sigfillset _GLOBAL_OFFSET_TABLE_
""")


@pytest.mark.parametrize(("options", "as_user"),
                         [(["-e", "2"], False), (["-e", "1", "-u"], False), (["-e", "1"], True)],
                         ids=["trusted", "user", "by-user"])
def test_error_at_every_call(fault_points: Path, options: list[str], as_user: bool) -> None:
    """EIO, ENOSPC, EDQUOT, EMFILE and ENOMEM in turn at each call of each scenario of faults.c; every one at every
    call with PTOVERLAY_TEST_FAULTS=all."""
    if os.environ.get("PTOVERLAY_TEST_FAULTS") == "all":
        options = [*options, "-e", "5"]
    faults.check(fault_points, options, "fault", who=USER if as_user else ROOT)


def test_error_with_metacopy(fault_points: Path) -> None:
    """The same for files whose data stays in the lower, or is fetched from there."""
    faults.check(fault_points, ["-m", "-e", "1"], "fault", "big", "chmod", "hard", "read")


def test_every_way_to_copy(fault_points: Path) -> None:
    """Where the file system lacks a call the next best is used: data and holes come out the same."""
    faults.check(fault_points, [], "fallback")


def test_sanitized(base: Path) -> None:
    """The same with the address and undefined behaviour sanitizers, leaks included."""
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    sanitized = faults.build(base / "sanitized-points", *flags)
    faults.check(sanitized, ["-e", "1"], "fault")


@pytest.mark.debian("valgrind")
def test_valgrind(fault_points: Path) -> None:
    """Some scenarios under valgrind: no use of what is not initialized, nothing lost."""
    faults.check(fault_points, ["-e", "1"], "fault", *SOME, before=VALGRIND)
