/* stops.h - the stops of a tracee, as wait4(2) tells them (ptrace(2)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_STOPS_H
#define PTOVERLAY_STOPS_H

#include <stdbool.h>

/* PTRACE_EVENT_*, 0: another stop. */
int stops_event(int status);
/* At the entry or the exit of a system call (PTRACE_O_TRACESYSGOOD). */
bool stops_at_syscall(int status);
/* Before a signal is delivered. */
bool stops_at_signal(int status);
/* Does it stop who gets it? */
bool stops_by(int signal);
/* By that signal, as it would be without us: PTRACE_LISTEN leaves it so. */
bool stops_in_group(int status);
/* … one that a terminal sends: that signal, else 0. */
int stops_for_terminal(int status);

#endif
