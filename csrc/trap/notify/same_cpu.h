/* same_cpu.h - a sleeping tracee is woken on this CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_SAME_CPU_H
#define PTOVERLAY_NOTIFY_SAME_CPU_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct same_cpu {
    pid_t tid;
    cpu_set_t before, here;
    bool holds;
};

/* Until same_cpu_end the thread tid, which sleeps, is woken where the calling one runs.  all: the CPUs that there
 * are for us. */
void same_cpu_begin(struct same_cpu *same_cpu, pid_t tid);
void same_cpu_end(struct same_cpu *same_cpu, const cpu_set_t *all);

#endif
