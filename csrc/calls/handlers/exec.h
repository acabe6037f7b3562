/* exec.h - execve(2), as the trap carries it out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_EXEC_H
#define PTOVERLAY_EXEC_H

#include <stdbool.h>

struct call;

/* After an execve that was substituted has succeeded, after task_exec: there is no exit, and no finish. */
void exec_done(struct call *call);
/* Of an execve to SUBSTITUTE, for a trap that cannot give the tracee other arguments: the real path of the program or
 * script that was asked for, when whatever else the kernel opens for it is where it looks; else NULL. */
const char *exec_alone(struct call *call, bool *script);

#endif
