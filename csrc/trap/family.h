/* family.h - who belongs to whom among processes, from /proc.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FAMILY_H
#define PTOVERLAY_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The process of a thread and that process's parent; 0 when it is gone. */
pid_t family_of(pid_t tid, pid_t *parent);
pid_t family_process(pid_t tid);
/* SIGKILL to the processes and threads in ids (0s are skipped) that run under a seccomp filter, and to all that
 * descend from them.  orphans: also to children of this process that run under more filters than it does itself, which
 * are orphans when it is their reaper (PR_SET_CHILD_SUBREAPER); they are waited for.  Async-signal-safe. */
void family_kill(const pid_t *ids, size_t n, bool orphans);

#endif
