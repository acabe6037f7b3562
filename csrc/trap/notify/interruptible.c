/* interruptible.c - which processes have signal handlers that would make calls fail (tend.c), and which tracees are to be let go.
 *
 * posix_spawn(3) sets all 64 signals to SIG_DFL in each child, so what a filter can tell apart must not be trapped: asking, and
 * the signals that only faults raise.  Real-time signals come from few calls; it is those that are trapped, and not the
 * rt_sigaction of a handler, which may come later.
 *
 * Rules: handlers of faults do not count, they interrupt no call.  Real-time signals that another process outside of the run
 * sends, or one of it to a process group, are missed.  Nobody is tended who has not called: it may not be of this run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../../arch/arch.h"
#include "interruptible.h"
#include "../../process/memory.h"
#include "notify.h"

static const uint32_t attaching[] = {PTRACE_ATTACH, PTRACE_SEIZE, 0}; /* and PTRACE_TRACEME, which is 0 */
static const uint32_t standard[] = {SIGHUP,    SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,  SIGPIPE,   SIGALRM, SIGTERM,
                                    SIGSTKFLT, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN,  SIGTTOU,   SIGURG,  SIGXCPU,
                                    SIGXFSZ,   SIGPROF, SIGIO,   SIGPWR,  SIGWINCH, SIGVTALRM, 0};
static const uint32_t real_time[] = {34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49,
                                     50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 0};
static const uint32_t set_signal[] = {F_SETSIG, 0};

const struct filter_extra interruptible_extras[INTERRUPTIBLE_EXTRAS] = {
    {.nr = __NR_rt_sigaction, .arg = 0, .values = standard, .given = 1 + 1},
    {.nr = __NR_timer_create, .arg = 1, .mask = UINT64_MAX},
    {.nr = __NR_mq_notify, .arg = 1, .mask = UINT64_MAX},
    {.nr = __NR_fcntl, .arg = 1, .values = set_signal},
    {.nr = __NR_kill, .arg = 1, .values = real_time},
    {.nr = __NR_tkill, .arg = 1, .values = real_time},
    {.nr = __NR_tgkill, .arg = 2, .values = real_time},
    {.nr = __NR_rt_sigqueueinfo, .arg = 1, .values = real_time},
    {.nr = __NR_rt_tgsigqueueinfo, .arg = 2, .values = real_time},
    {.nr = __NR_ptrace, .arg = 0, .values = attaching, .zero = true},
};

static bool is_in(const struct filter_extra *extra, uint32_t value) {
    for (const uint32_t *next = extra->values; *next; next++)
        if (*next == value)
            return true;
    return value == 0 && extra->zero;
}

bool interruptible_traps(int nr, const uint64_t arg[6]) {
    for (size_t i = 0; i < INTERRUPTIBLE_EXTRAS; i++) {
        const struct filter_extra *extra = &interruptible_extras[i];
        if (extra->nr == nr && (extra->values ? is_in(extra, (uint32_t)arg[extra->arg]) : arg[extra->arg] != 0))
            return !extra->given || arg[extra->given - 1];
    }
    return false;
}

/* Does this rt_sigaction make calls interruptible?  The kernel's struct begins with the handler and the flags. */
static bool interrupts_calls(struct worker *worker) {
    const struct seccomp_data *data = &worker->request->data;
    uint64_t action[2];
    return memory_read(&MEMORY((pid_t)worker->request->pid), data->args[1], action, sizeof action) == 0 &&
           answer_awaited(worker) == 0 && action[0] != (uint64_t)(uintptr_t)SIG_DFL &&
           action[0] != (uint64_t)(uintptr_t)SIG_IGN && !(action[1] & SA_RESTART);
}

static void tend_receiver(struct worker *worker, pid_t pid) {
    if (pid > 0 && answer_awaited(worker) == 0 && callers_note_tended(&worker->trap->callers, pid))
        tend_process(worker, pid);
}

/* The task is to be traced by another, or the one that it wants to trace. */
static void release(struct worker *worker) {
    const struct seccomp_data *data = &worker->request->data;
    bool itself = (uint32_t)data->args[0] == PTRACE_TRACEME;
    pid_t pid = itself ? (pid_t)worker->request->pid : (pid_t)data->args[1];
    if (!tend_release(worker, pid, itself) || !itself)
        answer_continue(worker);
}

bool interruptible_notified(struct worker *worker) {
    const struct seccomp_data *data = &worker->request->data;
    pid_t caller = (pid_t)worker->request->pid;
    switch (data->nr) {
    case __NR_ptrace:
        release(worker);
        return true;
    case __NR_rt_sigaction:
        if (ARCH_CAN_RESTART && interrupts_calls(worker))
            tend_process(worker, caller);
        break;
    case __NR_fcntl:
        if ((uint32_t)data->args[1] != F_SETSIG)
            return false;
        /* fall through */
    case __NR_timer_create:
    case __NR_mq_notify:
        if (ARCH_CAN_RESTART)
            tend_process(worker, caller);
        break;
    case __NR_kill:
    case __NR_tkill:
    case __NR_tgkill:
    case __NR_rt_sigqueueinfo:
    case __NR_rt_tgsigqueueinfo:
        if (ARCH_CAN_RESTART)
            tend_receiver(worker, (pid_t)data->args[0]);
        break;
    default:
        return false;
    }
    answer_continue(worker);
    return true;
}
