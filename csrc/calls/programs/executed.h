/* executed.h - programs that were passed to execve(2) as they lie in a lower.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_EXECUTED_H
#define PTOVERLAY_EXECUTED_H

#include <stdbool.h>
#include <stdint.h>

struct call;
struct location;

#define EXECUTED_PROGRAMS 64u /* a power of two */
/* Of a session, under the view's lock. */
struct executed {
    uint64_t changes; /* view_changes() */
    uint32_t dentry;  /* 0: none */
    bool plain;       /* neither set-id bits nor capabilities */
};
/* A program of 64 bits that the kernel finds with all that it takes, where loc is. */
void executed_keep(const struct call *call, const struct location *loc, bool plain);
/* Does it still?  *plain: as told before. */
bool executed_find(const struct call *call, const struct location *loc, bool *plain);

#endif
