/* attachment.h - a notified call that the tracee runs with other arguments, stop by stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ATTACHMENT_H
#define PTOVERLAY_ATTACHMENT_H

#include "../../arch/arch.h"

struct caller;
struct passing;
struct request;
struct worker;

enum attachment_phase {
    PHASE_INTERRUPT,    /* until the first stop */
    PHASE_MAP_ENTRY,    /* the mmap for us */
    PHASE_MAP_EXIT,
    PHASE_PASS_ENTRY,   /* one that passes a descriptor to us */
    PHASE_PASS_EXIT,
    PHASE_ENTRY,        /* the call */
    PHASE_EXIT,
    PHASE_OVER,
};

struct attachment;
/* What is done at the first stop instead of the call, which is made again. */
struct attachment_visit {
    void (*begin)(struct attachment *at);               /* before the answer: the task waits for it */
    /* *signal: what it is to be resumed with.  -ESRCH: it is dead, and not reaped. */
    int (*stop)(struct attachment *at, int *signal);
};

struct attachment {
    struct attachment *next;    /* the tender's … */
    struct request *request;
    struct worker *worker;
    struct caller *caller;
    pid_t tid;
    uint64_t ip;                /* behind the system call instruction */
    enum attachment_phase phase;
    struct registers regs;      /* as the tracee made the call */
    uint64_t signal_mask;       /* its own */
    uint64_t area;              /* scratch memory of the tracee's, claimed for this call; 0: none */
    struct passing *passing;    /* of the descriptor that the call wants, or NULL */
    long error;                 /* why the call cannot be made */
    const struct attachment_visit *visit;   /* NULL: the call is run */
    int visit_fds[2];           /* the visit's own: descriptors in the tracee */
    int signal;                 /* once it is over: what the tracee is resumed with; 0: nothing */
};

/* All by the thread that traces the tracee.  After PTRACE_INTERRUPT, which comes first: answers, so that it stops. */
void attachment_begin(struct attachment *at);
/* At a stop: resumes it, unless the call is over (PHASE_OVER). */
void attachment_stop(struct attachment *at, pid_t tid, int status);
/* The call is over, or the tracee dead: ends it.  The tracee, if alive, is still to be resumed. */
void attachment_end(struct attachment *at);

#endif
