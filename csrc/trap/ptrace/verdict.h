/* verdict.h - one call of a tracee under ptrace, from its seccomp stop to its end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_PTRACE_VERDICT_H
#define PTOVERLAY_PTRACE_VERDICT_H

struct ptrace_trap;
struct tracee;

/* Each leaves the tracee running. */
void verdict_at_seccomp_stop(struct ptrace_trap *trap, struct tracee *tracee);
/* At its seccomp stop still, a call that has waited (replacing.h). */
void verdict_go_on(struct ptrace_trap *trap, struct tracee *tracee);
void verdict_at_exit_stop(struct ptrace_trap *trap, struct tracee *tracee);
/* At PTRACE_EVENT_EXEC: the call under way has succeeded.  Does not resume. */
void verdict_at_exec(struct ptrace_trap *trap, struct tracee *tracee);
/* The tracee is dead: ends the call that was under way, if any. */
void verdict_at_death(struct ptrace_trap *trap, struct tracee *tracee);

#endif
