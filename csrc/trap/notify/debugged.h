/* debugged.h - execve and chdir by a task that a debugger traces.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_DEBUGGED_H
#define PTOVERLAY_DEBUGGED_H

#include <stdbool.h>
#include <sys/types.h>

struct caller;
struct worker;

/* Tasks whose new program may still be shown another path than they asked for. */
#define BORROWERS 16
struct borrowers {
    pid_t tids[BORROWERS];  /* atomic; 0: none */
};

/* Before the first call of a new program is looked at: waits until it is shown the path. */
void debugged_wait(const struct borrowers *borrowers, pid_t tid);

/* Ends the call and answers it if it can be done; false: it cannot, and nothing has happened. */
bool debugged_run(struct worker *worker, struct caller *caller);

#endif
