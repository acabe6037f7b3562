/* renewals.h - calls that wait until descriptors of what they have copied up are replaced: the notify trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RENEWALS_H
#define PTOVERLAY_RENEWALS_H

#include <stdbool.h>
#include <sys/types.h>

struct caller;
struct renewed;
struct tender;
struct worker;

/* By the worker, call_begin done, before the verdict is carried out. */
void renewals_run(struct worker *worker, struct caller *caller);
/* Is a notification of this task of a call that it is made to run?  It goes on, then. */
bool renewals_runs(struct tender *tender, pid_t tid);

/* By the tender: interrupts the task, which it traces from now on if it did not already. */
void renewals_begin(struct tender *tender, struct renewed *task);
/* At a stop.  False: it is to be served. */
bool renewals_at_stop(struct tender *tender, pid_t tid, int status);
/* Also for a task that is let go. */
void renewals_at_death(struct tender *tender, pid_t tid);
/* No task is traced any more. */
void renewals_end(struct tender *tender);

#endif
