/* channel.c - the messages between a supervisor and a guest.
 *
 * Rule: a message is one packet, and what does not have the size that its kind has is no message.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "channel.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "../process/descriptor.h"

int channel_send(int channel, const void *message, size_t size, int fd) {
    char control[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = {0};
    struct iovec iov = {.iov_base = (void *)message, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        *part = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
        memcpy(CMSG_DATA(part), &fd, sizeof fd);
    }
    ssize_t sent;
    while ((sent = sendmsg(channel, &header, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        continue;
    return sent < 0 ? -errno : 0;
}

static int passed_descriptor(struct msghdr *header) {
    int fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof fd))
            memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return fd;
}

static bool is_whole(const union join_message *message, size_t size) {
    static const size_t sizes[] = {[JOIN_STOP] = sizeof(struct join_head),
                                   [JOIN_CMD] = sizeof(struct join_answer),
                                   [JOIN_END] = sizeof(struct join_answer),
                                   [JOIN_OFFER] = sizeof(struct join_offer),
                                   [JOIN_RESULT] = sizeof(struct join_result)};
    return size >= sizeof message->head && message->head.kind <= JOIN_RESULT && sizes[message->head.kind] == size;
}

int channel_receive(int channel, union join_message *message, int *fd) {
    char control[CMSG_SPACE(sizeof *fd)] __attribute__((aligned(8)));
    struct iovec iov = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got;
    while ((got = recvmsg(channel, &header, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
        continue;
    if (got < 0)
        return -errno;
    *fd = passed_descriptor(&header);
    if (got == 1)
        return JOIN_GO;
    if (is_whole(message, (size_t)got))
        return (int)message->head.kind;
    descriptor_close(fd);
    *fd = -1;
    return got ? -EPROTO : -EPIPE;
}
