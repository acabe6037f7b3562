/* spread.h - several busy tracees and their workers, spread over the CPUs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SPREAD_H
#define PTOVERLAY_SPREAD_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SPREAD_MAX 32           /* CPUs that are made use of */

/* A CPU, and the tracee that is at home there because it called there when no other one did. */
struct home {
    int cpu;
    pid_t tid;                  /* atomic; 0: none */
    uint64_t seen;              /* atomic: its last call, CLOCK_MONOTONIC, ns */
    unsigned strayed;           /* atomic: calls in a row that were received elsewhere */
};

struct spread {
    cpu_set_t own;              /* the CPUs that the supervisor may use */
    int n;                      /* homes that there are; less than 2: nothing to spread over */
    int open;                   /* atomic: homes in use, since each call wakes a worker at each of them */
    int homeless;               /* atomic: calls of tracees for which there was none */
    unsigned taken;             /* atomic: bit i: a worker waits at home i */
    struct home homes[SPREAD_MAX];
};

/* Where one worker waits. */
struct post {
    int place;                  /* home; -1: wherever it is woken */
    int tied_to;                /* the home to whose CPU it is tied, -1: to none */
};

void spread_init(struct spread *spread);
void spread_init_post(struct post *post);
/* From now on so many homes are in use. */
void spread_open(struct spread *spread, int homes);
/* For the calling thread, which is one of at most spread->open that are here at a time. */
void spread_take(struct spread *spread, struct post *post);
/* … it goes on as one that may be woken anywhere. */
void spread_none(const struct spread *spread, struct post *post);
/* It waits no more. */
void spread_leave(struct spread *spread, const struct post *post);
/* Would one home more be of use? */
bool spread_is_full(const struct spread *spread);

/* tid's call has been received at `place`.  True: it is at home elsewhere, and not to be woken here. */
bool spread_strays(struct spread *spread, int place, pid_t tid, uint64_t now);

#endif
