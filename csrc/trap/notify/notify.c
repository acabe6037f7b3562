/* notify.c - the notify trap: seccomp user notification, answered by a crew of worker threads.
 *
 * Rules:
 * - A call that a worker has received waits for its answer and takes no signal but a deadly one meanwhile
 *   (WAIT_KILLABLE_RECV): else mkdir would be done, interrupted, and done again.
 * - Nothing is traced, so fork, exit and signals cost nothing and debuggers work; what must be known of them is found
 *   out afterwards (callers.c).
 * - The run ends when no task is left that could call: the listener hangs up.
 * - If we die the guard kills the tracees.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../command/filter.h"
#include "../../command/record.h"
#include "../../command/slot.h"
#include "../../process/memory.h"
#include "../reply.h"
#include "answer.h"
#include "cmd.h"
#include "hand_over.h"
#include "notify.h"
#include "replacing.h"
#include "signals.h"
#include "trap.h"
#include "wake.h"

#define FILTER_FLAGS                                                                                                   \
    (SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | SECCOMP_FILTER_FLAG_SPEC_ALLOW)
#define TICK_MS 50
#define TICK_IDLE_MS 500
#define TICKS_TO_IDLE 40u

/* Without it ptrace is faster: who asks for this trap gets it all the same. */
static int wake_in_sync(const struct notify_trap *trap) {
    int error = reply_wake_in_sync(trap->listener, true);
    return trap->run->command->trap == PTO_TRAP_NOTIFY ? 0 : error;
}

/* attach.c needs ptrace(2), which a profile may refuse: a task that is not our tracee is ESRCH else. */
static int can_attach(const struct notify_trap *trap) {
    return ptrace(PTRACE_INTERRUPT, trap->start.pid, NULL, NULL) < 0 && errno != ESRCH ? -errno : 0;
}

/* To end all that is still running we must know orphans that have made no call yet. */
static void become_reaper(struct notify_trap *trap) {
    int was = 0;
    if (!(trap->run->command->flags & PTO_KILL_ON_EXIT) || prctl(PR_GET_CHILD_SUBREAPER, &was) < 0 || was)
        return;
    trap->reaper_set = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

static int listen_to_cmd(struct notify_trap *trap) {
    struct filter *filter = malloc(sizeof *filter);
    if (!filter)
        return record_failure(trap->run, PTO_STAGE_SETUP, ENOMEM, "seccomp filter", NULL);
    int error = filter_make(filter, SECCOMP_RET_USER_NOTIF, untouched_passing_ip(&trap->run->untouched),
                            trap->run->command->features, signals_extras, SIGNALS_EXTRAS);
    if (error)
        error = record_failure(trap->run, PTO_STAGE_SETUP, -error, "seccomp filter", NULL);
    else
        trap->listener = error = start_listening(trap->run, filter, FILTER_FLAGS, &trap->start);
    free(filter);
    return error < 0 ? error : 0;
}

static int ask_for_all(struct notify_trap *trap) {
    int error = wake_in_sync(trap);
    if (!error)
        error = hand_over_can(trap->listener);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "user notification", NULL);
    error = can_attach(trap);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "ptrace", NULL);
    error = memory_probe(trap->start.pid);
    return error ? record_failure(trap->run, PTO_STAGE_SETUP, -error, "process_vm_readv", NULL) : 0;
}

static void *serve_calls(void *arg) {
    struct worker *worker = arg;
    wake_let_through();
    while (crew_next(worker))
        answer_request(worker);
    return NULL;
}

static int set_up(struct notify_trap *trap) {
    int error = ask_for_all(trap);
    if (error)
        return error;
    error = callers_init(&trap->callers, trap->run);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "user notification", NULL);
    trap->has_callers = true;
    trap->callers.cmd = trap->start.pid;
    tender_init(&trap->tender, trap);
    error = guard_start(&trap->guard, trap->listener, trap->callers.roster->ids, ROSTER_SIZE);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "guard", NULL);
    trap->cmd_pidfd = (int)syscall(SYS_pidfd_open, trap->start.pid, 0);
    if (trap->cmd_pidfd < 0)
        return record_failure(trap->run, PTO_STAGE_SETUP, errno, "pidfd_open", NULL);
    run_be_visited(trap->run, replacing_for_another, trap);   /* before CMD has opened anything */
    error = slot_announce(trap->run->slot, &trap->start);
    if (!error)
        error = crew_start(&trap->crew, trap, serve_calls);
    if (error)
        return record_failure(trap->run, PTO_STAGE_SETUP, -error, "start", NULL);
    trap->has_crew = true;
    return 0;
}

