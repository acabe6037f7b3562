/* repeats.h - calls that are passed because the same ones were.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_REPEATS_H
#define PTOVERLAY_REPEATS_H

#include <stdbool.h>

struct caller;
struct worker;

/* A worker's memory of them; freed with free(3).  NULL: out of memory, and it keeps none. */
struct repeats;
struct repeats *repeats_new(void);

/* A call has been decided, and not been answered yet: whether the same one is to be passed unasked. */
void repeat_keep(struct worker *worker, struct caller *caller);
/* Passes the worker's call if it is the same as one before; false: it is to be begun. */
bool repeat_pass(struct worker *worker);

#endif
