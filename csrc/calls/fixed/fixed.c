/* fixed.c - what a build sees: from its start to its end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../call.h"
#include "../scratch.h"
#include "../table.h"
#include "births.h"
#include "fixed.h"
#include "listings.h"
#include "objects.h"

struct fixed *fixed_new(const struct pto_command *command, int *error) {
    *error = 0;
    if (!(command->features & PTO_FEATURE_BUILD))
        return NULL;
    struct fixed *fixed = calloc(1, sizeof *fixed);
    if (!fixed || lock_init(&fixed->lock)) {
        free(fixed);
        *error = -ENOMEM;
        return NULL;
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);   /* cannot fail */
    fixed->switches = command->build;
    fixed->epoch = command->epoch;
    fixed->missing_fd = command->missing_fd;
    fixed->started = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    fixed->random = command->seed;
    return fixed;
}

void fixed_free(struct fixed *fixed) {
    if (!fixed)
        return;
    listings_clear(fixed);
    objects_clear(fixed);
    births_clear(fixed);
    lock_destroy(&fixed->lock);
    free(fixed);
}

/* As the tracee gave it, where it is absolute, or as far as the walk came. */
void fixed_missing(const struct call *call) {
    const struct call_scratch *scratch = call->scratch;
    if (call->verdict != VERDICT_RETURN || call->value != -ENOENT || call->row->operand[0].path == NO_ARG)
        return;
    bool absolute = scratch->given[0].absolute;
    const char *path = absolute ? scratch->given[0].path : scratch->loc[0].path;
    size_t length = absolute ? scratch->given[0].length : scratch->loc[0].length;
    if (path[0] == '/' && length < PATH_MAX)
        (void)!write(call->session->fixed->missing_fd, path, length + 1);   /* what is told at the end, no more */
}
