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
#include <linux/prctl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "../../arch/arch.h"
#include "../../arch/numbers.h"
#include "../../untouched/untouched.h"
#include "cmd.h"
#include "hand_over.h"
#include "inside.h"
#include "seize.h"
#include "trap.h"
#include "worker.h"

/* With a trace each call has its record; a view within the view decides otherwise. */
static bool may_bring_in(const struct run *run) {
    return untouched_wanted(&run->untouched) && __atomic_load_n(&run->trace_fd, __ATOMIC_RELAXED) < 0 &&
           __atomic_load_n(&run->session.n_nests, __ATOMIC_RELAXED) == 0;
}

bool inside_due(const struct worker *worker, struct caller *caller) {
    const struct run *run = worker->trap->run;
    return may_bring_in(run) && untouched_due(&run->untouched, &caller->inside);
}

uint64_t inside_generation(const struct worker *worker) {
    return untouched_generation(&worker->trap->run->untouched);
}

/* ---- the way in ---- */

/* The stop that was asked for; signals before it are delivered.  False: it is dead. */
static bool wait_stopped(const struct worker *worker, pid_t tid) {
    for (;;) {
        int status;
        pid_t stopped = wait4(-1, &status, __WALL | __WNOTHREAD, NULL);
        if (stopped < 0 && errno == EINTR)
            continue;
        if (stopped > 0 && !WIFSTOPPED(status))
            cmd_reaped(worker->trap, stopped, status);
        if (stopped < 0 || !WIFSTOPPED(status))
            return false;
        if (status >> 16 == PTRACE_EVENT_STOP)
            return true;
        if (ptrace(PTRACE_CONT, tid, NULL, status >> 16 ? 0L : (long)WSTOPSIG(status)) < 0)
            return false;
    }
}

/* In that stop.  0, or -errno: -ESRCH: it is dead. */
static int bring_in(struct worker *worker, struct caller *caller, int table_fd, int notes_fd) {
    struct registers stopped, base;
    const struct seccomp_data *data = &worker->reply.request->data;
    pid_t tid = caller->task.tid;
    int error = registers_read(tid, &stopped);
    if (error)
        return error;
    base = stopped;
    bool again = registers_at_interrupted(&stopped, data->nr, data->instruction_pointer);
    int nr = arch_call_number(tid, &base);
    registers_set_ip(&base, data->instruction_pointer); /* behind a system call instruction, whatever came between */
    error = untouched_enter(&worker->trap->run->untouched, tid, &base, table_fd, notes_fd);
    if (error == -ESRCH)
        return error;
    if (again) {
        registers_rewind(&stopped, data->nr);
        nr = -1;
    }
    int written = registers_write(tid, &stopped, nr);
    return written ? written : error;
}

/* True: the call has been answered. */
static bool bring_stub(struct worker *worker, struct caller *caller) {
    struct notify_trap *trap = worker->trap;
    pid_t tid = caller->task.tid;
    if (reply_awaited(&worker->reply) != 0 || !seize(trap, tid))
        return false;
    int table_fd = hand_over(&worker->reply, trap->run->untouched.table.image, O_CLOEXEC);
    int notes_fd = table_fd < 0 ? -1 : hand_over(&worker->reply, trap->run->untouched.table.notes_image, O_CLOEXEC);
    __atomic_store_n(&caller->continued, true, __ATOMIC_RELAXED);
    __atomic_store_n(&caller->attached, true, __ATOMIC_SEQ_CST);
    reply_value(&worker->reply, -ERESTARTSYS);
    if (wait_stopped(worker, tid)) {
        int error = bring_in(worker, caller, table_fd, notes_fd);
        caller->inside.here = caller->inside.asked = error == 0;
    }
    call_end(&caller->call);
    callers_leave(&trap->callers, caller);
    seize_end(trap, tid);   /* dead: it is reaped */
    return true;
}

/* Text that was mapped later, by dlopen(3) or since the stub came before the C library, calls for the first time: the
 * task, which is alone, waits for its answer meanwhile. */
static void patch_later(struct worker *worker, struct caller *caller) {
    struct untouched *untouched = &worker->trap->run->untouched;
    uint64_t ip = worker->reply.request->data.instruction_pointer;
    if (untouched_new_site(&caller->inside, caller->task.tid, ip) && reply_awaited(&worker->reply) == 0)
        untouched_patch(untouched, caller->task.tid);
}

bool inside_passed(struct worker *worker, struct caller *caller) {
    struct run *run = worker->trap->run;
    struct untouched *untouched = &run->untouched;
    struct inside *inside = &caller->inside;
    const struct call *call = &caller->call;
    if (!may_bring_in(run) || call->watch_exit || !call_reads(call))
        return false;
    untouched_learn(untouched, &caller->call, inside);
    if (inside->here)
        patch_later(worker, caller);
    if (!untouched_due(untouched, inside) || untouched_here(inside, caller->task.tid))
        return false;
    inside->never = true; /* it is tried once */
    return untouched_ready(untouched) && untouched_can_enter(caller->task.tid) && bring_stub(worker, caller);
}

/* ---- what changes it ---- */

void inside_decided(const struct worker *worker, const struct caller *caller) {
    const struct call *call = &caller->call;
    struct untouched *untouched = &worker->trap->run->untouched;
    if (__atomic_load_n(&worker->trap->run->session.n_nests, __ATOMIC_RELAXED))
        untouched_stop_all(untouched);
    if (call->nr == __NR_clone && call->verdict == VERDICT_PASS)
        untouched_stop_all(untouched);   /* its memory or its directory are to be another process's too */
    else if (call->nr == __NR_chdir || call->nr == __NR_fchdir)
        untouched_moves(untouched, caller->task.tid);
    else if (call->nr == __NR_seccomp || (call->nr == __NR_prctl && (uint32_t)call->arg[0] == PR_SET_SECCOMP))
        untouched_stop(untouched, caller->task.tid);
}

void inside_traced(const struct worker *worker, pid_t tid) {
    untouched_stop(&worker->trap->run->untouched, tid);
}
