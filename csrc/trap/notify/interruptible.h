/* interruptible.h - which processes have signal handlers that would make calls fail, and which tracees are to be let
 * go.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INTERRUPTIBLE_H
#define PTOVERLAY_INTERRUPTIBLE_H

#include <stdbool.h>

struct worker;

/* If the notification is of one of the calls of signals.h: answers it. */
bool interruptible_notified(struct worker *worker);

#endif
