/* same_cpu.h - keeps the supervisor on the CPU of the tracee that it serves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_SAME_CPU_H
#define PTOVERLAY_PTRACE_SAME_CPU_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../process/lock.h"

struct same_cpu {
    pid_t self;                 /* thread id of the supervisor */
    pid_t last;                 /* whose stop was served last … */
    unsigned streak;            /* … and how many of its in a row */
    pid_t refused;              /* could not be tied */
    uint64_t stops;             /* all stops served */
    pid_t tied;                 /* tracee that shares our CPU, 0: none */
    cpu_set_t tracee_cpus;      /* what it may use by right */
    cpu_set_t own_cpus;         /* what the supervisor may use by right */
    bool off;                   /* one CPU only, or too many to name */
    bool has_thread, asleep, ending;
    pthread_t thread;           /* loosens a tie that has no use any more */
    struct lock lock;       /* of tied, and of what is done to the tied tracee */
    pthread_cond_t wake;
};

/* The calling thread is the supervisor. */
void same_cpu_init(struct same_cpu *same_cpu);
void same_cpu_clear(struct same_cpu *same_cpu);
/* At a stop of tid, before it is resumed. */
void same_cpu_stop(struct same_cpu *same_cpu, pid_t tid);
/* From here on all is as if nobody had followed, until the next tie: before CPU affinity is asked for or changed. */
void same_cpu_loosen(struct same_cpu *same_cpu);
/* At parent's fork, vfork or clone event: child gets the CPUs that are parent's by right. */
void same_cpu_child(struct same_cpu *same_cpu, pid_t parent, pid_t child);
void same_cpu_death(struct same_cpu *same_cpu, pid_t tid);
/* The thread got another id, see execve(2). */
void same_cpu_rename(struct same_cpu *same_cpu, pid_t former, pid_t tid);

#endif
