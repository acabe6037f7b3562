/* limits.c - resource limits that are not what a tracee sees: RLIMIT_CORE, RLIMIT_LOCKS and RLIMIT_RSS.
 *
 * A core is written by the kernel itself, by a name in the working directory or by a program of the host's (core(5)):
 * nothing is trapped.  So RLIMIT_CORE is held at 1, for which the kernel writes neither a file (it is less than a page)
 * nor to a program (fs/coredump.c); the limit that the tracee knows is kept in RLIMIT_LOCKS, which has had no meaning
 * since Linux 2.4.25 (getrlimit(2)): its soft value is that of RLIMIT_CORE, its hard one the mark (members.h).  Both
 * are inherited and stay over execve(2), so that no fork need be heard of; the hard limit of RLIMIT_CORE is the
 * tracee's own.
 *
 * Rules: no tracee sets either by itself.  A process that is not known to be of the run is never given a core.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>

#include "limits.h"

int limits_hold(void) {
    struct rlimit core, locks;
    if (getrlimit(RLIMIT_CORE, &core) < 0 || getrlimit(RLIMIT_LOCKS, &locks) < 0)
        return -errno;
    locks.rlim_cur = limits_least(core.rlim_cur, locks.rlim_max);
    core.rlim_cur = limits_least(LIMITS_NO_CORE, core.rlim_max);
    return setrlimit(RLIMIT_LOCKS, &locks) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 ? -errno : 0;
}

rlim_t limits_core(const struct rlimit *locks) {
    return locks->rlim_cur >= locks->rlim_max ? RLIM_INFINITY : locks->rlim_cur;
}

struct rlimit limits_marked(const struct rlimit *locks, uint64_t mark) {
    return (struct rlimit){.rlim_cur = limits_least(limits_core(locks), mark), .rlim_max = mark};
}
