/* scratch.h - what a call holds from call_begin to call_end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SCRATCH_H
#define PTOVERLAY_SCRATCH_H

#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "args.h"
#include "host/host.h"
#include "programs/programs.h"
#include "shown/sockets.h"
#include "../view/view.h"

/* Where a function needs the view entered, as HELD() in lock.h. */
#ifdef PTO_CHECK_LOCKS
#define ENTERED(call) ((call)->scratch->entered ? (void)0 : __builtin_trap())
#else
#define ENTERED(call) ((void)sizeof(call))
#endif

struct call_scratch {
    struct call_scratch *next;
    bool entered;               /* we hold view_lock */
    bool exec_patch;            /* exec: AT_EXECFN is to be changed */
    int short_name;             /* in the run's directory: of a socket address, of a text; -1: none */
    struct reach reach;         /* … of the path that the tracee gets, which is … */
    char reached[PATH_MAX];
    uint64_t *generation;       /* verdict_watch() */
    unsigned *pending;
    void *owned[2];             /* freed by call_end */
    const struct cred *cred;    /* who walks, NULL: the task as it is */
    struct walker walker;
    struct given given[2];
    struct location loc[2];
    struct location start;
    struct location spare;      /* of magic_link() */
    struct host host[2];
    const char *link;           /* of /proc, by which the object to open was found; NULL: by its path … */
    struct stat leads;          /* … and what it was */
    const char *attribute;      /* the extended one that the call sets or removes; NULL: none … */
    const void *value;          /* … and what it becomes */
    size_t value_size;          /* 0: it is removed, or is empty */
    bool touches;               /* both times become now */
    uint64_t waits;             /* fixed/clock.c: nanoseconds */
    bool writing;               /* view_writing() was told */
    struct view_growth *growth; /* handlers/grow.c: what the call may add … */
    uint64_t grows;             /* … wherever it is */
    struct open_plan plan;
    struct open_how how;
    char real[VIEW_PATH_MAX];
    char text[VIEW_PATH_MAX];
    struct address asked;       /* of a socket, as the tracee gave it */
    struct address address;     /* … and as the kernel gets it */
    struct nest *made;          /* tasks/nest.c: a mount namespace that the call makes */
    int size;                   /* of the tracee's buffer for an address */
};

#endif
