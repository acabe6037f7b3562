/* cmd.h - the end and the stops of CMD: the notify trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CMD_H
#define PTOVERLAY_CMD_H

#include <sys/types.h>

struct notify_trap;

/* tid has been reaped, perhaps by a worker that traced it: it may be CMD, for which the run's thread waits. */
void cmd_reaped(struct notify_trap *trap, pid_t tid, int status);
/* To be called now and then: a CMD that has been stopped for a whole tick, by a signal of the terminal's, stops us
 * too, once. */
void cmd_mirror_stop(struct notify_trap *trap);

#endif
