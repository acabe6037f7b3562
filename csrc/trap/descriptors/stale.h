/* stale.h - descriptors of a lower file that has got a copy in the upper, and what is to be in their place.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_STALE_H
#define PTOVERLAY_STALE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "../../view/view.h"

/* An open file description of the lower file, and the one of the copy that takes its place everywhere. */
struct description {
    struct description *next;
    int stale;              /* descriptors of ours */
    int fresh;
    bool ahead;             /* fresh was opened for its locks, before anybody who has the other stood still */
};

/* What is to be replaced in a while; zeroed: nothing. */
struct stale {
    struct copied_up *files;            /* owned */
    struct description *descriptions;   /* those met until now */
};
/* The files are its own from now on. */
void stale_add(struct stale *stale, struct copied_up *files);
void stale_clear(struct stale *stale);

/* A descriptor of a task, and ours that is to be in its place. */
struct replaced {
    int number;
    bool close_on_exec;
    int fresh;
};
/* A lock of fcntl(2), F_SETLK, that the process has by this descriptor; it belongs to no description. */
struct process_lock {
    int number;
    struct flock lock;
};
#define STALE_MOST 32       /* replaced at a time */
struct renewal {
    size_t n_replaced, n_locks;
    struct replaced replaced[STALE_MOST];
    struct process_lock locks[STALE_MOST];
};

/* How many stale descriptors the task has; 0 if they cannot be seen.  For a task that is running, that may have
 * been. */
unsigned stale_count(const struct stale *stale, pid_t tid);
/* Is this one of its descriptors stale? */
bool stale_is(const struct stale *stale, pid_t tid, int number);
/* The task's stale descriptors, STALE_MOST at most; it must be in a stop. */
void stale_find(const struct stale *stale, pid_t tid, struct renewal *renewal);
/* Takes the locks of the task's descriptions on the copies, before it stands still: nobody else gets them, even where
 * it is not waited for.  Not where we may not take its descriptors (pidfd_getfd(2)). */
void stale_hold(struct stale *stale, pid_t tid);
/* Opens what is to be in the place of those: same position, status flags, flock(2) and OFD locks.  copies: ours of
 * them (-1: none), its own from now on.  What cannot be had is left out. */
void stale_open(struct stale *stale, pid_t tid, struct renewal *renewal, const int copies[STALE_MOST]);

#endif
