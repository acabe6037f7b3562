/* demand.c - how many workers should wait for notifications at a time.
 *
 * A call costs least with one worker that waits: it is woken on the caller's CPU.  With a second busy tracee it
 * draws both to one CPU, where they take turns.  With a worker waiting for each of them, on a CPU of its own, they
 * do not; but every notification wakes all that wait (kernel/seccomp.c, recv_wait_event: the waits are not
 * exclusive), which is dear where the CPU idles, and free where it is busy: a SCHED_BATCH thread preempts nobody,
 * and is awake already when its turn comes.
 *
 * Rules: callers that take turns are reason enough to try one worker more.  Whether it was right is told by how
 * often our threads give up the CPU (getrusage(2)): once a call, and once more for each worker that was woken for
 * nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "demand.h"

#define TURNS_MOST (DEMAND_CALLS / 16)
#define IN_VAIN_MOST (DEMAND_CALLS / 2)
#define LASTING 4u          /* looks after which one more was not tried in vain */
#define PAUSE_MOST 64u

static uint64_t switches_so_far(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) < 0 ? 0 : (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw);
}

static int one_more(struct demand *demand, int wanted) {
    if (demand->wait > 0) {
        demand->wait--;
        return wanted;
    }
    demand->since = 0;
    return wanted + 1;
}

/* What was tried in vain is tried again later and later. */
static int one_less(struct demand *demand, int wanted) {
    unsigned pause = demand->since > LASTING ? 0 : demand->pause * 2 + 1;
    demand->pause = demand->wait = pause < PAUSE_MOST ? pause : PAUSE_MOST;
    return wanted - 1;
}

void demand_count(struct demand *demand, uint32_t pid) {
    if (__atomic_exchange_n(&demand->last_pid, pid, __ATOMIC_RELAXED) != pid)
        __atomic_add_fetch(&demand->turns, 1, __ATOMIC_RELAXED);
}

int demand_look(struct demand *demand, int wanted, int most, bool homeless) {
    uint64_t switches = switches_so_far(), lately = switches - demand->switches;
    unsigned turns = __atomic_exchange_n(&demand->turns, 0, __ATOMIC_RELAXED);
    demand->switches = switches;
    demand->since++;
    if (wanted > 1 && lately > DEMAND_CALLS + IN_VAIN_MOST)
        return one_less(demand, wanted);
    bool several = wanted == 1 ? turns > TURNS_MOST : homeless;
    return several && wanted < most ? one_more(demand, wanted) : wanted;
}
