/* hand_over.h - a descriptor of ours that the caller gets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_HAND_OVER_H
#define PTOVERLAY_HAND_OVER_H

#include <sched.h>

struct reply;

/* reply_hand_over() for a call that is answered next, on this CPU.  all: the CPUs that there are for us. */
int hand_over_here(const struct reply *reply, int fd, int flags, const cpu_set_t *all);
/* Is it ever done here?  0, or -errno. */
int hand_over_can(int listener);

#endif
