/* network.h - a CMD without a network.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NETWORK_H
#define PTOVERLAY_NETWORK_H

/* From now on this process, and all that it starts, makes sockets of AF_UNIX alone; any other one is EACCES.  It may
 * enter filters already (seccomp(2)).  0, or -errno.  Async-signal-safe. */
int network_forbid(void);

#endif
