/* renew.h - a task replaces its stale descriptors, stop by stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_RENEW_H
#define PTOVERLAY_RENEW_H

#include "../../arch/arch.h"
#include "exchange.h"
#include "stale.h"

enum renew_step {
    RENEW_ASKED,        /* PTRACE_INTERRUPT was sent, its stop is to come */
    RENEW_MAP,          /* from here on: the call that the task is made to run */
    RENEW_SOCKETS,
    RENEW_CONNECT,
    RENEW_HAND,
    RENEW_RECEIVE,
    RENEW_REPLACE,
    RENEW_CLOSE,
    RENEW_LOCK,
    RENEW_UNMAP,
    RENEW_BACK,         /* as ASKED, with nothing left to do but to put the registers back */
    RENEW_OVER,
};

struct renewer {
    struct stale *stale;
    enum renew_step step;
    size_t at;                  /* in a step that is made several times */
    struct registers own;       /* as the task was stopped */
    int own_nr;
    uint64_t instruction;       /* address of a system call instruction in the task */
    uint64_t signal_mask;       /* its own */
    uint64_t area;              /* memory of the task's */
    int sockets[2];             /* descriptors of the task's, -1 before and after */
    int listener;               /* ours, to which the task hands its descriptors over; -1: we can take them */
    int peer;                   /* ours: the other end of its connection, -1 before */
    socklen_t name_length;      /* of `name` */
    struct sockaddr_un name;    /* of the listener */
    size_t n_received;
    int received[STALE_MOST];   /* descriptors of the task's, as renewal.replaced */
    unsigned n_done;            /* descriptors that were replaced */
    bool entered;               /* the call that it runs was seen at its entry */
    int held_signal;            /* to be sent again: it came in between; 0 */
    struct renewal renewal;
    bool begun;                 /* atomic: it has stopped, and may be in a call of ours */
};

/* Asks a traced task to stop.  -errno: it is gone. */
int renew_ask(struct renewer *renewer, struct stale *stale, pid_t tid);
/* Has it stopped since?  By any thread. */
bool renew_begun(const struct renewer *renewer);
/* At a stop of the task.  True: the stop was for the renewal, and the task runs on, unless the step is now
 * RENEW_OVER: then it is in a PTRACE_EVENT_STOP and the caller resumes it.  False: it is still asked, and the caller
 * serves the stop. */
bool renew_stop(struct renewer *renewer, pid_t tid, int status);
/* What it holds of ours; when it is over, or the task is gone. */
void renew_clear(struct renewer *renewer);

#endif
