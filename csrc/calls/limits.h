/* limits.h - the resource limits that the supervisor keeps for itself, and those that it has to obey for a tracee.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LIMITS_H
#define PTOVERLAY_LIMITS_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* RLIM_INFINITY is the same number in all of the kernel's interfaces of a 64-bit machine. */
_Static_assert(RLIM_INFINITY == UINT64_MAX && sizeof(struct rlimit) == 16, "prlimit64");

/* A limit of a process, by the id of it or of one of its threads.  0, or -errno: it is gone. */
int limit_get(pid_t pid, int resource, struct rlimit *limit);
/* In the child that becomes CMD, before it is trapped: from now on the kernel writes no core for it.  0, or -errno. */
int limits_hold(void);
/* The limit RLIMIT_LOCKS with another mark and what it tells of RLIMIT_CORE. */
struct rlimit limits_marked(const struct rlimit *locks, uint64_t mark);

#endif
