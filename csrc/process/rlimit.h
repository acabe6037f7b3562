/* rlimit.h - the resource limits of a process.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RLIMIT_H
#define PTOVERLAY_RLIMIT_H

#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* RLIM_INFINITY is the same number in all of the kernel's interfaces of a 64-bit machine. */
_Static_assert(RLIM_INFINITY == UINT64_MAX && sizeof(struct rlimit) == 16, "prlimit64");

/* A limit of a process, by the id of it or of one of its threads: RLIMIT_CORE, RLIMIT_LOCKS, RLIMIT_FSIZE,
 * RLIMIT_NOFILE or RLIMIT_RSS. 0, or -errno: it is gone. */
int rlimit_get(pid_t pid, int resource, struct rlimit *limit);

#endif
