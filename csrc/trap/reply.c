/* reply.c - one notification, and what may be said to it.
 *
 * Rule: everything that is to be done for a call is done before, since with it the tracee runs on and may call again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "reply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, uint64_t)     /* Linux 6.6 */
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP 1ul
#endif

int reply_init(struct reply *reply, int listener) {
    *reply = (struct reply){.listener = listener};
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &reply->sizes) < 0)
        return -errno;
    if (reply->sizes.seccomp_notif < sizeof(struct seccomp_notif))
        reply->sizes.seccomp_notif = sizeof(struct seccomp_notif);
    if (reply->sizes.seccomp_notif_resp < sizeof(struct seccomp_notif_resp))
        reply->sizes.seccomp_notif_resp = sizeof(struct seccomp_notif_resp);
    reply->request = calloc(1, reply->sizes.seccomp_notif);
    reply->response = calloc(1, reply->sizes.seccomp_notif_resp);
    return reply->request && reply->response ? 0 : -ENOMEM;
}

void reply_clear(struct reply *reply) {
    free(reply->request);
    free(reply->response);
}

int reply_receive(struct reply *reply) {
    memset(reply->request, 0, reply->sizes.seccomp_notif);
    return ioctl(reply->listener, SECCOMP_IOCTL_NOTIF_RECV, reply->request) < 0 ? -errno : 0;
}

int reply_wake_in_sync(int listener, bool sync) {
    uint64_t flags = sync ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0;
    return ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) < 0 ? -errno : 0;
}

static void respond(struct reply *reply, long value, uint32_t flags) {
    memset(reply->response, 0, reply->sizes.seccomp_notif_resp);
    reply->response->id = reply->request->id;
    reply->response->val = value > 0 ? value : 0;
    reply->response->error = value < 0 ? (int32_t)value : 0;
    reply->response->flags = flags;
    /* Other workers' wake-ups may happen to be without the flag, too: that costs time, nothing else. */
    if (reply->strays)
        (void)reply_wake_in_sync(reply->listener, false);
    /* It fails when the thread has been killed, and then nobody waits for it. */
    (void)ioctl(reply->listener, SECCOMP_IOCTL_NOTIF_SEND, reply->response);
    if (reply->strays)
        (void)reply_wake_in_sync(reply->listener, true);   /* it has been done before */
}

void reply_value(struct reply *reply, long value) {
    respond(reply, value, 0);
}

void reply_continue(struct reply *reply) {
    respond(reply, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int reply_awaited(const struct reply *reply) {
    uint64_t id = reply->request->id;
    return ioctl(reply->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) < 0 ? -ESRCH : 0;
}

int reply_hand_over(const struct reply *reply, int fd, int flags) {
    struct seccomp_notif_addfd addfd = {
        .id = reply->request->id,
        .srcfd = (uint32_t)fd,
        .newfd_flags = flags & O_CLOEXEC ? O_CLOEXEC : 0,
    };
    int number = ioctl(reply->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &addfd);
    return number < 0 ? -errno : number;
}
