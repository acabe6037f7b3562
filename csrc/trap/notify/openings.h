/* openings.h - opens by the notify trap's workers that may wait: of fifos and devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_OPENINGS_H
#define PTOVERLAY_OPENINGS_H

#include <pthread.h>
#include <stdbool.h>

#include "../../process/lock.h"

struct caller;
struct crew;
struct opening;
struct worker;

struct openings {
    struct lock lock;
    pthread_cond_t left;        /* one of them is over */
    struct opening *first;      /* under way; read without the lock, too */
};

void openings_init(struct openings *openings);
void openings_clear(struct openings *openings);

/* Opens what the caller's call asks for, and waits as long as its thread would.  A descriptor of ours, or -errno;
 * -EINTR: a signal has come for the thread, or it is dead, and the call is to be answered by opening_interrupted. */
int opening_wait(struct worker *worker, struct caller *caller);
/* The signal is delivered, and then the call made again or not, as after a wait in the kernel (signal(7)). */
void opening_interrupted(struct worker *worker, struct caller *caller);

/* Before the kernel opens for a tracee what may wait: nobody waits there any more who is dead now. */
void openings_meet_none_dead(struct openings *openings, struct crew *crew);

/* To be called now and then: wakes those whose threads have got a signal or are dead.  True while there is any. */
bool openings_check(struct openings *openings);

#endif
