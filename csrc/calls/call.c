/* call.c - from a trapped call to its handler, and what a call holds meanwhile.
 *
 * Rules: whatever a handler took (the view, a short name, memory) is given back here, so that no handler can
 * forget it; the scratch of a call that ended is used again, so a call that changes nothing allocates nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../view/view.h"
#include "call.h"
#include "flags.h"
#include "fixed/births.h"
#include "fixed/fixed.h"
#include "fixed/objects.h"
#include "handlers/open.h"
#include "host/host.h"
#include "programs/programs.h"
#include "scratch.h"
#include "session.h"
#include "table.h"
#include "tasks/nest.h"
#include "tasks/task.h"
#include "verdict.h"

static void reset(struct call *call) {
    call->row = table_row(call->nr);
    call->memory.tid = call->task->tid;
    call->verdict = VERDICT_PASS;
    call->value = 0;
    call->n_replacements = 0;
    memset(call->replacements, 0, sizeof call->replacements);
    call->new_nr = -1;
    call->finish = NULL;
    call->open_flags = 0;
    call->open_mode = 0;
    call->open_path = NULL;
    call->repeat = NULL;
    call->repeat_length = 0;
    call->repeat_at = NULL;
    call->wants = call->brought = -1;
    call->handed = false;
    call->made = false;
    call->alone = false;
    call->watch_exit = false;
    call->any_time = call->lasts = false;
    call->kill = false;
    call->reason = NULL;
    call->foreign = false;
    call->trace_path = NULL;
    call->scratch = NULL;
}

static bool row_reads(const struct call_row *row, const uint64_t arg[6]) {
    return row->reads == READS_ALWAYS ||
           (row->reads == READS_BY_FLAGS && !open_may_change((int)arg[row->operand[0].path + 1]));
}

/* Nothing behind the trap keeps a tracee from truncating what a path leads to. */
static bool is_cut(const struct call *call) {
    const struct call_row *row = call->row;
    return call->verdict == VERDICT_PASS && row->contents != CONTENTS_STAY && !row_reads(row, call->arg);
}

static void decide(struct call *call) {
    reset(call);
    if (!nest_enter(call))
        return;
    if (call->compat && !compat_begin(call))
        return;
    if (!call->row)
        return verdict_answer(call, -ENOSYS);
    if (!call->row->handler)
        return verdict_answer(call, -call->row->filter_errno);
    call->scratch = session_take_scratch(call->session);
    if (!call->scratch)
        return verdict_answer(call, -ENOMEM);
    if (call->session->fixed)
        births_meet(call);
    call->row->handler(call);
    if (is_cut(call))
        verdict_refuse(call, EPERM, "what may change contents is not passed");
    if (call->compat == COMPAT_SOCKETS)
        compat_sockets_decided(call);
    if (fixed_has(call->session, PTO_BUILD_FILES))
        objects_changed(call);
    if (fixed_has(call->session, PTO_BUILD_INPUTS))
        fixed_missing(call);
    verdict_leave_view(call);
}

bool call_is_open(int nr) {
    const struct call_row *row = table_row(nr);
    return row && row->contents == CONTENTS_OPENED;
}

bool call_reads(const struct call *call) {
    const struct call_row *row = table_row(call->nr);
    return row && row_reads(row, call->arg);
}

bool call_repeats(int nr, const uint64_t arg[6], unsigned *path, uint64_t *key) {
    const struct call_row *row = table_row(nr);
    if (!row || !row->repeats || !row_reads(row, arg))
        return false;
    uint64_t at = row->at_flags == NO_ARG ? 0 : arg[row->at_flags] << 32;
    if ((at >> 32) & AT_EMPTY_PATH)   /* there is hardly ever a path */
        return false;
    *path = (unsigned)row->operand[0].path;
    *key = row->repeats == REPEATS_ALONE ? at : at | (uint32_t)arg[row->repeats];
    return true;
}

static void let_go_of_all(struct call *call) {
    struct call_scratch *scratch = call->scratch;
    if (scratch && scratch->made)
        nest_made_end(call, false);
    nest_leave(call);
    if (call->brought >= 0)
        close(call->brought);
    call->brought = -1;
    if (!scratch)
        return;
    call->scratch = NULL;
    if (scratch->generation) {
        __atomic_add_fetch(scratch->generation, 1, __ATOMIC_SEQ_CST);
        __atomic_sub_fetch(scratch->pending, 1, __ATOMIC_SEQ_CST);
    }
    if (scratch->short_name >= 0)
        programs_unshorten(call->session, scratch->short_name);
    while (scratch->reach.count > 0)
        programs_unshorten(call->session, scratch->reach.numbers[--scratch->reach.count]);
    if (scratch->writing)
        view_writing(call->view, -1);
    scratch->writing = false;
    if (scratch->growth)
        view_grown(call->view, scratch->growth, scratch->grows);
    scratch->growth = NULL;
    view_open_drop(&scratch->plan);
    host_drop(&scratch->host[0]);
    host_drop(&scratch->host[1]);
    free(scratch->owned[0]);
    free(scratch->owned[1]);
    session_give_scratch(call->session, scratch);
}

/* A change that had to let go of the view is decided anew, from the path on. */
void call_begin(struct call *call) {
    decide(call);
    while (call->verdict == VERDICT_RETURN && call->value == -VIEW_AGAIN) {
        let_go_of_all(call);
        decide(call);
    }
}

long call_finish(struct call *call, long result) {
    if (!call->finish)
        return result;
    result = call->finish(call, result);
    verdict_leave_view(call);
    return result;
}

void call_end(struct call *call) {
    view_free_copies(call->copied);
    call->copied = NULL;
    let_go_of_all(call);
}
