/* trap.h - the ptrace trap as its parts see it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_TRAP_H
#define PTOVERLAY_PTRACE_TRAP_H

#include "../../command/run.h"
#include "../../command/start.h"
#include "replacing.h"
#include "same_cpu.h"
#include "tracees.h"
#include "way_in.h"

struct ptrace_trap {
    struct run *run;
    struct tracees tracees;
    struct start start;
    struct same_cpu same_cpu;
    struct replacing replacing;
    struct way_in way_in;
    pthread_t thread;         /* that serves */
    pid_t cmd;                /* process id of CMD */
    bool cmd_ended;           /* reaped; its status is in the result */
    bool ending;              /* all tracees are being killed */
    int cmd_stop;             /* CMD has been stopped by this signal of the terminal's, and we have not; 0 */
};

#endif
