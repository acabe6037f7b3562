/* members.h - a mark on processes that their children inherit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_MEMBERS_H
#define PTOVERLAY_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MARK_NONE UINT64_MAX     /* RLIM_INFINITY */
#define MARK_UNKNOWN 0u

/* The mark of a process, by the id of it or of one of its threads; MARK_UNKNOWN: it is gone, or not to be looked at. */
uint64_t members_mark(pid_t pid);
/* Each mark that is given to a process must be lower than the one it has.  0, or -errno. */
int members_set_mark(pid_t pid, uint64_t mark);
/* Calls each for every living process that has a mark until it returns false. */
typedef bool members_fn(void *arg, pid_t pid, uint64_t mark);
void members_each(members_fn *each, void *arg);

#endif
