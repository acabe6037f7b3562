/* rounds.c - who is asked to replace stale descriptors, and how often.
 *
 * A call has copied up a file that somebody may have open.  Before its verdict is carried out all tables of
 * descriptors are looked at, one task of each that has stale ones is interrupted and replaces them (renew.c), and so
 * once more until there are none (a fork in between copies them).  How a task is interrupted and the call waits is
 * the trap's: ptrace/replacing.c, notify/replacing.c.
 *
 * Rules:
 * - Nobody waits for who cannot stop: a task in an uninterruptible sleep (a vfork(2) that waits for the very caller;
 *   by notify the caller itself, until it is answered) runs no instruction of its own before it stops for us.  All
 *   others of its table are asked then: whichever runs first replaces them.
 * - A task that was let open a file may yet get the lower's; it counts as having it open.  Who opens is asked before
 *   the look: who is not in its open any more has its descriptor then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "rounds.h"

#include <string.h>

#include "../../command/record.h"
#include "../../process/family.h"

#define ROUNDS 8u

bool rounds_next(struct rounds *rounds, const struct rounds_way *way, void *arg) {
    bool asks = rounds->n++ < ROUNDS;
    if (asks)
        way->ask_opening(arg);
    rounds->left = way->look(arg);
    if (asks && rounds->left)
        way->ask(arg);
    return asks && rounds->left;
}

bool rounds_can_stop(pid_t tid) {
    char state = family_state(tid);
    return state && !strchr("DZX", state);
}

bool rounds_is_stuck(const struct renewer *renewer, pid_t tid) {
    return !renew_begun(renewer) && family_state(tid) == 'D';
}

bool rounds_report(struct run *run, unsigned left) {
    __atomic_add_fetch(&run->result->stats.left_lower, left, __ATOMIC_RELAXED);
    return left && (run->command->flags & PTO_STRICT);
}

void rounds_refuse(struct call *call) {
    call->kill = true;
    call->reason = "a descriptor of the lower file could not be replaced";
}
