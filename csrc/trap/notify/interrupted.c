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
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../arch/arch.h"
#include "../../process/memory.h"
#include "../stops.h"
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

/* A socketcall(2) is one that waits. */
static bool is_due_compat(struct callers *callers, pid_t tid, int nr) {
    static const uint64_t none[6];
    struct compat_call as = compat_call(nr);
    bool trapped = as.form == COMPAT_SOCKETS || (as.native >= 0 && table_row(as.native));
    bool waits = as.form == COMPAT_SOCKETS || waits_on_socket(as.native) || call_is_open(as.native);
    return trapped && !(waits && callers_continued(callers, tid, nr, none, true));
}

static bool is_due(struct callers *callers, pid_t tid, int nr, const struct registers *regs) {
    uint64_t arg[6];
    if (arch_in_compat_call(tid))
        return is_due_compat(callers, tid, nr);
    for (unsigned i = 0; i < 6; i++)
        arg[i] = registers_arg(regs, i);
    if (!table_row(nr) && !signals_traps(nr, arg))
        return false;
    if (!waits_on_socket(nr) && !call_is_open(nr))
        return true;
    if (!callers_continued(callers, tid, nr, arg, false))
        return true;
    return call_is_open(nr) && !opens_what_waits(tid, nr, regs);
}

/* ---- to the handler, where the registers alone do not do it ---- */

struct interrupted {
    struct interrupted *next;
    pid_t tid;
    struct registers regs; /* before the signal */
};

static struct interrupted **find_step(struct interrupted **link, pid_t tid) {
    while (*link && (*link)->tid != tid)
        link = &(*link)->next;
    return link;
}

static void remove_step(struct interrupted **link) {
    struct interrupted *step = *link;
    *link = step->next;
    free(step);
}

static bool begin_step(struct interrupted **steps, pid_t tid, const struct registers *regs) {
    struct interrupted *step = malloc(sizeof *step);
    if (!step)
        return false;
    *step = (struct interrupted){.next = *steps, .tid = tid, .regs = *regs};
    *steps = step;
    return true;
}

/* The notice of signal_delivered() in kernel/signal.c, or an instruction was done since there was no handler. */
static bool is_step(pid_t tid, int status) {
    siginfo_t info;
    return stops_event(status) == 0 && WSTOPSIG(status) == SIGTRAP &&
           ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 && (info.si_code == SIGTRAP || info.si_code == TRAP_TRACE);
}

bool interrupted_stepped(struct interrupted **steps, pid_t tid, int status) {
    struct interrupted **link = find_step(steps, tid);
    if (!*link)
        return false;
    bool step = is_step(tid, status);
    if (step)
        arch_restart_in_frame(tid, &(*link)->regs);
    remove_step(link);
    return step;
}

void interrupted_forget(struct interrupted **steps, pid_t tid) {
    struct interrupted **link = find_step(steps, tid);
    if (*link)
        remove_step(link);
}

bool interrupted_mend(struct interrupted **steps, struct callers *callers, pid_t tid) {
    struct registers regs;
    int nr = registers_read(tid, &regs) ? -1 : arch_interrupted_call(tid, &regs);
    if (nr < 0 || !is_due(callers, tid, nr, &regs))
        return false;
    arch_restart(tid, &regs, nr);
    return ARCH_STEPS && steps && begin_step(steps, tid, &regs);
}
