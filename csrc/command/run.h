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
    pto_view *view;
    const struct pto_command *command;
    struct pto_result *result;
    struct session session;
    struct untouched untouched;
    struct slot *slot;      /* where pto_signal finds CMD */
    bool foreign_noted;         /* the warning about 32-bit calls was given */
    uint32_t nested; /* the nest, in a run inside a run, which has no view and session of its own; else 0 */
    struct rlimit files; /* RLIMIT_NOFILE as it was: CMD's own; ours is raised as far as it can be */
    int landlock; /* ruleset that CMD enters, -1: none */
    int trace_fd; /* atomic; -1: no trace, or nobody reads it any more */
    struct lock trace_lock; /* one record is written as a whole */
};

#endif
