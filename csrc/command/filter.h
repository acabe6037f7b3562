/* filter.h - the seccomp program that brings the calls of the table to the supervisor.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FILTER_H
#define PTOVERLAY_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILTER_MAX 4096   /* BPF_MAXINSNS */
#define FILTER_FOREIGN                                                                                                 \
    1u /* what a tracer hears (PTRACE_GETEVENTMSG) of a call that another architecture's table would have */

struct filter {
    struct sock_filter code[FILTER_MAX];
    size_t length;
};

/* A call that the trap itself wants to see, whether or not it is in the table: when (argument & mask) != 0, or when the
 * argument's low 32 bits are one of values (ended by 0). */
struct filter_extra {
    int nr;
    unsigned arg;
    uint64_t mask;              /* values NULL */
    const uint32_t *values;
    bool zero;                  /* 0 is one of them, too */
    unsigned given;             /* n + 1: and only if argument n is not 0; 0: whatever the others are */
    uint64_t cookie;            /* not 0, with a mask: and where argument 2 is this, a listener hears of it instead */
};

/* Builds the program; trap is the action for trapped calls (SECCOMP_RET_TRACE or SECCOMP_RET_USER_NOTIF); reading calls
 * that are made from passing_ip are let pass (0: none); features: the run's, PTO_FEATURE_*.  0, or -E2BIG when the
 * table does not fit. */
int filter_make(struct filter *filter, uint32_t trap, uint64_t passing_ip, unsigned features,
                const struct filter_extra *extras, size_t n_extras);

#endif
