/* cmd.c - the end and the stops of CMD: the notify trap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "cmd.h"

#include <signal.h>
#include <sys/wait.h>

#include "../../command/slot.h"
#include "../../command/stop.h"
#include "trap.h"

void cmd_reaped(struct notify_trap *trap, pid_t tid, int status) {
    if (tid != trap->start.pid)
        return;
    trap->run->result->status = status;
    slot_cmd_ended(trap->run->slot, 0, trap->callers.roster->ids, ROSTER_SLOTS);
    __atomic_store_n(&trap->cmd_reaped, true, __ATOMIC_RELEASE);
}

/* The same for a CMD that the tender traces. */
static void mirror_traced(struct notify_trap *trap, int signal) {
    if (signal == trap->cmd_stop) {
        __atomic_store_n(&trap->tender.cmd_stop, 0, __ATOMIC_RELAXED);
        stop_with_cmd(trap->start.pid, signal, WEXITED | WSTOPPED);
        signal = 0;
    }
    trap->cmd_stop = signal;
}

void cmd_mirror_stop(struct notify_trap *trap) {
    siginfo_t info = {.si_pid = 0};
    if (trap->run->channel >= 0)
        return;   /* it is no child of ours, and who waits for it stops with it */
    int traced = __atomic_load_n(&trap->tender.cmd_stop, __ATOMIC_RELAXED);
    if (traced && trap->cmd_pidfd >= 0) {
        mirror_traced(trap, traced);
        return;
    }
    if (trap->cmd_pidfd < 0 || waitid(P_PID, (id_t)trap->start.pid, &info, WSTOPPED | WNOHANG | WNOWAIT) < 0)
        return;
    int signal = info.si_pid && info.si_code == CLD_STOPPED && info.si_status != SIGSTOP ? info.si_status : 0;
    if (signal && signal == trap->cmd_stop) {
        (void)waitid(P_PID, (id_t)trap->start.pid, &info, WSTOPPED | WNOHANG);
        stop_with_cmd(trap->start.pid, signal, WEXITED | WCONTINUED);
        signal = 0;
    }
    trap->cmd_stop = signal;
}
