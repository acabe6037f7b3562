/* stay.h - a sleeping tracee is woken on this CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_STAY_H
#define PTOVERLAY_STAY_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct stay {
    pid_t tid;
    cpu_set_t before, here;
    bool holds;
};

/* Until stay_end the thread tid, which sleeps, is woken where the calling one runs.  all: the CPUs that there are for us. */
void stay_begin(struct stay *stay, pid_t tid);
void stay_end(struct stay *stay, const cpu_set_t *all);

#endif
