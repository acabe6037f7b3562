/* attach.h - a notified call that the tracee runs itself, but under our eyes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ATTACH_H
#define PTOVERLAY_ATTACH_H

#include <stdbool.h>
#include <sys/types.h>

struct attachment_visit;
struct caller;
struct worker;

/* The tracee runs the call with other arguments, or is watched until its exit.  Answers. */
void attach_run(struct worker *worker, struct caller *caller);
/* The tracee is visited in a stop, then it makes the call again: answers.  False: it has not, since a debugger inside
 * holds the task. */
bool attach_visit(struct worker *worker, struct caller *caller, const struct attachment_visit *visit);
/* The answer is that the call is to be restarted, after a signal if there is one; the caller has been given up. */
void attach_interrupt(struct worker *worker, pid_t tid);

#endif
