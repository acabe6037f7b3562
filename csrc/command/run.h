/* run.h - one run of a command: what all that take part in it share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RUN_H
#define PTOVERLAY_RUN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

#include "../calls/call.h"
#include "../calls/session.h"
#include "../untouched/untouched.h"
#include "../process/lock.h"

struct slot;

struct run {
    struct run *next_sharer; /* run/sharers.c, as the next two */
    unsigned visitors; /* that are here for a call of another run's */
    /* Has descriptors replaced that tasks of the view's other runs have of what a call of this one has copied up.  How
     * many are left. */
    unsigned (*replace_elsewhere)(struct run *run, const struct copied_up *copies);
    /* By the trap, as long as it can: replaces those of its own tasks for another run, and takes the copies.  How many
     * are left. */
    unsigned (*replace)(void *trap, struct copied_up *copies);
    void *trap;
    struct lock visit; /* the latter two; held by a visitor */
    pto_view *view;
    const struct pto_command *command;
    struct pto_result *result;
    struct session session;
    struct untouched untouched;
    struct slot *slot; /* where pto_signal finds CMD */
    bool foreign_noted; /* the warning about 32-bit calls was given */
    uint32_t nested; /* the nest, in a run inside a run, which has no view and session of its own; else 0 */
    struct rlimit files; /* RLIMIT_NOFILE as it was: CMD's own; ours is raised as far as it can be */
    int landlock; /* ruleset that CMD enters, -1: none */
    int channel; /* to the process that starts CMD and waits for it, or to the supervisor of whom we are a guest; -1 */
    bool awaited; /* that process has still to tell how CMD ended */
    pid_t host; /* the supervisor of whom we are a guest, 0: we are none */
    int trace_fd; /* atomic; -1: no trace, or nobody reads it any more */
    struct lock trace_lock; /* one record is written as a whole */
};

/* From now on other runs of the view may ask for the descriptors of this one's tasks; NULL: not any more. */
static inline void run_be_visited(struct run *run, unsigned (*replace)(void *trap, struct copied_up *copies),
                                  void *trap) {
    lock_take(&run->visit);
    run->replace = replace;
    run->trap = trap;
    lock_leave(&run->visit);
}

#endif
