/* stops.c - the stops of a tracee, as wait4(2) tells them (ptrace(2)).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "stops.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define AT_SYSCALL (SIGTRAP | 0x80)     /* PTRACE_O_TRACESYSGOOD */

int stops_event(int status) {
    return status >> 16;
}

bool stops_at_syscall(int status) {
    return stops_event(status) == 0 && WSTOPSIG(status) == AT_SYSCALL;
}

bool stops_at_signal(int status) {
    return stops_event(status) == 0 && WSTOPSIG(status) != AT_SYSCALL;
}

bool stops_by(int signal) {
    return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

bool stops_in_group(int status) {
    return stops_event(status) == PTRACE_EVENT_STOP && stops_by(WSTOPSIG(status));
}

int stops_for_terminal(int status) {
    return stops_in_group(status) && WSTOPSIG(status) != SIGSTOP ? WSTOPSIG(status) : 0;
}
