/* members.c - a mark on processes that their children inherit: the hard resource limit RLIMIT_LOCKS.
 *
 * Nobody is told of forks by the notify trap, and who has lost his parent cannot be told by his ancestors.  But the
 * kernel copies resource limits at each fork (copy_signal, kernel/fork.c), keeps them over execve(2), and this one has
 * had no meaning since Linux 2.4.25 (getrlimit(2)); a lower one can be set without any right.
 *
 * Rules: a tracee neither changes nor sees the mark, so that it is always the supervisor's; a process that cannot be
 * looked at has an unknown mark, not none.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "../../process/descriptor.h"
#include "../../process/family.h"
#include "../../process/rlimit.h"
#include "limits.h"
#include "members.h"

uint64_t members_mark(pid_t pid) {
    struct rlimit limit;
    return rlimit_get(pid, RLIMIT_LOCKS, &limit) < 0 ? MARK_UNKNOWN : limit.rlim_max;
}

int members_set_mark(pid_t pid, uint64_t mark) {
    struct rlimit limit;
    int error = rlimit_get(pid, RLIMIT_LOCKS, &limit);
    if (error < 0)
        return error;
    limit = limits_marked(&limit, mark);
    return prlimit(pid, RLIMIT_LOCKS, &limit, NULL) < 0 ? -errno : 0;
}

/* /proc lists ids in their order, and a new process nearly always has a higher one than its parent. */
void members_each(members_fn *each, void *arg) {
    CLOSE_DIRECTORY *dir = opendir("/proc");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char *end;
        pid_t pid = (pid_t)strtol(entry->d_name, &end, 10);
        uint64_t mark = *end || pid <= 0 ? MARK_NONE : members_mark(pid);
        if (mark != MARK_NONE && mark != MARK_UNKNOWN && family_alive(pid) && !each(arg, pid, mark))
            return;
    }
}
