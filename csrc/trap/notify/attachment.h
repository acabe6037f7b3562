/* attachment.h - a notified call that the tracee runs with other arguments, stop by stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ATTACHMENT_H
#define PTOVERLAY_ATTACHMENT_H

#include "../../arch/arch.h"

struct caller;
struct request;
struct worker;

enum attachment_phase {
    PHASE_INTERRUPT,    /* until the first stop */
    PHASE_MAP_ENTRY,    /* the mmap for us */
    PHASE_MAP_EXIT,
    PHASE_ENTRY,        /* the call */
    PHASE_EXIT,
    PHASE_OVER,
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
    long error;                 /* why the call cannot be made */
};

/* All by the thread that traces the tracee.  After PTRACE_INTERRUPT, which comes first: answers, so that it stops. */
void attachment_begin(struct attachment *at);
/* At a stop: resumes it, unless the call is over (PHASE_OVER). */
void attachment_stop(struct attachment *at, pid_t tid, int status);
/* The call is over, or the tracee dead: ends it.  The tracee, if alive, is still to be resumed. */
void attachment_end(struct attachment *at);

#endif
