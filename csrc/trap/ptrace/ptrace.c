/* ptrace.c - the ptrace trap: one thread, all tracees, their stops.
 *
 * Rules:
 * - Only children and tracees of this thread are waited for (__WNOTHREAD): the process around us has others.
 * - All events that wait are taken before any is served, so a busy tracee does not starve the others.
 * - A new child is held at its first stop until its parent's event has told what it inherits; the two come in
 *   any order.
 * - Every stop is answered: a signal is delivered as it came, a group stop is left to the kernel
 *   (PTRACE_LISTEN), so that job control works.
 * - If this thread dies, so do all tracees (PTRACE_O_EXITKILL).
 * - Linux 4.8 and later: the seccomp stop comes after the syscall-entry stop, so PTRACE_SYSCALL from it leads to
 *   the exit stop.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../calls/compat.h"
#include "../../command/record.h"
#include "../../command/slot.h"
#include "../../command/stop.h"
#include "../../process/memory.h"
#include "../stops.h"
#include "alone.h"
#include "ptrace.h"
#include "trap.h"
#include "verdict.h"

#define TICK_NS 100000  /* between two looks at who does not stop for a call that waits */
#define TICK_YIELDS 50u /* before the first */
#define EVENTS 64   /* taken in one round; what is left over comes in the next */
#define OPTIONS                                                                                                        \
    (PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |    \
     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

struct event {
    pid_t tid;
    int status;
};

/* ---- tracees come and go ---- */

static struct tracee *tracee_new(struct ptrace_trap *trap, pid_t tid, enum tracee_state state) {
    struct tracee *tracee = tracees_add(&trap->tracees, &trap->run->session, tid);
    if (!tracee)
        return NULL;
    tracee->state = state;
    tracee->call.task = &tracee->task;
    tracee->call.session = &trap->run->session;
    return tracee;
}

static void kill_one(void *arg, struct tracee *tracee) {
    (void)arg;
    if (tracee->state != TRACEE_GONE)
        (void)kill(tracee->task.tid, SIGKILL);
}

/* From here on every tracee is killed, those to come as well. */
static void kill_all(struct ptrace_trap *trap) {
    trap->ending = true;
    tracees_each(&trap->tracees, kill_one, NULL);
}

/* A tracee that cannot be kept track of must not run. */
static void lose(struct ptrace_trap *trap, pid_t tid) {
    record_warning(trap->run, "process %d killed: out of memory", (int)tid);
    (void)kill(tid, SIGKILL);
}

/* The child's copy of clone's flags is put back as the parent had given them (where it has one). */
static void restore_flags(const struct tracee *child) {
    struct registers regs;
    if (registers_read(child->task.tid, &regs))
        return;
    regs.compat = child->regs.compat;
    registers_restore_arg(&regs, 0, registers_arg(&child->regs, 0));
    (void)registers_write(child->task.tid, &regs, -1);
}

/* At its first stop, with all that it inherits known. */
static void release_child(struct ptrace_trap *trap, struct tracee *child, int signal) {
    if (!child->space)
        child->space = space_new();
    if (!child->space)
        lose(trap, child->task.tid);
    if (trap->ending)
        (void)kill(child->task.tid, SIGKILL);
    if (child->has_regs)
        restore_flags(child);
    child->state = TRACEE_FREE;
    tracee_resume_from_stop(child, signal);
}

/* Children whose parent died before its event could be reported wait no longer. */
static void release_held(void *arg, struct tracee *tracee) {
    struct ptrace_trap *trap = arg;
    if (tracee->state == TRACEE_HELD)
        release_child(trap, tracee, tracee->first_signal);
    else if (tracee->state == TRACEE_GONE)
        tracees_remove(&trap->tracees, tracee);
}

static void let_go_on(void *arg, struct tracee *tracee) {
    struct ptrace_trap *trap = arg;
    if (tracee->state != TRACEE_WAITING)
        return;
    replacing_released(&trap->replacing, tracee);
    if (tracee->state == TRACEE_REWOUND)
        tracee_resume_from_stop(tracee, tracee->first_signal);
    else
        verdict_go_on(trap, tracee);
}

/* Calls that have waited long enough go on; after each event. */
static void check_replacing(struct ptrace_trap *trap) {
    if (replacing_is_over(trap))
        tracees_each(&trap->tracees, let_go_on, trap);
}

/* ---- events ---- */

static void at_death(struct ptrace_trap *trap, struct tracee *tracee, pid_t tid, int status) {
    same_cpu_death(&trap->same_cpu, tid);
    if (tid == trap->cmd) {
        trap->run->result->status = status;
        trap->cmd_ended = true;
        slot_cmd_ended(trap->run->slot, 0, NULL, 0);
        if (trap->run->command->flags & PTO_KILL_ON_EXIT)
            kill_all(trap);
    }
    if (!tracee)
        return;
    replacing_forget(trap, tracee);
    verdict_at_death(trap, tracee);
    if (tracee->state == TRACEE_HELD) {
        tracee->state = TRACEE_GONE;
        return;
    }
    tracees_remove(&trap->tracees, tracee);
    tracees_each(&trap->tracees, release_held, trap);
}

/* What the fork, vfork or clone that the parent is in shares with its child. */
static uint64_t clone_flags(const struct tracee *parent, int event) {
    if (parent->state == TRACEE_CALL && parent->call.nr == __NR_clone)
        return parent->call.arg[0];
    struct registers regs;
    if (registers_read(parent->task.tid, &regs))
        return 0;
    int nr = arch_call_number(parent->task.tid, &regs);
    /* What has this number here makes no child, and what has clone's number there neither. */
    regs.compat = nr == compat_number(__NR_clone);
    if (nr == __NR_clone || regs.compat)
        return registers_arg(&regs, 0);
    return event == PTRACE_EVENT_VFORK ? CLONE_VM | CLONE_VFORK : 0;
}

static void share_files(struct tracee *parent, struct tracee *child, uint64_t flags) {
    if (!(flags & CLONE_FILES))
        return;
    files_drop(child->files);
    child->files = files_share(parent->files);
}

static struct space *child_space(struct tracee *parent, uint64_t flags) {
    if (flags & CLONE_VM)
        return space_share(parent->space);
    return space_copy(parent->space);
}

static void at_fork(struct ptrace_trap *trap, struct tracee *parent, int event) {
    unsigned long child_tid;
    if (ptrace(PTRACE_GETEVENTMSG, parent->task.tid, NULL, &child_tid) < 0)
        return;
    uint64_t flags = clone_flags(parent, event);
    same_cpu_child(&trap->same_cpu, parent->task.tid, (pid_t)child_tid);
    if (!(flags & CLONE_THREAD))
        trap->run->result->stats.processes++;
    struct tracee *child = tracees_find(&trap->tracees, (pid_t)child_tid);
    if (child && child->state == TRACEE_GONE) {
        tracees_remove(&trap->tracees, child);
        tracee_resume(parent, 0);
        return;
    }
    if (!child)
        child = tracee_new(trap, (pid_t)child_tid, TRACEE_ANNOUNCED);
    if (!child) {
        lose(trap, (pid_t)child_tid);
        tracee_resume(parent, 0);
        return;
    }
    task_inherit(&child->task, &parent->task, flags & CLONE_THREAD);
    child->space = child_space(parent, flags);
    share_files(parent, child, flags);
    child->has_regs = parent->untraced && parent->state == TRACEE_CALL;
    if (child->has_regs)
        child->regs = parent->regs;
    if (child->state == TRACEE_HELD)
        release_child(trap, child, child->first_signal);
    tracee_resume(parent, 0);
}

static void at_stop(struct ptrace_trap *trap, struct tracee *tracee, int status) {
    int signal = WSTOPSIG(status);
    if (tracee->task.tid == trap->cmd)
        trap->cmd_stop = stops_for_terminal(status);
    alone_stopped(tracee);
    if (tracee->state == TRACEE_HELD)
        tracee->first_signal = signal;
    else if (tracee->state == TRACEE_ANNOUNCED)
        release_child(trap, tracee, signal);
    else
        tracee_resume_from_stop(tracee, signal);
}

/* The thread that executes has become its process's leader; the id under which it made the call is gone. */
static struct tracee *take_leaders_place(struct ptrace_trap *trap, struct tracee *leader, pid_t former) {
    struct tracee *tracee = tracees_find(&trap->tracees, former);
    if (!tracee)
        return leader;
    pid_t tid = leader->task.tid;
    same_cpu_death(&trap->same_cpu, tid);
    same_cpu_rename(&trap->same_cpu, former, tid);
    replacing_forget(trap, leader);
    verdict_at_death(trap, leader);
    tracees_remove(&trap->tracees, leader);
    tracees_rename(&trap->tracees, tracee, tid);
    return tracee;
}

static void at_exec(struct ptrace_trap *trap, struct tracee *tracee) {
    unsigned long former;
    if (ptrace(PTRACE_GETEVENTMSG, tracee->task.tid, NULL, &former) < 0)
        return;
    if ((pid_t)former != tracee->task.tid)
        tracee = take_leaders_place(trap, tracee, (pid_t)former);
    verdict_at_exec(trap, tracee);
    files_drop(tracee->files);
    tracee->files = files_new();
    space_drop(tracee->space);
    tracee->space = space_new();
    if (!tracee->space)
        lose(trap, tracee->task.tid);
    tracee_resume(tracee, 0);
}

static void at_event(struct ptrace_trap *trap, struct tracee *tracee, int status) {
    tracee->opens = false;
    if (tracee->renewer && replacing_stop(trap, tracee, status))
        return;
    switch (stops_event(status)) {
    case PTRACE_EVENT_SECCOMP:
        verdict_at_seccomp_stop(trap, tracee);
        break;
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE:
        at_fork(trap, tracee, stops_event(status));
        break;
    case PTRACE_EVENT_EXEC:
        at_exec(trap, tracee);
        break;
    case PTRACE_EVENT_STOP:
        at_stop(trap, tracee, status);
        break;
    default:
        if (stops_at_syscall(status))
            verdict_at_exit_stop(trap, tracee);
        else
            tracee_resume(tracee, WSTOPSIG(status));
    }
}

static void serve(struct ptrace_trap *trap, const struct event *event) {
    struct tracee *tracee = tracees_find(&trap->tracees, event->tid);
    bool stopped = WIFSTOPPED(event->status);
    if (stopped && !tracee)
        tracee = tracee_new(trap, event->tid, TRACEE_HELD);
    if (!stopped)
        at_death(trap, tracee, event->tid, event->status);
    else if (!tracee)
        lose(trap, event->tid);
    else
        at_event(trap, tracee, event->status);
    check_replacing(trap);
}

/* ---- the loop ---- */

/* Waits for one event.  1; 0: none waits now (WNOHANG), or another run has brought something; -ECHILD: no child and no
 * tracee is left. */
static int wait_event(const struct ptrace_trap *trap, struct event *event, int flags) {
    for (;;) {
        event->tid = wait4(-1, &event->status, __WALL | __WNOTHREAD | flags, NULL);
        if (event->tid > 0)
            return 1;
        if (event->tid == 0)
            return 0;
        if (errno != EINTR)
            return -errno;
        if (__atomic_load_n(&trap->replacing.brought, __ATOMIC_SEQ_CST))
            return 0;
    }
}

/* The same while calls wait for stops that may not come: 0 when none waits any more. */
static int wait_held(struct ptrace_trap *trap, struct event *event) {
    const struct timespec pause = {.tv_nsec = TICK_NS};
    replacing_adopt(trap);
    for (unsigned i = 0; trap->replacing.waiting; i++) {
        int got = wait_event(trap, event, WNOHANG);
        if (got)
            return got;
        if (i < TICK_YIELDS) {
            sched_yield();
            continue;
        }
        nanosleep(&pause, NULL);
        replacing_tick(trap);
        check_replacing(trap);
    }
    return 0;
}

/* Waits until there is an event.  1; 0: another run has brought something; -errno.  If a Ctrl-Z came from the
 * terminal, and has stopped us too, it is over, SIGCONT included, when we get here, and CMD has another event. */
static int wait_first(struct ptrace_trap *trap, struct event *event) {
    int got = wait_held(trap, event);
    if (got)
        return got;
    if (!trap->cmd_stop || trap->run->channel >= 0)
        return wait_event(trap, event, 0);
    got = wait_event(trap, event, WNOHANG);
    if (got)
        return got;
    stop_with_cmd(trap->cmd, trap->cmd_stop, WEXITED | WSTOPPED); /* from PTRACE_LISTEN SIGCONT leads to a new stop */
    trap->cmd_stop = 0;
    return wait_event(trap, event, 0);
}

static int serve_until_the_end(struct ptrace_trap *trap) {
    struct event events[EVENTS];
    for (;;) {
        int got = wait_first(trap, &events[0]);
        if (got < 0)
            return got == -ECHILD ? 0 : got;
        if (got == 0)
            continue;
        size_t n = 1;
        while (trap->tracees.count > 1 && n < EVENTS && wait_event(trap, &events[n], WNOHANG) > 0)
            n++;
        for (size_t i = 0; i < n; i++)
            serve(trap, &events[i]);
    }
}

/* ---- start and end ---- */

static const char *why_not_traced(int error) {
    char scope = '0';
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    if (file) {
        scope = (char)fgetc(file);
        fclose(file);
    }
    if (error == EPERM && scope >= '2')
        return scope == '2' ? "forbidden by kernel.yama.ptrace_scope = 2 (only root may trace)"
                            : "forbidden by kernel.yama.ptrace_scope = 3";
    return NULL;
}

static int seize(struct ptrace_trap *trap) {
    pid_t pid = trap->start.pid;
    int error;
    struct tracee *tracee = tracee_new(trap, pid, TRACEE_FREE);
    if (!tracee || !(tracee->space = space_new()))
        return record_failure(trap->run, PTO_STAGE_SETUP, ENOMEM, "tracee", NULL);
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(uintptr_t)OPTIONS) < 0) {
        error = errno;
        return record_failure(trap->run, PTO_STAGE_SETUP, error, "ptrace", why_not_traced(error));
    }
    error = memory_probe(pid);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "process_vm_readv", NULL);
    error = slot_announce(trap->run->slot, &trap->start);
    if (!error)
        error = start_go(&trap->start);
    return error ? record_failure(trap->run, PTO_STAGE_SETUP, -error, "start", NULL) : 0;
}

