/* reply.h - one notification, and what may be said to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_REPLY_H
#define PTOVERLAY_REPLY_H

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

struct reply {
    int listener;
    struct seccomp_notif_sizes sizes;       /* that the kernel asks for, of those two */
    struct seccomp_notif *request;
    struct seccomp_notif_resp *response;
    bool strays;                            /* the caller is not to be woken on this CPU */
};

/* 0, or -errno. */
int reply_init(struct reply *reply, int listener);
void reply_clear(struct reply *reply);

/* Waits for a notification. 0, or -errno. */
int reply_receive(struct reply *reply);

/* After the last word of it nothing of the caller's may be touched. */
void reply_value(struct reply *reply, long value);      /* value or -errno */
void reply_continue(struct reply *reply);
/* The number that our descriptor has in the caller now, or -errno.  flags: O_CLOEXEC, or not. */
int reply_hand_over(const struct reply *reply, int fd, int flags);
/* 0: the call is still waiting for its answer; -ESRCH: its thread was killed. */
int reply_awaited(const struct reply *reply);

/* Whether both ends of a notification are woken on the CPU of who wakes them; -errno before Linux 6.6. */
int reply_wake_in_sync(int listener, bool sync);

#endif
