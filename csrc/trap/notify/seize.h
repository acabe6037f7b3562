/* seize.h - a worker traces a caller for a while.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SEIZE_H
#define PTOVERLAY_SEIZE_H

#include <stdbool.h>
#include <sys/ptrace.h>
#include <sys/types.h>

struct attachment;
struct notify_trap;

#define SEIZE_OPTIONS (PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)

/* Traces the task, and asks it to stop; false: it is traced already, or dead. */
bool seize(struct notify_trap *trap, pid_t tid);
/* Serves its stops until the call is over or the tracee dead: true if it lives, in a stop. */
bool seize_follow(struct attachment *at);
/* In a stop: it is not traced any more, and gets the signal (0: none). */
void seize_end(struct notify_trap *trap, pid_t tid, int signal);
/* The same at the stop that it was asked for, which is its first: whatever signal there is is delivered behind it. */
void seize_end_at_stop(struct notify_trap *trap, pid_t tid);

#endif
