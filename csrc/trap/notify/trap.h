/* trap.h - the notify trap as its parts see it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_TRAP_H
#define PTOVERLAY_NOTIFY_TRAP_H

#include "../../command/run.h"
#include "../../command/start.h"
#include "callers.h"
#include "crew.h"
#include "debugged.h"
#include "guard.h"
#include "inside.h"
#include "openings.h"
#include "tender.h"

struct notify_trap {
    struct run *run;
    struct start start;
    struct callers callers;
    struct crew crew;
    struct guard guard;
    struct tender tender;
    struct openings openings;
    struct borrowers borrowers;
    struct spawners spawners;
    int listener;
    int cmd_pidfd;
    bool has_callers, has_crew;   /* were made, and are to be cleared */
    bool ending;                  /* whoever calls is killed */
    bool cmd_reaped;              /* and its status is in the result */
    bool reaper_set;              /* we became the reaper of orphans, and were not */
    int cmd_stop;                 /* the signal by which CMD was found stopped at the last tick, 0: it was not */
};

#endif
