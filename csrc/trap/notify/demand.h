/* demand.h - how many workers should wait for notifications at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_DEMAND_H
#define PTOVERLAY_DEMAND_H

#include <stdbool.h>
#include <stdint.h>

#define DEMAND_CALLS 128u /* notifications from one look to the next */

struct demand {
    uint32_t last_pid;      /* atomic: whose notification was received last */
    unsigned turns;         /* atomic: how often it was another's than the one before */
    uint64_t switches;      /* how often our threads had given up the CPU at the last look */
    unsigned since;         /* looks since one more was tried */
    unsigned pause;         /* looks to let pass before that is tried again */
    unsigned wait;          /* of them, still to come */
};

/* For each notification: whose it is. */
void demand_count(struct demand *demand, uint32_t pid);
/* To be called after each DEMAND_CALLS notifications, not by two at a time.  wanted: how many wait now; most: that
 * could; homeless: tracees are busy that none of them serves.  How many should from now on, one more or less at
 * most. */
int demand_look(struct demand *demand, int wanted, int most, bool homeless);

#endif
