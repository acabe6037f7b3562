/* exchange.c - descriptors over a socket (SCM_RIGHTS, unix(7)), and a socket that a task can connect to.
 *
 * Rules: the name is an abstract one that the kernel chooses, so it takes no place in a file system, and tasks in a
 * chroot and with other credentials reach it; those in another network namespace do not.  Anybody else could connect
 * too, so it is asked who did.  Nothing waits: what is not there at once does not come.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"

#define BACKLOG 8

void exchange_fill(struct parcel *parcel, uint64_t address, const int *fds, size_t n) {
    size_t room = n ? n : STALE_MOST;
    *parcel = (struct parcel){
        .message = {.msg_iov = (void *)(uintptr_t)(address + offsetof(struct parcel, part)),
                    .msg_iovlen = 1,
                    .msg_control = (void *)(uintptr_t)(address + offsetof(struct parcel, control)),
                    .msg_controllen = n ? CMSG_SPACE(room * sizeof(int)) : sizeof parcel->control},
        .part = {.iov_base = (void *)(uintptr_t)(address + offsetof(struct parcel, byte)), .iov_len = 1},
    };
    if (n == 0)
        return;
    struct cmsghdr *header = &parcel->control.align;
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(header), fds, n * sizeof(int));
}

#define COMPAT_HEADER (offsetof(struct compat_parcel, control.fds) - offsetof(struct compat_parcel, control))

void exchange_fill_compat(struct compat_parcel *parcel, uint64_t address, const int *fds, size_t n) {
    size_t control = n ? COMPAT_HEADER + n * sizeof(int) : sizeof parcel->control;
    *parcel = (struct compat_parcel){
        .message = {.iov = (uint32_t)(address + offsetof(struct compat_parcel, part)),
                    .iov_length = 1,
                    .control = (uint32_t)(address + offsetof(struct compat_parcel, control)),
                    .control_length = (uint32_t)control},
        .part = {.base = (uint32_t)(address + offsetof(struct compat_parcel, byte)), .length = 1},
        .control = {.length = (uint32_t)control, .level = SOL_SOCKET, .type = SCM_RIGHTS},
    };
    if (n)
        memcpy(parcel->control.fds, fds, n * sizeof(int));
}

size_t exchange_open_compat(const struct compat_parcel *parcel, int fds[STALE_MOST]) {
    size_t length = parcel->control.length;
    if (parcel->message.control_length < COMPAT_HEADER || length < COMPAT_HEADER ||
        parcel->control.level != SOL_SOCKET || parcel->control.type != SCM_RIGHTS)
        return 0;
    size_t n = (length - COMPAT_HEADER) / sizeof(int);
    n = n < STALE_MOST ? n : STALE_MOST;
    memcpy(fds, parcel->control.fds, n * sizeof(int));
    return n;
}

size_t exchange_open(struct parcel *parcel, int fds[STALE_MOST]) {
    parcel->message.msg_control = parcel->control.bytes;
    if (parcel->message.msg_controllen > sizeof parcel->control)
        return 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&parcel->message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    n = n < STALE_MOST ? n : STALE_MOST;
    memcpy(fds, CMSG_DATA(header), n * sizeof(int));
    return n;
}

bool exchange_send(int socket, const int *fds, size_t n) {
    struct parcel parcel;
    exchange_fill(&parcel, (uintptr_t)&parcel, fds, n);
    return sendmsg(socket, &parcel.message, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

size_t exchange_receive(int socket, int fds[STALE_MOST]) {
    struct parcel parcel;
    for (size_t i = 0; i < STALE_MOST; i++)
        fds[i] = -1;
    exchange_fill(&parcel, (uintptr_t)&parcel, NULL, 0);
    return recvmsg(socket, &parcel.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1 ? exchange_open(&parcel, fds) : 0;
}

int exchange_listen(struct sockaddr_un *name, socklen_t *length) {
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    *length = sizeof *name;
    if (bind(fd, (const struct sockaddr *)name, sizeof name->sun_family) == 0 && listen(fd, BACKLOG) == 0 &&
        getsockname(fd, (struct sockaddr *)name, length) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int exchange_accept(int listener, pid_t process) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct ucred peer;
        socklen_t size = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == process)
            return fd;
        close(fd);
    }
    return -1;
}
