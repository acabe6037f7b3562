/* alone.c - a call that no other task may have a say in: the ptrace trap.
 *
 * What a tracee opens for writing it opens itself here, and the path is in its memory.  Another thread, or whoever
 * else shares that memory, could make it another path before the kernel reads it.  So those are interrupted first,
 * and the call is resumed when none of them can be in user mode any more: who stops, sleeps, or is dead cannot, since
 * with PTRACE_INTERRUPT pending the way back leads through a stop.  The stops are served when the call is under way:
 * the kernel reads its arguments before it may wait for anything.
 *
 * Rules: nothing is served in between, so that nobody is resumed.  A tracee with a call of its own under way runs no
 * instruction of its own either before it stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../../process/family.h"
#include "../inject.h"
#include "../restart.h"
#include "alone.h"
#include "trap.h"

struct siblings {
    const struct tracee *of;
    bool wait;          /* for them to be in the kernel; else they are interrupted */
};

static bool shares(const struct tracee *one, const struct tracee *other) {
    return one != other && (one->space == other->space || (one->files && one->files == other->files));
}

static void wait_until_not_running(pid_t tid) {
    while (family_state(tid) == 'R')
        sched_yield();
}

static void each(void *arg, struct tracee *tracee) {
    const struct siblings *siblings = arg;
    if (tracee->state != TRACEE_FREE || tracee->renewer || !shares(siblings->of, tracee))
        return;
    if (siblings->wait)
        wait_until_not_running(tracee->task.tid);
    else if (ptrace(PTRACE_INTERRUPT, tracee->task.tid, NULL, NULL) == 0)
        tracee->interrupted = true;
}

bool alone_begin(struct ptrace_trap *trap, struct tracee *tracee) {
    struct siblings siblings = {.of = tracee};
    if (tracee->space->users == 1 && (!tracee->files || tracee->files->users == 1))
        return false;
    tracees_each(&trap->tracees, each, &siblings);
    siblings.wait = true;
    tracees_each(&trap->tracees, each, &siblings);
    return true;
}

/* Walking a path that cannot be walked without symlinks may wait for a disk, while nobody is to put one in. */
void alone_end(const struct tracee *tracee) {
    wait_until_not_running(tracee->task.tid);
    while (alone_walks(&tracee->call) && strchr("RD", family_state(tracee->task.tid) ?: 'X'))
        sched_yield();
}

bool alone_walks(const struct call *call) {
    return call->verdict == VERDICT_OPEN && inject_number(call) != __NR_openat2;
}

void alone_stopped(struct tracee *tracee) {
    struct registers regs;
    uint64_t mask;
    pid_t tid = tracee->task.tid;
    if (!tracee->interrupted)
        return;
    tracee->interrupted = false;
    void *size = (void *)(uintptr_t)sizeof mask;   /* of sigset_t in the kernel */
    if (registers_read(tid, &regs) || ptrace(PTRACE_GETSIGMASK, tid, size, &mask) < 0)
        return;
    int nr = arch_call_number(tid, &regs);
    if (restart_after_stop(tid, &regs, &nr, mask))
        (void)registers_write(tid, &regs, nr);
}
