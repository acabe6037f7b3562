/* seize.c - a worker traces a caller for a while.
 *
 * Rules: ptrace belongs to the thread.  The worker has no other child or tracee, so it waits for any of its own: after
 * execve the tracee may have another id.  It may reap CMD, for which the run's thread waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "seize.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>

#include "attachment.h"
#include "cmd.h"
#include "worker.h"

/* The tracee was killed in its last stop: an execve of its process waits until it is reaped. */
static void bury(struct notify_trap *trap) {
    int status;
    pid_t tid;
    while ((tid = wait4(-1, &status, __WALL | __WNOTHREAD, NULL)) >= 0 || errno == EINTR)
        if (tid > 0 && !WIFSTOPPED(status))
            cmd_reaped(trap, tid, status);
}

bool seize(struct notify_trap *trap, pid_t tid) {
    if (ptrace(PTRACE_SEIZE, tid, NULL, (void *)(uintptr_t)SEIZE_OPTIONS) < 0)
        return false;
    if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0)
        return true;
    bury(trap);
    return false;
}

bool seize_follow(struct attachment *at) {
    while (at->phase != PHASE_OVER) {
        int status;
        pid_t tid = wait4(-1, &status, __WALL | __WNOTHREAD, NULL);
        if (tid < 0 && errno == EINTR)
            continue;
        if (tid >= 0 && !WIFSTOPPED(status))
            cmd_reaped(at->worker->trap, tid, status);
        if (tid < 0 || !WIFSTOPPED(status))
            return false;
        attachment_stop(at, tid, status);
    }
    return true;
}

void seize_end(struct notify_trap *trap, pid_t tid, int signal) {
    if (ptrace(PTRACE_DETACH, tid, NULL, (long)signal) < 0)
        bury(trap);
}

void seize_end_at_stop(struct notify_trap *trap, pid_t tid) {
    int status;
    pid_t stopped;
    while ((stopped = wait4(-1, &status, __WALL | __WNOTHREAD, NULL)) < 0 && errno == EINTR)
        continue;
    if (stopped > 0 && !WIFSTOPPED(status))
        cmd_reaped(trap, stopped, status);
    else if (stopped > 0)
        seize_end(trap, tid, 0);
}
