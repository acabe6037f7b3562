/* slot.h - where other threads find a run: its CMD, and what that has left.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SLOT_H
#define PTOVERLAY_SLOT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct start;

/* A run as pto_signal and the others find it.  pto_signal may be called from a signal handler, so it takes no lock: it
 * counts itself among the users and the run's end waits until there are none. */
struct slot {
    _Atomic(const void *) owner;  /* the view or the nested run; NULL: free */
    atomic_int pidfd;             /* of CMD; -1: not started, and then report means nothing */
    pid_t pid;
    atomic_uint users;
    atomic_uint_fast64_t pending; /* signals to be sent, 1 << (signal - 1) */
    atomic_bool over;             /* the report may have been read */
    atomic_uint_fast64_t
        ended;   /* when CMD was waited for (clock_now), while what it left may be asked for; 0: not so */
    const pid_t *ids;             /* of what it left, NULL: it is traced */
    size_t n_ids;
    pid_t tracer;                 /* the thread that told of CMD's end */
    uint32_t nested;              /* … or is in this nest */
    atomic_int ask;               /* of a guest: where the supervisor tells of what is left; 0: nowhere */
    int report;                   /* where CMD tells that it cannot become the command */
    int report_in_cmd;            /* the other end, among CMD's descriptors: its execve closes it … */
    ino_t report_ino;             /* … and its inode */
};

/* For a run that begins; NULL: too many at a time. */
struct slot *slot_claim(const void *owner);
void slot_release(struct slot *slot);

/* The run of a view; slot_leave() when done with it. NULL: there is none. Async-signal-safe, as is slot_deliver(). */
struct slot *slot_enter(const void *owner);
void slot_leave(struct slot *slot);
/* Sends the signals that are pending. 0, or -errno. */
int slot_deliver(struct slot *slot, int pidfd);

/* pto_signal and pto_began reach CMD from here on (0, or -errno); signals sent before that are delivered now. */
int slot_announce(struct slot *slot, const struct start *start);
/* CMD has been waited for: pto_left tells what is left, which the notify trap knows by these ids (ptrace: NULL, by
 * who traces them), or which is in the nest.  Before the ids are no more: slot_forget_left. */
void slot_cmd_ended(struct slot *slot, uint32_t nested, const pid_t *ids, size_t n);
void slot_forget_left(struct slot *slot);
/* What CMD may have reported is about to be read. */
void slot_over(struct slot *slot);

#endif
