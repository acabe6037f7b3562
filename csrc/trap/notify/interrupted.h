/* interrupted.h - calls that a signal has ended before a worker received them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INTERRUPTED_H
#define PTOVERLAY_INTERRUPTED_H

#include <sys/types.h>

struct callers;

/* At a signal-delivery-stop, by who traces the task: such a call will be made again. */
void interrupted_mend(struct callers *callers, pid_t tid);

#endif
