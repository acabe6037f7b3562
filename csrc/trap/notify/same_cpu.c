/* same_cpu.c - a sleeping tracee is woken on this CPU.
 *
 * SECCOMP_IOCTL_NOTIF_ADDFD wakes the tracee, which installs the descriptor and wakes us, both by an ordinary
 * wake-up: where a CPU idles each goes to it, and back, which costs more than the open itself.  There is no
 * FD_SYNC_WAKE_UP for that, but a task whose affinity is this CPU comes here.
 *
 * Rules: the affinity is the tracee's own, and it has it back before it runs on.  One that somebody has changed
 * meanwhile is left.  Where it was all that the supervisor may use it becomes all CPUs, so that it is still that
 * when the cpuset grows (sched_setaffinity(2), cpuset(7)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "same_cpu.h"

void same_cpu_begin(struct same_cpu *same_cpu, pid_t tid) {
    int cpu = sched_getcpu();
    same_cpu->tid = tid;
    same_cpu->holds = false;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(tid, sizeof same_cpu->before, &same_cpu->before) < 0)
        return;
    CPU_ZERO(&same_cpu->here);
    CPU_SET((size_t)cpu, &same_cpu->here);
    if (CPU_ISSET((size_t)cpu, &same_cpu->before) && !CPU_EQUAL(&same_cpu->here, &same_cpu->before))
        same_cpu->holds = sched_setaffinity(tid, sizeof same_cpu->here, &same_cpu->here) == 0;
}

void same_cpu_end(struct same_cpu *same_cpu, const cpu_set_t *all) {
    cpu_set_t now;
    if (!same_cpu->holds || sched_getaffinity(same_cpu->tid, sizeof now, &now) < 0 || !CPU_EQUAL(&now, &same_cpu->here))
        return;
    if (CPU_EQUAL(&same_cpu->before, all))
        memset(&same_cpu->before, 0xff, sizeof same_cpu->before);
    (void)sched_setaffinity(same_cpu->tid, sizeof same_cpu->before, &same_cpu->before);
}
