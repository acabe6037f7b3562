/* rounds.h - who is asked to replace stale descriptors, and how often.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ROUNDS_H
#define PTOVERLAY_ROUNDS_H

#include <stdbool.h>
#include <sys/types.h>

#include "renew.h"

struct call;
struct run;

/* How a trap does it. */
struct rounds_way {
    /* Asks who may be in an open that was let make it, and could get the lower's file yet. */
    void (*ask_opening)(void *arg);
    /* Looks at all tables: how many stale descriptors there are that nobody is about to replace. */
    unsigned (*look)(void *arg);
    /* Asks for each table with any, as the last look has found them, one task: who could stop at once, if there is
     * one. */
    void (*ask)(void *arg);
};

/* Zeroed: none has been. */
struct rounds {
    unsigned n;
    unsigned left;      /* descriptors that the last look found */
};

/* One round.  False: whoever was asked in it, no other one is needed, or there were enough: what is left is left. */
bool rounds_next(struct rounds *rounds, const struct rounds_way *way, void *arg);

/* Could it stop at once? */
bool rounds_can_stop(pid_t tid);
/* One that was asked and does not stop is not waited for. */
bool rounds_is_stuck(const struct renewer *renewer, pid_t tid);

/* Counts what is left; true: no call that waited for it may be made (--strict). */
bool rounds_report(struct run *run, unsigned left);
/* … but each ends with this. */
void rounds_refuse(struct call *call);

#endif
