/* guard.h - a process that ends the tracees of the notify trap when the supervisor dies.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_GUARD_H
#define PTOVERLAY_GUARD_H

#include <stddef.h>
#include <sys/types.h>

struct guard {
    pid_t pid;      /* 0: none */
    int life;       /* its end: the supervisor is dead, unless a byte came before */
};

/* Starts it; listener: of the filter, ids: shared memory, who is to be killed.  0, or -errno. */
int guard_start(struct guard *guard, int listener, const pid_t *ids, size_t n_ids);
/* It is not needed any more; waits for its end. */
void guard_stop(struct guard *guard);

#endif
