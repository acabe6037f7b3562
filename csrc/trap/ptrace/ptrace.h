/* ptrace.h - the ptrace trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_H
#define PTOVERLAY_PTRACE_H

struct run;

/* Starts CMD and lives until it and what it started have ended.  0, or -errno with result->stage and
 * result->message set. */
int ptrace_run(struct run *run);

#endif
