/* answer.c - one notified call, from its receipt to its answer.
 *
 * Rules: everything that is to be done for a call is done before the answer, since with it the tracee runs on and may
 * call again, served by another worker.  A notification may die at any time with its thread, so every look at the
 * tracee's memory is followed by the question whether the call is still waiting, and nothing is done for one that is
 * not; for calls that change nothing the answer itself is that question.  OPEN is done here and the descriptor handed
 * over, so that no other thread can make it another file's; but O_PATH, by whose descriptor nothing can be changed
 * and which the kernel does not hand over, the tracee opens itself, and where we have no descriptor left what is only
 * read.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/major.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../../arch/arch.h"
#include "../../calls/handlers/open.h"
#include "../../command/record.h"
#include "../../process/clock.h"
#include "../../process/memory.h"
#include "../inside.h"
#include "answer.h"
#include "attach.h"
#include "hand_over.h"
#include "inside.h"
#include "interruptible.h"
#include "openings.h"
#include "repeats.h"
#include "replacing.h"
#include "terminal.h"
#include "trap.h"
#include "worker.h"

static int check_awaited(void *arg) {
    return reply_awaited(arg);
}

static void return_value(struct worker *worker, struct caller *caller, long value) {
    caller->call.value = value;
    callers_done(&worker->trap->callers, caller);
    reply_value(&worker->reply, value);
}

/* ---- OPEN ---- */

#define O_ONLY_TMPFILE (O_TMPFILE & ~O_DIRECTORY)
#define AGAIN_MAX 100       /* names that change all the time */

static void begin_call(struct worker *worker, struct caller *caller);

/* /dev/null and its like, which never make one wait and are opened most often: drivers/char/mem.c */
static bool is_memory_device(const struct stat *st) {
    return S_ISCHR(st->st_mode) && major(st->st_rdev) == MEM_MAJOR;
}

/* A descriptor of ours, or -errno; -EOPNOTSUPP: the tracee is to open it; -EINTR: of opening_wait. */
static int open_for(struct worker *worker, struct caller *caller, struct stat *st) {
    const struct call *call = &caller->call;
    *st = (struct stat){.st_mode = 0};
    if (call->open_flags & O_PATH)
        return -EOPNOTSUPP;
    if (call->made || (call->open_flags & O_ONLY_TMPFILE))
        return open_call(call);
    int error = open_call_stat(call, st);
    if (error && !(error == -ENOENT && (call->open_flags & O_CREAT)))
        return error;
    if (terminal_is_own(st))
        return terminal_open_own(caller->task.tid, call);
    bool waits = !error && !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !is_memory_device(st);
    int fd = waits ? opening_wait(worker, caller) : open_call(call);
    return (fd == -EMFILE || fd == -ENFILE) && !call->alone ? -EOPNOTSUPP : fd;
}

static void open_verdict(struct worker *worker, struct caller *caller) {
    struct call *call = &caller->call;
    struct stat st;
    int fd = open_for(worker, caller, &st);
    switch (fd) {
    case -EOPNOTSUPP:
        attach_run(worker, caller);
        return;
    case -EINTR:
        opening_interrupted(worker, caller);
        return;
    case -ELOOP:
        if (worker->again++ == AGAIN_MAX)
            break;
        call_end(call);
        begin_call(worker, caller);
        return;
    }
    long result = call->finish ? call_finish(call, fd) : fd;
    if (result >= 0)
        result = hand_over_here(&worker->reply, fd, call->open_flags, &worker->trap->crew.spread.own);
    if (fd >= 0)
        close(fd);
    if (result >= 0 && terminal_becomes_own(caller->task.tid, &st, call->open_flags)) {
        terminal_take(call, (int)result);
        attach_run(worker, caller);
    } else {
        return_value(worker, caller, result);
    }
}

/* ---- the others ---- */

static void pass(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    if (call->watch_exit && !call->any_time) {
        attach_run(worker, caller);
        return;
    }
    if (call->watch_exit) {
        callers_hold(&worker->trap->callers, caller);
        reply_continue(&worker->reply);
        return;
    }
    if (!call->compat)
        repeat_keep(worker, caller);
    if (!call->compat && inside_passed(worker, caller))
        return;
    __atomic_store_n(&caller->continued, true, __ATOMIC_RELAXED);
    caller->executes = call->nr == __NR_execve || call->nr == __NR_execveat;
    callers_done(&worker->trap->callers, caller);
    reply_continue(&worker->reply);
}

static void kill_caller(struct worker *worker, struct caller *caller) {
    record_killed(worker->trap->run, &caller->call);
    if (reply_awaited(&worker->reply) == 0)
        (void)kill((pid_t)worker->reply.request->pid, SIGKILL);
    return_value(worker, caller, -EPERM);
}

static void carry_out(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    if (call->kill) {
        kill_caller(worker, caller);
        return;
    }
    inside_before(worker->trap->run, &caller->call, &caller->inside);
    if (call_is_open(call->nr) && (call->verdict == VERDICT_PASS || call->verdict == VERDICT_SUBSTITUTE))
        openings_meet_none_dead(&worker->trap->openings, &worker->trap->crew);
    switch (call->verdict) {
    case VERDICT_PASS:
        pass(worker, caller);
        break;
    case VERDICT_RETURN:
        return_value(worker, caller, call->value);
        break;
    case VERDICT_OPEN:
        open_verdict(worker, caller);
        break;
    case VERDICT_SUBSTITUTE:
        attach_run(worker, caller);
        break;
    }
}

static void begin_call(struct worker *worker, struct caller *caller) {
    const struct seccomp_data *data = &worker->reply.request->data;
    uint64_t arg[6];
    caller->call_start = clock_now();
    for (unsigned i = 0; i < 6; i++)
        arg[i] = data->args[i];
    compat_arrive(&caller->call, data->arch, data->nr, arg);
    caller->call.memory =
        (struct memory){.check = check_awaited, .arg = &worker->reply, .checks_reads = !call_reads(&caller->call)};
    call_begin(&caller->call);
    caller->call.memory.check = NULL;
    replacing_run(worker, caller);
    record_spent(worker->trap->run, caller->call.nr, clock_now() - caller->call_start);
    carry_out(worker, caller);
}

void answer_request(struct worker *worker) {
    const struct seccomp_notif *request = worker->reply.request;
    struct notify_trap *trap = worker->trap;
    worker->reply.strays = worker->post.place >= 0 &&
                           spread_strays(&trap->crew.spread, worker->post.place, (pid_t)request->pid, clock_now());
    if (__atomic_load_n(&trap->ending, __ATOMIC_RELAXED)) {
        if (reply_awaited(&worker->reply) == 0)
            (void)kill((pid_t)request->pid, SIGKILL);
        return;
    }
    bool compat = request->data.arch != ARCH_AUDIT;
    if (compat && !(request->data.arch == ARCH_COMPAT && session_compat(&trap->run->session))) {
        record_foreign(trap->run, (pid_t)request->pid);
        reply_value(&worker->reply, -ENOSYS);
        return;
    }
    debugged_wait(&trap->borrowers, (pid_t)request->pid);
    if (interruptible_notified(worker))
        return;
    worker->again = 0;
    if (replacing_runs(&trap->tender, (pid_t)request->pid)) {
        reply_continue(&worker->reply);
        return;
    }
    if (!compat && repeat_pass(worker))
        return;
    bool attached;
    struct caller *caller = callers_enter(&trap->callers, (pid_t)request->pid, &attached);
    if (!caller)
        reply_value(&worker->reply, -ENOMEM);
    else if (attached)
        reply_continue(&worker->reply);
    else
        begin_call(worker, caller);
}
