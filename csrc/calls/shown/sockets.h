/* sockets.h - what AF_UNIX sockets are called, where the kernel has another name for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SOCKETS_H
#define PTOVERLAY_SOCKETS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    socklen_t length;
    struct sockaddr_un un;
};
/* bound: what the kernel has; asked: what the tracee gave, and is to be told. */
int sockets_record(const struct address *bound, const struct address *asked);
bool sockets_find(const struct address *bound, struct address *asked);
bool sockets_any(void);
/* A session begins, or is over. */
void sockets_begin(void);
void sockets_end(void);

#endif
