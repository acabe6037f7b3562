/* attachment.c - the stops of a notified call that the tracee has to run with other arguments, or that is watched
 * until its exit.
 *
 *     seize, interrupt, answer -ERESTARTSYS ─▶ PTRACE_EVENT_STOP
 *                                                 │  [mmap: entry stop, exit stop]
 *                                                 │  [those that pass a descriptor: the same; then it is over]
 *                                      arguments, back to the instruction
 *                                                 ▼
 *         entry stop ─▶ notified again: continue (answer.c) ─▶ exit stop or PTRACE_EVENT_EXEC ─▶ detach
 *
 * Rules: as in verdict.c: registers are put back, no handler runs between call_begin and the call. A stop that is
 * not where we expect it (a signal came first) means that the call has not happened: nothing is changed and the
 * kernel's restart brings the call anew.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../calls/handlers/exec.h"
#include "../../process/clock.h"
#include "../../process/memory.h"
#include "../descriptors/passing.h"
#include "../inject.h"
#include "../restart.h"
#include "../stops.h"
#include "attachment.h"
#include "trap.h"
#include "worker.h"

#define COOKIE_SIZE 16u /* at the start of an area: tells that it is ours */

/* ---- areas ---- */

static uint64_t cookie[COOKIE_SIZE / sizeof(uint64_t)];
static pthread_once_t cookie_once = PTHREAD_ONCE_INIT;

static void make_cookie(void) {
    if (getrandom(cookie, sizeof cookie, 0) != sizeof cookie)
        cookie[0] = clock_now();
}

static bool is_area(pid_t tid, uint64_t address, uint64_t need) {
    uint64_t found[sizeof cookie / sizeof cookie[0] + 1];
    return memory_read(&MEMORY(tid), address, found, sizeof found) == 0 && memcmp(found, cookie, sizeof cookie) == 0 &&
           found[sizeof cookie / sizeof cookie[0]] >= need;
}

/* The caller's area, found and claimed, or 0. */
static uint64_t find_area(struct attachment *at, size_t need) {
    struct callers *callers = &at->worker->trap->callers;
    uint64_t areas[CALLER_AREAS];
    pthread_once(&cookie_once, make_cookie);
    size_t n = callers_areas(callers, at->caller, areas);
    for (size_t i = 0; i < n; i++)
        if (inject_reaches(at->caller->call.compat, areas[i], need) && is_area(at->tid, areas[i], need) &&
            callers_claim(callers, at->caller, areas[i]))
            return areas[i];
    return 0;
}

#define AREA_HEADER (COOKIE_SIZE + 16u) /* the cookie and the size, aligned */

static int mark_area(pid_t tid, uint64_t address, uint64_t size) {
    uint64_t header[AREA_HEADER / sizeof(uint64_t)] = {0};
    memcpy(header, cookie, sizeof cookie);
    header[sizeof cookie / sizeof cookie[0]] = size;
    return memory_write(&MEMORY(tid), address, header, sizeof header);
}

static size_t area_need(const struct call *call) {
    size_t size = call->wants >= 0 ? passing_size() : inject_size(call);
    return size ? size + AREA_HEADER : 0;
}

/* ---- phases ---- */

static void resume_to_stop(const struct attachment *at, int signal) {
    (void)ptrace(PTRACE_SYSCALL, at->tid, NULL, (long)signal);
}

/* Nothing has happened to the tracee: it goes on as the registers now say. */
static void abandon(struct attachment *at, long error) {
    at->error = error;
    at->phase = PHASE_OVER;
}

/* The tracee is sent back to its system call instruction, with regs and this number. */
static void send_to_call(struct attachment *at, struct registers *regs, int nr, enum attachment_phase next) {
    registers_rewind(regs, nr);
    if (registers_write(at->tid, regs, -1) == 0)
        at->phase = next;
}

/* The tracee is where it had made the call, which returns error. */
static void fail_call(struct attachment *at, long error) {
    struct registers regs = at->regs;
    registers_set_result(&regs, error);
    inject_unblock(at->tid, at->signal_mask);
    (void)registers_write(at->tid, &regs, -1);
    abandon(at, error);
}

/* The next call that passes the descriptor; or all were made, and what is to be done is done by it. */
static void run_passing(struct attachment *at) {
    struct call *call = &at->caller->call;
    struct registers regs = at->regs;
    int nr = passing_next(at->passing, at->tid, at->area + AREA_HEADER, &regs);
    if (nr >= 0) {
        send_to_call(at, &regs, nr, PHASE_PASS_ENTRY);
        return;
    }
    long result = passing_result(at->passing);
    call->brought = result < 0 ? -1 : (int)result;
    call->value = call_finish(call, result < 0 ? result : 0);
    call->finish = NULL;
    fail_call(at, call->value);
}

static void at_pass_exit(struct attachment *at) {
    struct registers regs;
    if (registers_read(at->tid, &regs))
        return;
    passing_returned(at->passing, at->tid, at->area + AREA_HEADER, registers_result(&regs));
    run_passing(at);
}

static void send_call(struct attachment *at) {
    const struct call *call = &at->caller->call;
    struct registers regs = at->regs;
    if (call->wants >= 0) {
        at->passing = passing_take(call->wants);
        if (at->passing)
            run_passing(at);
        else
            fail_call(at, -ENOMEM);
        return;
    }
    int error = inject_arguments(call, at->tid, at->area + AREA_HEADER, false, &regs);
    if (error)
        fail_call(at, error);
    else
        send_to_call(at, &regs, inject_number(call), PHASE_ENTRY);
}

