/* stop.h - we stop when CMD does, as a job of a shell.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_STOP_H
#define PTOVERLAY_STOP_H

#include <sys/types.h>

/* CMD has been stopped by a signal of the terminal's (not SIGSTOP) and still is: the shell that waits for us must see a
 * stopped job, so we stop as well, if we are one.  news: of waitid(2), what tells that CMD is stopped no more. */
void stop_with_cmd(pid_t cmd, int signal, int news);

#endif
