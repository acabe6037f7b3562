/* restart.c - calls that a stop of ours, or a signal, has interrupted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "restart.h"

#include <errno.h>
#include <sys/syscall.h>

#include "../process/family.h"

bool restart_after_stop(pid_t tid, struct registers *regs, int *nr, uint64_t mask) {
    if (!ARCH_CAN_RESTART || *nr < 0 || *nr == __NR_close || registers_result(regs) != -EINTR ||
        (family_pending(tid) & ~mask))
        return false;
    registers_rewind(regs, *nr);
    *nr = -1;
    return true;
}

bool restart_comes(long result) {
    return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}
