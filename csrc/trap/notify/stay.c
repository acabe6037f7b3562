/* stay.c - a sleeping tracee is woken on this CPU.
 *
 * SECCOMP_IOCTL_NOTIF_ADDFD wakes the tracee, which installs the descriptor and wakes us, both by an ordinary wake-up: where
 * a CPU idles each goes to it, and back, which costs more than the open itself.  There is no FD_SYNC_WAKE_UP for that,
 * but a task whose affinity is this CPU comes here.
 *
 * Rules: the affinity is the tracee's own, and it has it back before it runs on.  One that somebody has changed meanwhile
 * is left.  Where it was all that the supervisor may use it becomes all CPUs, so that it is still that when the
 * cpuset grows (sched_setaffinity(2), cpuset(7)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "stay.h"

void stay_begin(struct stay *stay, pid_t tid) {
    int cpu = sched_getcpu();
    stay->tid = tid;
    stay->holds = false;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(tid, sizeof stay->before, &stay->before) < 0)
        return;
    CPU_ZERO(&stay->here);
    CPU_SET((size_t)cpu, &stay->here);
    if (CPU_ISSET((size_t)cpu, &stay->before) && !CPU_EQUAL(&stay->here, &stay->before))
        stay->holds = sched_setaffinity(tid, sizeof stay->here, &stay->here) == 0;
}

void stay_end(struct stay *stay, const cpu_set_t *all) {
    cpu_set_t now;
    if (!stay->holds || sched_getaffinity(stay->tid, sizeof now, &now) < 0 || !CPU_EQUAL(&now, &stay->here))
        return;
    if (CPU_EQUAL(&stay->before, all))
        memset(&stay->before, 0xff, sizeof stay->before);
    (void)sched_setaffinity(stay->tid, sizeof stay->before, &stay->before);
}