static int make_filter(const struct ptrace_trap *trap, struct filter *filter) {
    const struct filter_extra extras[] = {
        {.nr = __NR_clone, .arg = 0, .mask = CLONE_UNTRACED},
        {.nr = __NR_seccomp, .arg = 0, .mask = SECCOMP_SET_MODE_FILTER, .cookie = trap->way_in.cookie},
        {.nr = __NR_sched_getaffinity, .arg = 1, .mask = UINT64_MAX}, /* a size: never 0 in earnest */
        {.nr = __NR_sched_setaffinity, .arg = 1, .mask = UINT64_MAX},
    };
    int error = filter_make(filter, SECCOMP_RET_TRACE, untouched_passing_ip(&trap->run->untouched),
                            trap->run->command->features, extras, sizeof extras / sizeof extras[0]);
    return error ? record_failure(trap->run, PTO_STAGE_SETUP, -error, "seccomp filter", NULL) : 0;
}

static int start(struct ptrace_trap *trap) {
    struct filter *filter = malloc(sizeof *filter);
    if (!filter)
        return record_failure(trap->run, PTO_STAGE_SETUP, ENOMEM, "seccomp filter", NULL);
    int error = make_filter(trap, filter);
    const struct start_filter entered = {.filter = filter,
                                         .flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW | way_in_flags(&trap->way_in),
                                         .report = -1,
                                         .socket = trap->way_in.theirs};
    if (!error)
        error = start_fork(trap->run, start_enter_filter, &entered, &trap->start);
    free(filter);
    way_in_started(&trap->way_in);
    if (error)
        return error;
    trap->cmd = trap->start.pid;
    trap->run->result->stats.processes = 1;
    return seize(trap);
}

