/* limits.h - the resource limits that the supervisor keeps for itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LIMITS_H
#define PTOVERLAY_LIMITS_H

#include <stdint.h>
#include <sys/resource.h>

#define LIMITS_NO_CORE 1   /* bytes */
static inline rlim_t limits_least(rlim_t a, rlim_t b) {
    return a < b ? a : b;
}

/* In the child that becomes CMD, before it is trapped: from now on the kernel writes no core for it.  0, or -errno. */
int limits_hold(void);
/* The soft RLIMIT_CORE that the tracee knows, by its RLIMIT_LOCKS: the most that this can hold stands for no limit. */
rlim_t limits_core(const struct rlimit *locks);
/* The limit RLIMIT_LOCKS with another mark and what it tells of RLIMIT_CORE. */
struct rlimit limits_marked(const struct rlimit *locks, uint64_t mark);

#endif
