/* random.h - random bytes that come from a seed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FIXED_RANDOM_H
#define PTOVERLAY_FIXED_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

struct call;

/* The next ones of the stream of the call's task. */
void random_take(struct call *call, void *out, size_t size);
/* Is the call's location, to be opened with these flags, /dev/random or /dev/urandom?  Then the plan is to give the
 * tracee a pipe that never ends.  The view is entered. */
bool random_plan(struct call *call, int flags);

#endif
