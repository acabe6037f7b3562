/* tender.h - processes whose signal handlers would make calls fail that no worker has received yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TENDER_H
#define PTOVERLAY_TENDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "requests.h"

struct attachment;
struct interrupted;
struct notify_trap;
struct replacer;
struct widened;
struct worker;

struct tender {
    struct notify_trap *trap;
    struct requests requests;
    struct request *releases;           /* the tender's own: whose task is to be let go at its next stop */
    struct attachment *attachments;     /* the tender's own: calls that are under way */
    struct widened *widened;            /* the tender's own: tasks whose options change at their next stop */
    struct interrupted *steps;          /* the tender's own: tasks on the way to a handler */
    struct replacer *replacers;            /* tasks that replace descriptors (replacing.h); the lock of requests */
    int cmd_stop; /* atomic: CMD, traced, has been stopped by this signal of the terminal's; 0 */
};

void tender_init(struct tender *tender, struct notify_trap *trap);
void tender_clear(struct tender *tender); /* when no tracee is left, or all are to be killed */

/* The process of this task is tended from now on.  only_parent: it alone gets such signals, and what it forks when
 * that has children itself, but no child that it waits for by vfork. */
void tender_process(struct worker *worker, pid_t pid, bool only_parent);
/* Another wants to trace pid, which is let go if it is tended.  itself: it is the caller, and the answer is that its
 * call is to be made again.  False: it is not tended, and nothing has happened. */
bool tender_release(struct worker *worker, pid_t pid, bool itself);
/* Runs the call of a task that is tended; false: it is not, and nothing has happened. */
bool tender_call(struct attachment *at);
/* Answers that the call of a task that is tended is to be restarted; false: it is not, and nothing has happened. */
bool tender_interrupt(struct worker *worker);
/* The run's thread has reaped the process. */
void tender_reaped(struct notify_trap *trap, pid_t pid);

#endif
