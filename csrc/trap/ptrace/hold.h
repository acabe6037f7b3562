/* hold.h - calls that wait until descriptors of what they have copied up are replaced: the ptrace trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_HOLD_H
#define PTOVERLAY_HOLD_H

#include <stdbool.h>

#include "../descriptors/renew.h"
#include "tracee.h"

struct ptrace_trap;

/* Zeroed: nothing is held. */
struct hold {
    struct stale stale;
    unsigned waiting;   /* tracees in TRACEE_WAITING */
    unsigned renewing;  /* tracees with a renewer … */
    unsigned asked;     /* … that those wait for */
    unsigned rounds;    /* in which somebody was asked, since nobody waited */
    unsigned look;      /* number of the last look at all tables */
};

/* At its seccomp stop, call_begin done.  True: it waits now; hold_check will have its verdict carried out. */
bool hold_call(struct ptrace_trap *trap, struct tracee *tracee);
/* At a stop of a tracee with a renewer.  False: the stop is to be served. */
bool hold_at_stop(struct ptrace_trap *trap, struct tracee *tracee, int status);
/* The tracee is to be removed. */
void hold_forget(struct ptrace_trap *trap, struct tracee *tracee);
/* Lets go on who has waited long enough; after each event. */
void hold_check(struct ptrace_trap *trap);
/* While somebody waits and no event comes. */
void hold_tick(struct ptrace_trap *trap);
/* At the end of the run. */
void hold_clear(struct hold *hold);

#endif
