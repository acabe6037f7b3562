/* terminal.h - terminals that the notify trap opens for tracees.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_TERMINAL_H
#define PTOVERLAY_TERMINAL_H

#include <stdbool.h>
#include <sys/stat.h>

#include "../../calls/call.h"

/* /dev/tty, which is another terminal to each session. */
bool terminal_is_own(const struct stat *st);
/* Opens the controlling terminal of the task: a descriptor of ours, or -errno; -ENXIO: it has none. */
int terminal_open_own(pid_t tid, const struct call *call);
/* Would the terminal become the controlling one of the task that opens it with these flags?  tty_open() in
 * drivers/tty/tty_io.c. */
bool terminal_becomes_own(pid_t tid, const struct stat *st, int flags);
/* The call becomes the one that takes the tracee's descriptor for its controlling terminal; what it returns is that
 * descriptor. */
void terminal_take(struct call *call, int descriptor);

#endif
