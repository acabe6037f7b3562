/* asked.c - what other threads ask of a run: pto_signal, pto_began, pto_ended, pto_left, pto_end.
 *
 * Rule: pto_signal may be called from a signal handler.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../command/slot.h"
#include "../process/clock.h"
#include "../process/family.h"
#include "../ptoverlay.h"
#include "nested.h"

int pto_signal(const void *owner, int signal) {
    if (signal < 1 || signal > 64)
        return -EINVAL;
    int saved = errno;
    struct slot *slot = slot_enter(owner);
    if (!slot)
        return -ESRCH;
    atomic_fetch_or(&slot->pending, UINT64_C(1) << (signal - 1));
    int pidfd = atomic_load(&slot->pidfd);
    int error = pidfd >= 0 ? slot_deliver(slot, pidfd) : 0;
    slot_leave(slot);
    errno = saved;
    return error;
}

int64_t pto_ended(const void *owner) {
    struct slot *slot = slot_enter(owner);
    if (!slot)
        return -1;
    uint64_t ended = atomic_load(&slot->ended);
    slot_leave(slot);
    return ended ? (int64_t)((clock_now() - ended) / 1000000u) : -1;
}

static size_t find_left(const struct slot *slot, pid_t *found, size_t room) {
    if (!slot->nested)
        return family_left(slot->ids, slot->n_ids, found, room);
    long member = nested_member(slot->nested);
    if (member > 0 && room)
        found[0] = (pid_t)member;
    return member > 0;
}

int pto_left(const void *owner, int *found, int room) {
    struct slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    size_t left = atomic_load(&slot->ended) ? find_left(slot, found, (size_t)room) : 0;
    slot_leave(slot);
    return (int)left;
}

#define AT_ONCE 256 /* processes that are killed before it is looked again */

int pto_end(const void *owner) {
    pid_t found[AT_ONCE];
    struct slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    size_t left = atomic_load(&slot->ended) ? find_left(slot, found, AT_ONCE) : 0;
    if (left && slot->nested)
        nested_kill(slot->nested);
    for (size_t i = 0; !slot->nested && i < left && i < AT_ONCE; i++)
        (void)kill(found[i], SIGKILL);
    slot_leave(slot);
    return (int)left;
}

static bool same_pipe(int one, int other) {
    struct stat a, b;
    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Where it cannot be told what descriptors CMD has, it counts as the command as long as it has reported nothing. */
static bool slot_began(struct slot *slot, int pidfd) {
    struct pollfd told = {.fd = slot->report, .events = POLLIN};
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, slot->report_in_cmd, 0);   /* close-on-exec by itself */
    if (copy >= 0) {
        bool same = same_pipe(copy, slot->report);
        close(copy);
        return !same;
    }
    return poll(&told, 1, 0) >= 0 && !(told.revents & POLLIN) && !atomic_load(&slot->over);
}

int pto_began(const void *owner) {
    struct slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    int pidfd = atomic_load(&slot->pidfd);
    bool began = pidfd >= 0 && slot_began(slot, pidfd);
    slot_leave(slot);
    return began;
}
