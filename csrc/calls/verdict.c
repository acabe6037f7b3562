/* verdict.c - what a handler does with a call: it enters and leaves the view, and decides.
 *
 * Rules: a handler reads the tracee's memory and takes its credentials first, then enters the view (args_resolve() does
 * that), decides, and leaves the view before it writes to the tracee: nothing that another process can hold up
 * happens inside.  call_begin() leaves a view that a handler has not left.
 * Only reading is ever passed; what changes a place that no overlay covers the supervisor does for the tracee (host.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "../process/memory.h"
#include "../ptoverlay.h"
#include "../view/view.h"
#include "call.h"
#include "scratch.h"
#include "session.h"
#include "tasks/task.h"
#include "verdict.h"

void verdict_enter_view(struct call *call) {
    if (call->scratch->entered)
        return;
    NOT_HELD(&call->session->lock);
    view_lock(call->view);
    view_may_ask_again(call->view);
    call->scratch->entered = true;
}

static void add_copies(struct call *call, struct copied_up *copies) {
    struct copied_up **end = &call->copied;
    while (*end)
        end = &(*end)->next;
    *end = copies;
}

void verdict_leave_view(struct call *call) {
    if (!call->scratch || !call->scratch->entered)
        return;
    call->scratch->entered = false;
    add_copies(call, view_take_copies(call->view));
    view_unlock(call->view);
}

void verdict_writes(struct call *call) {
    ENTERED(call);
    if (!call->scratch->writing)
        view_writing(call->view, 1);
    call->scratch->writing = true;
}

void verdict_answer(struct call *call, long value) {
    call->verdict = VERDICT_RETURN;
    call->value = value;
}

void verdict_answer_bytes(struct call *call, uint64_t address, const void *data, size_t size, long value) {
    verdict_leave_view(call);
    int error = size ? memory_write(&call->memory, address, data, size) : 0;
    verdict_answer(call, error < 0 ? error : value);
}

void verdict_refuse(struct call *call, int error, const char *reason) {
    verdict_answer(call, -error);
    call->reason = reason;
    call->kill = call->flags & PTO_STRICT;
    if (call->session->stats)
        __atomic_add_fetch(&call->session->stats->refused, 1, __ATOMIC_RELAXED);
}

static struct replacement *next_replacement(struct call *call, unsigned arg) {
    struct replacement *replacement = &call->replacements[call->n_replacements++];
    call->verdict = VERDICT_SUBSTITUTE;
    replacement->arg = arg;
    return replacement;
}

void verdict_substitute(struct call *call, unsigned arg, uint64_t value) {
    struct replacement *replacement = next_replacement(call, arg);
    replacement->value = value;
}

void verdict_substitute_bytes(struct call *call, unsigned arg, const void *data, size_t size) {
    struct replacement *replacement = next_replacement(call, arg);
    replacement->bytes = true;
    replacement->data = data;
    replacement->size = size;
}

void verdict_substitute_string(struct call *call, unsigned arg, const char *string) {
    verdict_substitute_bytes(call, arg, string, strlen(string) + 1);
}

long verdict_keep(struct call *call, long result) {
    (void)call;
    return result;
}

void verdict_watch(struct call *call, uint64_t *generation, unsigned *pending) {
    __atomic_add_fetch(pending, 1, __ATOMIC_SEQ_CST);
    call->scratch->generation = generation;
    call->scratch->pending = pending;
    call->watch_exit = true;
    call->any_time = true;
    call->finish = verdict_keep;
}
