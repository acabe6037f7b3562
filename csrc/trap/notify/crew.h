/* crew.h - the worker threads of the notify trap, and who of them waits for notifications.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CREW_H
#define PTOVERLAY_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "../../process/lock.h"
#include "demand.h"
#include "spread.h"

struct notify_trap;
struct worker;

struct crew {
    struct lock lock;       /* of what is not atomic */
    pthread_cond_t call;        /* for those who rest */
    void *(*work)(void *worker);
    struct worker *workers;
    unsigned n_workers;
    unsigned resting;           /* wait to be called */
    unsigned called;            /* how many of them are to get up */
    bool ending;
    int receiving;              /* atomic: workers that wait for a notification */
    int wanted;                 /* atomic: how many should at most */
    struct demand demand;       /* under the lock */
    struct spread spread;
    uint64_t handled;           /* atomic: notifications received */
};

/* work: what the thread of a worker does, given the worker.  0, or -errno. */
int crew_start(struct crew *crew, struct notify_trap *trap, void *(*work)(void *worker));
/* When no notification can come any more. */
void crew_stop(struct crew *crew);
/* For the calling worker: a notification, received, or false: the run is over. */
bool crew_next(struct worker *worker);
/* The calling worker may be busy for long: somebody else is to wait for notifications. */
void crew_relieve(struct crew *crew);
/* To be called now and then: *seen is the caller's memory.  Relieves workers that have made no progress since.
 * True if there was any notification since. */
bool crew_check(struct crew *crew, uint64_t *seen);

#endif