/* Where the visitor steps it out of a stop of its whole process, the signal of that brings it back there. */
static void at_visit(struct attachment *at, int status) {
    int signal = 0;
    long error = at->visit->stop(at, &signal);
    if (error == -ESRCH)
        return;
    at->signal = signal ? signal : stops_in_group(status) ? WSTOPSIG(status) : 0;
    abandon(at, error);
}

static void at_first_stop(struct attachment *at) {
    const struct call *call = &at->caller->call;
    size_t need = area_need(call);
    if (registers_read(at->tid, &at->regs) || !registers_at_interrupted(&at->regs, compat_made(call), at->ip)) {
        abandon(at, -EINTR);
        return;
    }
    at->regs.compat = call->compat;
    for (unsigned i = 0; !call->compat && i < 6; i++)
        registers_set_arg(&at->regs, i, call->arg[i]);
    if (inject_block(at->tid, &at->signal_mask))
        return;
    at->area = need ? find_area(at, need) : 0;
    if (!need || at->area) {
        send_call(at);
        return;
    }
    struct registers regs = at->regs;
    int nr = inject_mmap(&regs, need, false);
    send_to_call(at, &regs, nr, PHASE_MAP_ENTRY);
}

static void at_map_exit(struct attachment *at) {
    struct registers regs;
    if (registers_read(at->tid, &regs))
        return;
    long address = registers_result(&regs);
    int error = inject_mmap_failed(address) ? (int)address : 0;
    if (!error)
        error = mark_area(at->tid, (uint64_t)address, inject_area_size(area_need(&at->caller->call)));
    if (error) {
        fail_call(at, error);
        return;
    }
    at->area = (uint64_t)address;
    callers_keep_area(&at->worker->trap->callers, at->caller, at->area);
    send_call(at);
}

static void at_exit(struct attachment *at) {
    struct call *call = &at->caller->call;
    struct registers regs;
    if (registers_read(at->tid, &regs))
        return;
    long result = registers_result(&regs);
    bool restarts = restart_comes(result);
    long handed = call->finish ? call_finish(call, restarts ? -EINTR : result) : result;
    regs.compat = call->compat;
    for (unsigned i = 0; i < 6; i++)
        registers_set_arg(&regs, i, call->compat ? registers_arg(&at->regs, i) : call->arg[i]);
    registers_set_result(&regs, restarts ? result : handed);
    (void)registers_write(at->tid, &regs, compat_made(call));
    call->value = restarts ? -EINTR : handed;
    at->error = 0;
    at->phase = PHASE_OVER;
    call->finish = NULL;
}

static void at_syscall_stop(struct attachment *at) {
    switch (at->phase) {
    case PHASE_MAP_ENTRY:
        at->phase = PHASE_MAP_EXIT;
        break;
    case PHASE_MAP_EXIT:
        at_map_exit(at);
        break;
    case PHASE_PASS_ENTRY:
        at->phase = PHASE_PASS_EXIT;
        break;
    case PHASE_PASS_EXIT:
        at_pass_exit(at);
        break;
    case PHASE_ENTRY:
        inject_unblock(at->tid, at->signal_mask);
        at->phase = PHASE_EXIT;
        break;
    case PHASE_EXIT:
        at_exit(at);
        break;
    case PHASE_INTERRUPT:
    case PHASE_OVER:
        break;
    }
}

static void at_exec(struct attachment *at, pid_t tid) {
    struct call *call = &at->caller->call;
    at->tid = tid;
    callers_executed(&at->worker->trap->callers, at->caller, tid);
    exec_done(call);
    call->value = 0;
    call->finish = NULL;
    at->error = 0;
    at->phase = PHASE_OVER;
}

void attachment_stop(struct attachment *at, pid_t tid, int status) {
    int event = stops_event(status), deliver = 0;
    bool group_stop = stops_in_group(status);
    if (event == PTRACE_EVENT_EXEC)
        at_exec(at, tid);
    else if (event == PTRACE_EVENT_STOP && at->phase == PHASE_INTERRUPT && at->visit)
        at_visit(at, status);
    else if (event == PTRACE_EVENT_STOP && at->phase == PHASE_INTERRUPT)
        at_first_stop(at);
    else if (stops_at_syscall(status))
        at_syscall_stop(at);
    else if (event == 0)
        deliver = WSTOPSIG(status);
    if (at->phase == PHASE_OVER)
        return;
    if (group_stop)
        (void)ptrace(PTRACE_LISTEN, at->tid, NULL, NULL);
    else
        resume_to_stop(at, deliver);
}

void attachment_begin(struct attachment *at) {
    __atomic_store_n(&at->caller->continued, true, __ATOMIC_RELAXED);
    __atomic_store_n(&at->caller->attached, true, __ATOMIC_SEQ_CST);
    if (at->visit)
        at->visit->begin(at);
    reply_value(&at->worker->reply, -ERESTARTSYS);
}

void attachment_end(struct attachment *at) {
    struct call *call = &at->caller->call;
    passing_free(at->passing);
    if (at->visit) {    /* it is made again, and counted then */
        call_end(call);
        callers_leave(&at->worker->trap->callers, at->caller);
        return;
    }
    if (call->finish)
        (void)call_finish(call, at->error);
    if (at->error)
        call->value = at->error;
    callers_done(&at->worker->trap->callers, at->caller);
}
