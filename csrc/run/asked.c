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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../command/slot.h"
#include "../command/start.h"
#include "../process/clock.h"
#include "../process/family.h"
#include "../process/lock.h"
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

#define TOLD 64 /* process ids in one answer */
#define PATIENCE_MS 1000

/* Of the supervisor whose guest the run is: 'L' for what is left, 'E' to end it.  One asks at a time. */
static size_t ask_host(struct slot *slot, char what, pid_t *found, size_t room) {
    static struct lock asking = LOCK_INITIALIZER;
    int32_t answer[1 + TOLD] = {0};
    int ask = atomic_load(&slot->ask);
    struct pollfd pollfd = {.fd = ask, .events = POLLIN};
    lock_take(&asking);
    bool told = send(ask, &what, 1, MSG_NOSIGNAL) == 1 && poll(&pollfd, 1, PATIENCE_MS) == 1 &&
                recv(ask, answer, sizeof answer, MSG_DONTWAIT) == (ssize_t)sizeof answer;
    lock_leave(&asking);
    for (size_t i = 0; told && i < room && i < TOLD && (int32_t)i < answer[0]; i++)
        found[i] = answer[1 + i];
    return told && answer[0] > 0 ? (size_t)answer[0] : 0;
}

static size_t find_left(struct slot *slot, pid_t *found, size_t room) {
    if (atomic_load(&slot->ask))
        return ask_host(slot, 'L', found, room);
    if (!slot->nested)
        return family_left(slot->ids, slot->n_ids, slot->tracer, found, room);
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
    bool guest = atomic_load(&slot->ask);
    size_t left = atomic_load(&slot->ended) ? find_left(slot, found, AT_ONCE) : 0;
    if (left && guest)
        (void)ask_host(slot, 'E', found, 0);
    if (left && slot->nested)
        nested_kill(slot->nested);
    for (size_t i = 0; !guest && !slot->nested && i < left && i < AT_ONCE; i++)
        (void)kill(found[i], SIGKILL);
    slot_leave(slot);
    return (int)left;
}

static bool is_socket(int fd, ino_t ino) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == ino;
}

/* Where it cannot be told what descriptors CMD has, it counts as the command as long as it has reported nothing. */
static bool slot_began(struct slot *slot, int pidfd) {
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, slot->report_in_cmd, 0);   /* close-on-exec by itself */
    if (copy >= 0) {
        bool same = is_socket(copy, slot->report_ino);
        close(copy);
        return !same;
    }
    return !start_failed(slot->report) && !atomic_load(&slot->over);
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
