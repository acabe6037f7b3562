/* hand_over.c - a descriptor of ours that the caller gets (SECCOMP_IOCTL_NOTIF_ADDFD).
 *
 * Rule: the answer is another step (not SECCOMP_ADDFD_FLAG_SEND): ours is closed before the tracee runs on, else it
 * would hold up an unlock, the end of a fifo, or an execve (ETXTBSY) for a moment.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "hand_over.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/types.h>

#include "../reply.h"
#include "same_cpu.h"

int hand_over_here(const struct reply *reply, int fd, int flags, const cpu_set_t *all) {
    struct same_cpu same_cpu;
    same_cpu_begin(&same_cpu, (pid_t)reply->request->pid);
    int number = reply_hand_over(reply, fd, flags);
    same_cpu_end(&same_cpu, all);
    return number;
}

/* There is no notification 0. */
int hand_over_can(int listener) {
    struct seccomp_notif_addfd addfd = {.id = 0, .srcfd = (uint32_t)listener};
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd) >= 0 || errno == ENOENT ? 0 : -errno;
}