static void do_nothing(int number) {
    (void)number;
}

/* A run in a view of several: their calls may need this thread. */
static void be_visited(struct ptrace_trap *trap) {
    const struct sigaction action = {.sa_handler = do_nothing};
    sigset_t wake;
    if (trap->run->channel < 0 || sigaction(REPLACING_WAKE, &action, NULL) < 0 || sigemptyset(&wake) < 0 ||
        sigaddset(&wake, REPLACING_WAKE) < 0 || pthread_sigmask(SIG_UNBLOCK, &wake, NULL) != 0)
        return;
    trap->thread = pthread_self();
    run_be_visited(trap->run, replacing_bring, trap);
}

static void forget_tracee(void *arg, struct tracee *tracee) {
    struct ptrace_trap *trap = arg;
    replacing_forget(trap, tracee);
    verdict_at_death(trap, tracee);
    tracees_remove(&trap->tracees, tracee);
}

int ptrace_run(struct run *run) {
    struct ptrace_trap *trap = calloc(1, sizeof *trap);
    if (!trap)
        return record_failure(run, PTO_STAGE_SETUP, ENOMEM, "ptrace", NULL);
    trap->run = run;
    trap->start = (struct start){.go = -1, .report = -1, .report_in = -1};
    same_cpu_init(&trap->same_cpu);
    way_in_init(&trap->way_in, &run->untouched);
    int error = start(trap);
    if (error && trap->cmd)
        (void)kill(trap->cmd, SIGKILL);
    be_visited(trap);
    int served = serve_until_the_end(trap);
    replacing_finish(&trap->replacing);
    run_be_visited(run, NULL, NULL);
    if (!error && served)
        error = record_failure(run, PTO_STAGE_LOST, -served, "wait", NULL);
    if (!error)
        error = start_outcome(run, &trap->start);
    same_cpu_clear(&trap->same_cpu);
    tracees_each(&trap->tracees, forget_tracee, trap);
    replacing_clear(&trap->replacing);
    start_close(&trap->start);
    way_in_clear(&trap->way_in);
    free(trap);
    return error;
}
