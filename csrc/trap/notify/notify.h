/* notify.h - the parts of the notify trap among themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_H
#define PTOVERLAY_NOTIFY_H

#include <linux/seccomp.h>
#include <pthread.h>

#include "borrow.h"
#include "caller.h"
#include "crew.h"
#include "guard.h"
#include "opening.h"
#include "../../command/run.h"
#include "../../command/start.h"
#include "tend.h"

/* As ptrace_run().  With result->stage SETUP nothing of CMD has run: the other trap may be tried. */
int notify_run(struct run *run);

struct notify_trap {
    struct run *run;
    struct start start;
    struct callers callers;
    struct crew crew;
    struct guard guard;
    struct tender tender;
    struct openings openings;
    struct borrowers borrowers;
    int listener;
    int cmd_pidfd;
    bool has_callers, has_crew;   /* were made, and are to be cleared */
    bool ending;                  /* whoever calls is killed */
    bool cmd_reaped;              /* and its status is in the result */
    bool reaper_set;              /* we became the reaper of orphans, and were not */
    int cmd_stop;                 /* the signal by which CMD was found stopped at the last tick, 0: it was not */
};

/* Whether both ends of a notification are woken on the CPU of who wakes them; -errno before Linux 6.6. */
int notify_wake_in_sync(const struct notify_trap *trap, bool sync);

/* A worker that traced it has reaped tid: it may be CMD, for which the run's thread waits. */
void notify_reaped(struct notify_trap *trap, pid_t tid, int status);

/* answer.c: one notification, from its receipt to its answer. */
void answer_request(struct worker *worker);

/* What may be said to a notification; after the last word of it nothing of the caller's may be touched. */
void answer_value(struct worker *worker, long value);      /* value or -errno */
void answer_continue(struct worker *worker);
/* 0: the call is still waiting for its answer; -ESRCH: its thread was killed. */
int answer_awaited(struct worker *worker);

/* Counts the call and ends it, and gives up the caller; what remains is the answer. */
void answer_done(struct worker *worker, struct caller *caller);

/* For a call whose finish may come at any time (call.any_time): it goes on in the kernel. */
void answer_held(struct worker *worker, struct caller *caller);

/* attach.c: the tracee runs the call with other arguments, or is watched until its exit.  Answers. */
void attach_run(struct worker *worker, struct caller *caller);
/* The answer is that the call is to be restarted, after a signal if there is one; the caller has been given up. */
void attach_interrupt(struct worker *worker, pid_t tid);

#endif
