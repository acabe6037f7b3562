/* births.h - the tasks of a build by how they came to be, which no scheduler changes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_BIRTHS_H
#define PTOVERLAY_BIRTHS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct fixed;

/* The call is about to make a child of its task; before it is let go. */
void births_begin(struct call *call);
/* The task of the call is known from now on; at its first call. */
void births_meet(struct call *call);
/* Its stream of random bytes, which goes on with each use; fixed->lock is held. NULL: no memory. */
uint64_t *births_stream(struct fixed *fixed, struct call *call);
/* Is the task of the call a thread beside the first one of its process? */
bool births_thread(const struct call *call);
void births_clear(struct fixed *fixed);

#endif
