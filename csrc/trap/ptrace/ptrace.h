/* ptrace.h - the parts of the ptrace trap among themselves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_H
#define PTOVERLAY_PTRACE_H

#include "../../command/run.h"
#include "follow.h"
#include "hold.h"
#include "../../command/start.h"
#include "tracee.h"

/* Starts CMD and lives until it and what it started have ended.  0, or -errno with result->stage and
 * result->message set. */
int ptrace_run(struct run *run);

struct ptrace_trap {
    struct run *run;
    struct tracees tracees;
    struct start start;
    struct follow follow;
    struct hold hold;
    pid_t cmd;                /* process id of CMD */
    bool cmd_ended;           /* reaped; its status is in the result */
    bool ending;              /* all tracees are being killed */
    int cmd_stop;             /* CMD has been stopped by this signal of the terminal's, and we have not; 0 */
};

/* Lets a stopped tracee run on, delivering signal (0: none), to its exit stop if its call asks for one. */
void tracee_resume(const struct tracee *tracee, int signal);
/* The same after a PTRACE_EVENT_STOP, with the signal that it tells: in a group stop it stays, as it would without us,
 * until SIGCONT. */
void tracee_resume_from_stop(const struct tracee *tracee, int signal);

/* verdict.c: one call from its seccomp stop to its end.  Each leaves the tracee running. */
void verdict_at_seccomp_stop(struct ptrace_trap *trap, struct tracee *tracee);
/* At its seccomp stop still, a call that has waited (hold.h). */
void verdict_go_on(struct ptrace_trap *trap, struct tracee *tracee);
void verdict_at_exit_stop(struct ptrace_trap *trap, struct tracee *tracee);
/* At PTRACE_EVENT_EXEC: the call under way has succeeded.  Does not resume. */
void verdict_at_exec(struct ptrace_trap *trap, struct tracee *tracee);
/* The tracee is dead: ends the call that was under way, if any. */
void verdict_at_death(struct ptrace_trap *trap, struct tracee *tracee);

#endif
