/* restart.c - calls that a stop of ours, or a signal, has interrupted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "restart.h"

#include <errno.h>
#include <sys/syscall.h>

#include "../calls/compat.h"
#include "../process/family.h"

/* It must not be made again: the number may be another one's by now. */
static bool is_close(pid_t tid, int nr) {
    if (nr == __NR_close)
        return !arch_in_compat_call(tid);
    return nr == compat_number(__NR_close) && arch_in_compat_call(tid);
}

bool restart_after_stop(pid_t tid, struct registers *regs, int *nr, uint64_t mask) {
    if (!ARCH_CAN_RESTART || *nr < 0 || registers_result(regs) != -EINTR || is_close(tid, *nr) ||
        (family_pending(tid) & ~mask))
        return false;
    registers_rewind(regs, *nr);
    *nr = -1;
    return true;
}

bool restart_comes(long result) {
    return result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK;
}
