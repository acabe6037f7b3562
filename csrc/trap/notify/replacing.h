/* replacing.h - calls that wait until descriptors of what they have copied up are replaced: the notify trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_REPLACING_H
#define PTOVERLAY_NOTIFY_REPLACING_H

#include <stdbool.h>
#include <sys/types.h>

struct caller;
struct copied_up;
struct replacer;
struct tender;
struct worker;

/* By the worker, call_begin done, before the verdict is carried out. */
void replacing_run(struct worker *worker, struct caller *caller);
/* struct run's replace; arg: the trap. */
unsigned replacing_for_another(void *trap, struct copied_up *copied);
/* Is a notification of this task of a call that it is made to run?  It goes on, then. */
bool replacing_runs(struct tender *tender, pid_t tid);

/* By the tender, at a stop of a task that it traces. */
enum replacing_stop {
    REPLACING_NOT_MINE,  /* it is to be served */
    REPLACING_MINE,      /* it was for this */
    REPLACING_LET_GO,    /* the task, in a PTRACE_EVENT_STOP, is traced for this alone, which is over */
};
enum replacing_stop replacing_at_stop(struct tender *tender, pid_t tid, int status);
/* Also for a task that is let go. */
void replacing_at_death(struct tender *tender, pid_t tid);
/* No task is traced any more. */
void replacing_end(struct tender *tender);

#endif
