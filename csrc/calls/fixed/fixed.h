/* fixed.h - what a build sees, so that it depends on its inputs alone (PTO_FEATURE_BUILD).
 *
 * Each source of chance is closed by a switch of its own, PTO_BUILD_*; without a switch calls mean what they always do.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_H
#define PTOVERLAY_FIXED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../process/lock.h"
#include "../session.h"

struct births;
struct listing;
struct objects;

/* Of one run. */
struct fixed {
    unsigned switches;          /* PTO_BUILD_* */
    struct lock lock;           /* of what follows; it is taken inside of the view's */
    struct listing *listings;   /* the one used last first */
    uint32_t last_listing;      /* its number */
    int missing_fd;             /* PTO_BUILD_INPUTS */
    uint64_t elapsed;           /* nanoseconds since the start, as tracees are told */
    int64_t epoch;              /* the time of day at the start, in seconds since 1970 */
    uint64_t started;           /* the real one, in nanoseconds */
    uint64_t random;            /* the seed of random bytes */
    struct births *births;      /* births.c */
    struct objects *objects;    /* objects.c */
};

/* NULL: it is no build, or with *error there is no memory. */
struct fixed *fixed_new(const struct pto_command *command, int *error);
void fixed_free(struct fixed *fixed);

struct call;
/* The call was decided: if there is nothing where it leads to, its path is told (PTO_BUILD_INPUTS). */
void fixed_missing(const struct call *call);

/* Is the source of this switch closed? */
static inline bool fixed_has(const struct session *session, unsigned what) {
    return session->fixed && (session->fixed->switches & what);
}

#endif
