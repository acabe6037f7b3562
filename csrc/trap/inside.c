/* inside.c - answers inside of tracees, for both traps.
 *
 * Rules: what is called here is called while the task waits for its answer, so that its memory and its directory are
 * as the call found them.  A program gets a stub once, or never.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "inside.h"

#include <linux/prctl.h>
#include <linux/sched.h>

#include "../arch/numbers.h"
#include "../calls/scratch.h"
#include "../calls/tasks/task.h"
#include "../command/run.h"

bool inside_possible(const struct run *run) {
    return untouched_wanted(&run->untouched) && __atomic_load_n(&run->trace_fd, __ATOMIC_RELAXED) < 0 &&
           __atomic_load_n(&run->session.n_nests, __ATOMIC_RELAXED) == 0;
}

uint64_t inside_generation(const struct run *run) {
    return untouched_generation(&run->untouched);
}

bool inside_due(const struct run *run, struct inside *inside) {
    return inside_possible(run) && untouched_due(&run->untouched, inside);
}

/* What stubs note of opened files all of them may write: another user's program would mislead ours by it. */
static bool is_own(const struct task *task) {
    return task->cred_known && task->cred.own;
}

/* Nothing is executed: the name is not there. */
static bool executes_nothing(const struct call *call) {
    return call->nr == __NR_execve && call->scratch && call->scratch->loc[0].type == 0;
}

static enum inside_next enter(struct untouched *untouched, const struct task *task, struct inside *inside) {
    if (!is_own(task) || untouched_here(inside, task->tid))
        return INSIDE_NOTHING;
    inside->never = true; /* it is tried once */
    return untouched_ready(untouched) && untouched_can_enter(untouched, task->tid) ? INSIDE_ENTER : INSIDE_NOTHING;
}

enum inside_next inside_learn(struct run *run, struct call *call, struct inside *inside, uint64_t ip) {
    struct untouched *untouched = &run->untouched;
    pid_t tid = call->task->tid;
    inside->same = executes_nothing(call);
    if (!inside_possible(run) || call->watch_exit || !(inside->same || call_reads(call)))
        return INSIDE_NOTHING;
    untouched_learn(untouched, call, inside);
    untouched_note(untouched, call);
    if (inside->here)
        return untouched_new_site(inside, tid, ip) ? INSIDE_PATCH : INSIDE_NOTHING;
    return untouched_due(untouched, inside) ? enter(untouched, call->task, inside) : INSIDE_NOTHING;
}

enum inside_next inside_spawned(struct run *run, const struct call *call, struct inside *inside) {
    return inside_possible(run) && !inside->here && !inside->never ? enter(&run->untouched, call->task, inside)
                                                                   : INSIDE_NOTHING;
}

/* Another process than a thread, or than a child whose parent stands still, is to have its memory or its directory. */
static bool shares(uint64_t flags) {
    return (flags & (CLONE_VM | CLONE_VFORK | CLONE_THREAD)) == CLONE_VM || (flags & (CLONE_VM | CLONE_FS)) == CLONE_FS;
}

/* What only the upper has is answered, and not passed. */
static void learn_own(struct run *run, struct call *call, struct inside *inside) {
    if (call->verdict == VERDICT_PASS || call->watch_exit || !call->scratch || !inside_possible(run) ||
        !(call_reads(call) || call->nr == __NR_getdents64))
        return;
    if (inside->calls < UINT16_MAX)
        inside->calls++;
    untouched_learn_own(&run->untouched, call, inside);
}

void inside_before(struct run *run, struct call *call, struct inside *inside) {
    struct untouched *untouched = &run->untouched;
    if (__atomic_load_n(&run->session.n_nests, __ATOMIC_RELAXED))
        untouched_stop_all(untouched);
    if (call->nr == __NR_clone && call->verdict != VERDICT_RETURN && shares(call->arg[0]))
        untouched_stop_all(untouched);
    else if (call->nr == __NR_chdir || call->nr == __NR_fchdir)
        untouched_moves(untouched, call->task->tid);
    else if (call->nr == __NR_seccomp || (call->nr == __NR_prctl && (uint32_t)call->arg[0] == PR_SET_SECCOMP))
        untouched_stop(untouched, call->task->tid);
    else
        learn_own(run, call, inside);
}
