/* interruptible.c - which processes have signal handlers that would make calls fail (tender.c), and which tracees
 * are to be let go.
 *
 * Rules: handlers of faults do not count, they interrupt no call.  Signals whose senders are trapped (signals.c) are
 * missed where another process outside of the run sends them, or one of it to a process group.  Nobody is tended who
 * has not called: it may not be of this run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../../arch/arch.h"
#include "../../calls/compat_layout.h"
#include "../../process/memory.h"
#include "inside.h"
#include "interruptible.h"
#include "tender.h"
#include "trap.h"
#include "worker.h"

/* Does this rt_sigaction make calls interruptible?  The kernel's struct begins with the handler and the flags. */
static bool interrupts_calls(struct worker *worker, bool compat) {
    const struct seccomp_data *data = &worker->reply.request->data;
    const struct memory memory = MEMORY((pid_t)worker->reply.request->pid);
    uint64_t action[2];
    int error = compat ? compat_read_pointers(&memory, (uint32_t)data->args[1], action, 2)
                       : memory_read(&memory, data->args[1], action, sizeof action);
    return error == 0 && action[0] != (uint64_t)(uintptr_t)SIG_DFL && action[0] != (uint64_t)(uintptr_t)SIG_IGN &&
           !(action[1] & SA_RESTART) && reply_awaited(&worker->reply) == 0;
}

static void tend_receiver(struct worker *worker, pid_t pid) {
    if (pid > 0 && reply_awaited(&worker->reply) == 0 && callers_note_tended(&worker->trap->callers, pid))
        tender_process(worker, pid, false);
}

/* The task is to be traced by another, or the one that it wants to trace. */
static void release_traced(struct worker *worker) {
    const struct seccomp_data *data = &worker->reply.request->data;
    bool itself = (uint32_t)data->args[0] == PTRACE_TRACEME;
    pid_t pid = itself ? (pid_t)worker->reply.request->pid : (pid_t)data->args[1];
    inside_traced(worker, pid);
    if (!tender_release(worker, pid, itself) || !itself)
        reply_continue(&worker->reply);
}

bool interruptible_notified(struct worker *worker) {
    const struct seccomp_data *data = &worker->reply.request->data;
    pid_t caller = (pid_t)worker->reply.request->pid;
    bool compat = data->arch != ARCH_AUDIT;
    switch (compat ? compat_call(data->nr).native : data->nr) {
    case __NR_ptrace:
        release_traced(worker);
        return true;
    case __NR_rt_sigaction:
        if (interrupts_calls(worker, compat))
            tender_process(worker, caller, data->args[0] == SIGCHLD);
        else
            inside_acted(worker, caller, data->instruction_pointer);
        break;
    case __NR_fcntl:
        if ((uint32_t)data->args[1] != F_SETSIG)
            return false;
        /* fall through */
    case __NR_timer_create:
    case __NR_mq_notify:
        tender_process(worker, caller, false);
        break;
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
        tend_receiver(worker, (pid_t)data->args[0]);
        break;
    default:
        return false;
    }
    reply_continue(&worker->reply);
    return true;
}
