/* attach.c - who traces a caller whose call cannot be answered: the worker, the tender if it does already, or nobody.
 *
 * Rule: a task that a debugger inside holds cannot be attached to (debugged.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "attach.h"

#include <errno.h>

#include "../../arch/arch.h"
#include "attachment.h"
#include "debugged.h"
#include "seize.h"
#include "tender.h"
#include "trap.h"
#include "worker.h"

/* The call does not happen. */
static void refuse_attached(struct worker *worker, struct caller *caller, long error) {
    struct call *call = &caller->call;
    if (call->finish)
        error = call_finish(call, error);
    if (error == -EPERM) {
        call->reason = "a debugger holds the task";
        __atomic_add_fetch(&worker->trap->run->result->stats.refused, 1, __ATOMIC_RELAXED);
    }
    call->value = error;
    callers_done(&worker->trap->callers, caller);
    reply_value(&worker->reply, error);
}

void attach_interrupt(struct worker *worker, pid_t tid) {
    if (reply_awaited(&worker->reply) != 0)
        return;
    if (seize(worker->trap, tid)) {
        reply_value(&worker->reply, -ERESTARTSYS);
        seize_end_at_stop(worker->trap, tid);
    } else if (!tender_interrupt(worker)) {
        reply_value(&worker->reply, -EINTR);   /* a debugger inside holds it */
    }
}

static struct attachment attachment_of(struct worker *worker, struct caller *caller) {
    return (struct attachment){
        .worker = worker,
        .caller = caller,
        .tid = caller->task.tid,
        .ip = worker->reply.request->data.instruction_pointer,
        .error = -ESRCH,
    };
}

/* By the worker, which has seized the task. */
static void follow(struct attachment *at) {
    struct notify_trap *trap = at->worker->trap;
    attachment_begin(at);
    bool alive = seize_follow(at);
    attachment_end(at);
    if (alive)
        seize_end(trap, at->tid, at->signal);
}

bool attach_visit(struct worker *worker, struct caller *caller, const struct attachment_visit *visit) {
    struct attachment at = attachment_of(worker, caller);
    at.visit = visit;
    if (!seize(worker->trap, at.tid))
        return tender_call(&at);
    follow(&at);
    return true;
}

void attach_run(struct worker *worker, struct caller *caller) {
    struct attachment at = attachment_of(worker, caller);
    int error = reply_awaited(&worker->reply);
    if (error == 0 && !seize(worker->trap, at.tid)) {
        if (tender_call(&at) || debugged_run(worker, caller))
            return;
        error = -EPERM;
    }
    if (error) {
        refuse_attached(worker, caller, error);
        return;
    }
    crew_relieve(&worker->trap->crew);
    follow(&at);
}
