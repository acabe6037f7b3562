/* interrupted.h - calls that a signal has ended before a worker received them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INTERRUPTED_H
#define PTOVERLAY_INTERRUPTED_H

#include <stdbool.h>
#include <sys/types.h>

struct callers;
struct interrupted;

/* All by who traces the tasks; `steps` are those that go on by PTRACE_SINGLESTEP to their handler (ARCH_STEPS).
 * At a signal-delivery-stop: such a call will be made again.  True: the task is to step; steps == NULL: it
 * cannot. */
bool interrupted_mend(struct interrupted **steps, struct callers *callers, pid_t tid);
/* At any stop, first of all.  True: it is the one that the step led to, not a signal. */
bool interrupted_stepped(struct interrupted **steps, pid_t tid, int status);
/* It is no more. */
void interrupted_forget(struct interrupted **steps, pid_t tid);

#endif
