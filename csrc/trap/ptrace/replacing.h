/* replacing.h - calls that wait until descriptors of what they have copied up are replaced: the ptrace trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_REPLACING_H
#define PTOVERLAY_PTRACE_REPLACING_H

#include <stdbool.h>

#include "../descriptors/rounds.h"
#include "tracees.h"

struct ptrace_trap;

#define REPLACING_WAKE SIGURG /* interrupts the thread's wait */

/* Zeroed: nothing is held. */
struct replacing {
    struct stale stale;
    unsigned waiting;   /* tracees in TRACEE_WAITING */
    unsigned renewing;  /* tracees with a renewer … */
    unsigned asked;     /* … that those wait for */
    struct rounds rounds;   /* since nobody waited */
    unsigned left_elsewhere; /* descriptors, in other runs of the view */
    struct copied_up *brought; /* atomic: by a call of another run, which waits, and wakes our thread, until … */
    bool adopted; /* … they are ours, and it counts as one of those that wait here */
    bool over; /* atomic */
    unsigned brought_left;
    unsigned look;      /* number of the last look at all tables */
};

/* struct run's replace; arg: the trap.  By another thread. */
unsigned replacing_bring(void *arg, struct copied_up *copied);
/* By our own thread: what another run has brought is begun. */
void replacing_adopt(struct ptrace_trap *trap);
/* The thread will adopt nothing any more. */
void replacing_finish(struct replacing *replacing);
/* At its seccomp stop, call_begin done.  True: it waits now; replacing_is_over will tell when it may go on. */
bool replacing_call(struct ptrace_trap *trap, struct tracee *tracee);
/* At a stop of a tracee with a renewer.  False: the stop is to be served. */
bool replacing_stop(struct ptrace_trap *trap, struct tracee *tracee, int status);
/* The tracee is to be removed. */
void replacing_forget(struct ptrace_trap *trap, struct tracee *tracee);
/* After each event: may all that wait go on? */
bool replacing_is_over(struct ptrace_trap *trap);
/* … and each of them, in TRACEE_WAITING, does: a rewound one to its call, and then it is TRACEE_REWOUND. */
void replacing_released(struct replacing *replacing, struct tracee *tracee);
/* While somebody waits and no event comes. */
void replacing_tick(struct ptrace_trap *trap);
/* At the end of the run. */
void replacing_clear(struct replacing *replacing);

#endif
