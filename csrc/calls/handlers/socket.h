/* socket.h - addresses of sockets.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_SOCKET_H
#define PTOVERLAY_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

struct call;
struct address;

#define ADDRESS_PATH_AT offsetof(struct sockaddr_un, sun_path)
/* Looks up the peer that an address names.  1: the tracee is to use the scratch's `address`; 0: its own; -errno. */
int socket_peer(struct call *call, uint64_t at, uint64_t length);
/* Writes an address as the kernel does: cut to the tracee's buffer of `size` bytes, its true length beside. -EFAULT. */
int socket_tell(struct call *call, uint64_t at, uint64_t length_at, int size, const struct address *address);

#endif
