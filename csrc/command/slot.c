/* slot.c - where other threads find a run: its CMD, and what that has left.
 *
 * Rule: who looks counts itself among the users, and the run waits for them before it closes or frees what they may
 * use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../process/clock.h"
#include "start.h"

#define RUNS 256
static struct slot slots[RUNS] = {[0 ... RUNS - 1] = {.pidfd = -1}};

struct slot *slot_claim(const void *owner) {
    for (size_t i = 0; i < RUNS; i++) {
        const void *free_slot = NULL;
        if (!atomic_compare_exchange_strong(&slots[i].owner, &free_slot, owner))
            continue;
        return &slots[i];
    }
    return NULL;
}

struct slot *slot_enter(const void *owner) {
    for (size_t i = 0; i < RUNS; i++) {
        atomic_fetch_add(&slots[i].users, 1);
        if (atomic_load(&slots[i].owner) == owner)
            return &slots[i];
        atomic_fetch_sub(&slots[i].users, 1);
    }
    return NULL;
}

void slot_leave(struct slot *slot) {
    atomic_fetch_sub(&slot->users, 1);
}

static void slot_forget_cmd(struct slot *slot) {
    int pidfd = atomic_exchange(&slot->pidfd, -1);
    while (atomic_load(&slot->users))
        sched_yield();
    if (pidfd < 0)
        return;
    close(pidfd);
    if (slot->report >= 0)
        close(slot->report);
}

void slot_release(struct slot *slot) {
    atomic_store(&slot->ended, 0);
    slot_forget_cmd(slot);
    atomic_store(&slot->over, false);
    atomic_store(&slot->ask, 0);
    atomic_store(&slot->pending, 0);
    atomic_store(&slot->owner, NULL);
}

static int send_one(const struct slot *slot, int pidfd, int signal) {
    if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0)
        return 0;
    return errno == ENOSYS && faccessat(pidfd, "stat", F_OK, 0) == 0 ? kill(slot->pid, signal) : -1;
}

int slot_deliver(struct slot *slot, int pidfd) {
    uint64_t pending = atomic_exchange(&slot->pending, 0);
    int error = 0;
    for (; pending; pending &= pending - 1) {
        int signal = __builtin_ctzll(pending) + 1;
        if (send_one(slot, pidfd, signal) < 0)
            error = -errno;
    }
    return error;
}

/* Before Linux 5.3 a directory of /proc, in which nothing is found any more once CMD was waited for. */
static int open_process(pid_t pid) {
    char path[32];
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);   /* close-on-exec by itself */
    if (fd >= 0 || errno != ENOSYS)
        return fd;
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int slot_announce(struct slot *slot, const struct start *start) {
    slot_forget_cmd(slot);   /* of a trap that was tried before */
    bool reports = start->report >= 0;   /* else its parent, another process, hears of it */
    int report = reports ? fcntl(start->report, F_DUPFD_CLOEXEC, 0) : -1;
    int pidfd = reports && report < 0 ? -1 : open_process(start->pid);
    if (pidfd < 0) {
        int error = errno;
        if (report >= 0)
            close(report);
        return -error;
    }
    slot->pid = start->pid;
    slot->report = report;
    slot->report_in_cmd = start->report_in_cmd;
    slot->report_ino = start->report_ino;
    atomic_store(&slot->pidfd, pidfd);
    (void)slot_deliver(slot, pidfd);   /* a CMD that is gone already has no use for them */
    return 0;
}

void slot_cmd_ended(struct slot *slot, uint32_t nested, const pid_t *ids, size_t n) {
    slot->ids = ids;
    slot->n_ids = n;
    slot->nested = nested;
    slot->tracer = gettid();
    atomic_store(&slot->ended, clock_now());
}

void slot_forget_left(struct slot *slot) {
    atomic_store(&slot->ended, 0);
    while (atomic_load(&slot->users))
        sched_yield();
}

void slot_over(struct slot *slot) {
    atomic_store(&slot->over, true);
}
