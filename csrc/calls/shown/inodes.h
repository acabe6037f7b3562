/* inodes.h - files that a descriptor shows as they lie in a lower.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INODES_H
#define PTOVERLAY_INODES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct target;

#define SHOWN_INODES 64u    /* a power of two */
#define SHOWN_TWICE 8u
/* Under the view's lock. */
struct shown_inodes {
    struct shown_inode {
        uint64_t changes;   /* view_changes() */
        dev_t dev;
        ino_t ino;          /* 0: nothing is kept here */
    } of[SHOWN_INODES];
    bool asked;
    size_t n_twice;         /* devices that the host shows in two places, of which nothing is kept */
    dev_t twice[SHOWN_TWICE];
};

/* Is the call one of which the file may be known, and its program one that asks for such files? */
bool inodes_may_know(const struct call *call);
/* The call is about its descriptor fd, and that shows what was kept. */
bool inodes_show(struct call *call, int fd);
/* A call about a descriptor is passed; changes: view_changes() before it was decided. */
void inodes_keep(struct call *call, const struct target *target, uint64_t changes);

#endif
