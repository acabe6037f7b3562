/* inside.c - answers inside of tracees, by the notify trap: untouched/ knows what, here is when.
 *
 *     seize, interrupt, descriptors, answer -ERESTARTSYS ─▶ PTRACE_EVENT_STOP ─▶ the stub is brought in
 *     … ─▶ back to the instruction, detach: the call is made again
 *
 * Rules: as in attach.c.  Where anything is not as expected the call is made again as it was, and the program goes on
 * without.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include "../../arch/arch.h"
#include "../../untouched/untouched.h"
#include "../inside.h"
#include "attach.h"
#include "attachment.h"
#include "inside.h"
#include "trap.h"
#include "worker.h"

#define ACTIONS_MANY 40u    /* of two children and a bit */
#define STEP 64u

/* In that stop.  0, or -errno: -ESRCH: it is dead.  *signal: what it is to be resumed with. */
static int bring_in(struct attachment *at, int *signal) {
    struct registers stopped, base;
    struct entering entering;
    struct untouched *untouched = &at->worker->trap->run->untouched;
    pid_t tid = at->tid;
    int call_nr = at->caller->call.nr, error = registers_read(tid, &stopped);
    if (error)
        return error;
    base = stopped;
    bool again = registers_at_interrupted(&stopped, call_nr, at->ip);
    int nr = arch_call_number(tid, &base);
    registers_set_ip(&base, at->ip); /* behind a system call instruction, whatever came between */
    error = entering_begin(&entering, tid, &base);
    if (error)
        return error;
    error = untouched_enter(untouched, &entering, &at->caller->inside, at->visit_fds[0], at->visit_fds[1]);
    if (error == -ESRCH)
        return error;
    *signal = entering_end(&entering);
    if (again) {
        registers_rewind(&stopped, call_nr);
        nr = -1;
    }
    int written = registers_write(tid, &stopped, nr);
    return written ? written : error;
}

static void hand_over(struct attachment *at) {
    const struct table *table = &at->worker->trap->run->untouched.table;
    struct reply *reply = &at->worker->reply;
    at->visit_fds[0] = reply_hand_over(reply, table->image, O_CLOEXEC);
    at->visit_fds[1] = at->visit_fds[0] < 0 ? -1 : reply_hand_over(reply, table->notes_image, O_CLOEXEC);
}

static int enter(struct attachment *at, int *signal) {
    int error = bring_in(at, signal);
    untouched_entered(&at->worker->trap->run->untouched, &at->caller->inside, error);
    return error;
}

/* True: the call has been answered. */
static bool bring_stub(struct worker *worker, struct caller *caller) {
    static const struct attachment_visit visit = {hand_over, enter};
    if (reply_awaited(&worker->reply) != 0)
        return false;
    bool answered = attach_visit(worker, caller, &visit);
    if (!answered)
        untouched_failed(&worker->trap->run->untouched, -EPERM);
    return answered;
}

/* Without a lock: who is taken for another one costs time, nothing else. */
void inside_acted(struct worker *worker, pid_t tid, uint64_t ip) {
    struct spawner *spawner = &worker->trap->spawners.of[ip / STEP % SPAWNERS];
    bool same = __atomic_exchange_n(&spawner->ip, ip, __ATOMIC_RELAXED) == ip;
    uint32_t actions = same ? __atomic_load_n(&spawner->actions, __ATOMIC_RELAXED) + 1 : 1;
    __atomic_store_n(&spawner->actions, actions, __ATOMIC_RELAXED);
    __atomic_store_n(&spawner->last, tid, __ATOMIC_RELAXED);
}

static bool spawns(const struct spawners *spawners, pid_t tid) {
    for (unsigned i = 0; i < SPAWNERS; i++) {
        const struct spawner *spawner = &spawners->of[i];
        if (__atomic_load_n(&spawner->last, __ATOMIC_RELAXED) == tid)
            return __atomic_load_n(&spawner->actions, __ATOMIC_RELAXED) >= ACTIONS_MANY;
    }
    return false;
}

static enum inside_next next_of(struct worker *worker, struct caller *caller) {
    struct run *run = worker->trap->run;
    struct call *call = &caller->call;
    enum inside_next next = inside_learn(run, call, &caller->inside, worker->reply.request->data.instruction_pointer);
    return call->nr == __NR_execve && next == INSIDE_NOTHING && spawns(&worker->trap->spawners, caller->task.tid)
               ? inside_spawned(run, call, &caller->inside)
               : next;
}

bool inside_passed(struct worker *worker, struct caller *caller) {
    struct run *run = worker->trap->run;
    switch (next_of(worker, caller)) {
    case INSIDE_ENTER:
        return bring_stub(worker, caller);
    case INSIDE_PATCH:
        if (reply_awaited(&worker->reply) == 0)
            untouched_patch(&run->untouched, &caller->inside, caller->task.tid,
                            worker->reply.request->data.instruction_pointer);
        break;
    case INSIDE_NOTHING:
        break;
    }
    return false;
}

/* ---- what changes it ---- */

void inside_traced(const struct worker *worker, pid_t tid) {
    untouched_stop(&worker->trap->run->untouched, tid);
}
