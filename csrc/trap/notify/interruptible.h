/* interruptible.h - which processes have signal handlers that would make calls fail, and which tracees are to be let go.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INTERRUPTIBLE_H
#define PTOVERLAY_INTERRUPTIBLE_H

#include <stdbool.h>

#include "../../command/filter.h"

struct worker;

/* What its filter wants to see. */
#define INTERRUPTIBLE_EXTRAS 10
extern const struct filter_extra interruptible_extras[INTERRUPTIBLE_EXTRAS];

/* Is this one of them? */
bool interruptible_traps(int nr, const uint64_t arg[6]);
/* If the notification is one of these: answers it. */
bool interruptible_notified(struct worker *worker);

#endif
