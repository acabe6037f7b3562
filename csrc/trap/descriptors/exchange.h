/* exchange.h - descriptors over a socket (SCM_RIGHTS, unix(7)), and a socket that a task can connect to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_EXCHANGE_H
#define PTOVERLAY_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "../../calls/compat_layout.h"
#include "stale.h"

/* A message of one byte with descriptors, as it lies in memory. */
struct parcel {
    struct msghdr message;
    struct iovec part;
    char byte;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(STALE_MOST * sizeof(int))];
    } control;
};
/* For memory at that address; n 0: with room for STALE_MOST. */
void exchange_fill(struct parcel *parcel, uint64_t address, const int *fds, size_t n);
/* The same as a 32-bit program has it. */
struct compat_parcel {
    struct compat_msghdr message;
    struct compat_iovec part;
    char byte;
    struct {
        uint32_t length;
        int32_t level, type;
        int fds[STALE_MOST];
    } control;
};
void exchange_fill_compat(struct compat_parcel *parcel, uint64_t address, const int *fds, size_t n);
size_t exchange_open_compat(const struct compat_parcel *parcel, int fds[STALE_MOST]);
/* How many came, after recvmsg(2) into the memory that this is a copy of. */
size_t exchange_open(struct parcel *parcel, int fds[STALE_MOST]);

bool exchange_send(int socket, const int *fds, size_t n);
/* How many came; the others are -1. */
size_t exchange_receive(int socket, int fds[STALE_MOST]);

/* A listening socket and its name, which no other process has; -errno. */
int exchange_listen(struct sockaddr_un *name, socklen_t *length);
/* What this process has connected, -1: nothing. */
int exchange_accept(int listener, pid_t process);

#endif