/* ---- until the end ---- */

static void kill_all(struct notify_trap *trap) {
    __atomic_store_n(&trap->ending, true, __ATOMIC_RELAXED);
    callers_kill(&trap->callers);
}

static void reap_cmd(struct notify_trap *trap) {
    int status = 0;
    pid_t pid = trap->start.pid;
    bool ours = trap->run->channel < 0;   /* else it is waited for at the channel's other end */
    while (ours && (pid = waitpid(trap->start.pid, &status, __WALL)) < 0 && errno == EINTR)
        continue;
    if (pid > 0)
        cmd_reaped(trap, pid, status);
    while (!__atomic_load_n(&trap->cmd_reaped, __ATOMIC_ACQUIRE))
        sched_yield();   /* a worker was its tracer, and has it */
    tender_reaped(trap, trap->start.pid);
    close(trap->cmd_pidfd);
    trap->cmd_pidfd = -1;   /* poll(2) leaves it out from now on */
    if (trap->run->command->flags & PTO_KILL_ON_EXIT)
        kill_all(trap);
}

static void tick(struct notify_trap *trap, uint64_t *seen, unsigned *idle) {
    bool active = crew_check(&trap->crew, seen);
    bool waiting = openings_check(&trap->openings);
    *idle = active || waiting ? 0 : *idle + 1;
    if (*idle < TICKS_TO_IDLE)
        callers_sweep(&trap->callers);
    if (trap->ending)
        callers_kill(&trap->callers);
    cmd_mirror_stop(trap);
}

static void wait_for_the_end(struct notify_trap *trap) {
    uint64_t seen = 0;
    unsigned idle = 0;
    for (;;) {
        struct pollfd pollfds[2] = {
            {.fd = trap->listener},
            {.fd = trap->cmd_pidfd, .events = POLLIN},
        };
        if (poll(pollfds, 2, idle < TICKS_TO_IDLE || trap->ending ? TICK_MS : TICK_IDLE_MS) < 0 && errno != EINTR)
            return;
        if (pollfds[1].revents)
            reap_cmd(trap);
        if (pollfds[0].revents && trap->cmd_pidfd < 0)
            return;
        tick(trap, &seen, &idle);
    }
}

static void kill_cmd(struct notify_trap *trap) {
    if (!trap->start.pid)
        return;
    (void)kill(trap->start.pid, SIGKILL);
    while (waitpid(trap->start.pid, NULL, __WALL) < 0 && errno == EINTR)
        continue;
}

static void clear(struct notify_trap *trap) {
    run_be_visited(trap->run, NULL, NULL);
    slot_forget_left(trap->run->slot);
    if (trap->has_crew)
        crew_stop(&trap->crew);
    tender_clear(&trap->tender);
    guard_stop(&trap->guard);
    if (trap->has_callers)
        callers_clear(&trap->callers);
    if (trap->listener >= 0)
        close(trap->listener);
    if (trap->cmd_pidfd >= 0)
        close(trap->cmd_pidfd);
    if (trap->reaper_set)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
    openings_clear(&trap->openings);
    start_close(&trap->start);
    free(trap);
}

int notify_run(struct run *run) {
    struct notify_trap *trap = calloc(1, sizeof *trap);
    if (!trap)
        return record_failure(run, PTO_STAGE_SETUP, ENOMEM, "user notification", NULL);
    trap->run = run;
    trap->start = (struct start){.go = -1, .report = -1, .report_in = -1};
    trap->listener = trap->cmd_pidfd = -1;
    openings_init(&trap->openings);
    become_reaper(trap);
    int error = listen_to_cmd(trap);
    if (!error)
        error = set_up(trap);
    if (error) {
        kill_cmd(trap);
    } else {
        wait_for_the_end(trap);
        error = start_outcome(run, &trap->start);
    }
    clear(trap);
    return error;
}
