/* interrupted.c - calls that a signal has ended before a worker received them: they are made again (tender.c).
 *
 * Rule: a call that went on in the kernel and waited there (connect, open of a fifo) keeps its EINTR.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "../../calls/table.h"
#include "interrupted.h"

#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "../../arch/arch.h"
#include "../../process/memory.h"
#include "callers.h"
#include "signals.h"

/* Of the trapped ones. */
static bool waits_on_socket(int nr) {
    static const int calls[] = {
        __NR_connect, __NR_sendto,   __NR_sendmsg, __NR_sendmmsg, __NR_accept,
        __NR_accept4, __NR_recvfrom, __NR_recvmsg, __NR_recvmmsg,
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i] == nr)
            return true;
    return false;
}

/* An open that went on in the kernel waits if it is of a fifo, say.  What cannot be looked at is taken for one. */
static bool opens_what_waits(pid_t tid, int nr, const struct registers *regs) {
    char path[PATH_MAX];
    struct stat st;
    unsigned arg = nr == __NR_openat || nr == __NR_openat2 ? 1 : 0;
    if (memory_read_string(&MEMORY(tid), registers_arg(regs, arg), path, sizeof path) <= 0 || path[0] != '/')
        return true;
    return stat(path, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

static bool is_due(struct callers *callers, pid_t tid, int nr, const struct registers *regs) {
    uint64_t arg[6];
    for (unsigned i = 0; i < 6; i++)
        arg[i] = registers_arg(regs, i);
    if (!table_row(nr) && !signals_traps(nr, arg))
        return false;
    if (!waits_on_socket(nr) && !call_is_open(nr))
        return true;
    if (!callers_continued(callers, tid, nr, arg))
        return true;
    return call_is_open(nr) && !opens_what_waits(tid, nr, regs);
}

void interrupted_mend(struct callers *callers, pid_t tid) {
    struct registers regs;
    if (registers_read(tid, &regs) || !registers_is_interrupted(&regs))
        return;
    int nr = arch_call_number(tid, &regs);
    if (is_due(callers, tid, nr, &regs))
        (void)registers_restart(tid, &regs, nr);
}
