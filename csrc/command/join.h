/* join.h - a CMD that another process starts and brings into a run of ours.
 *
 * The two have a channel, a pair of SOCK_SEQPACKET sockets.  The supervisor offers a filter; the guest forks CMD under
 * it and tells its id, and hands its listener over or waits for the word to go, when CMD has been seized; it waits for
 * CMD, whose parent it is, and tells how it ended; last comes the result.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_JOIN_H
#define PTOVERLAY_JOIN_H

#include "run.h"
#include "start.h"

/* The supervisor's end, of a run whose channel is set.  As start_listening(), or without a listener as start_fork(). */
int join_start(struct run *run, const struct filter *filter, unsigned filter_flags, bool listens, struct start *start);
/* Waits for the end of CMD that the guest tells, if there was one; the run's result has it then. */
void join_wait(struct run *run);
/* Ends the talk: the result goes to the guest. */
void join_result(struct run *run, int error);

/* The guest's end: all of it.  0, or -errno with the result's stage set. */
int join_guest(struct run *run);

#endif
