/* signals.c - the calls by which a signal handler comes to be that would make calls fail (tender.c), and a tracer.
 *
 * posix_spawn(3) sets all 64 signals to SIG_DFL in each child, so what a filter can tell apart must not be trapped:
 * asking, and the signals that only faults raise.  Real-time signals come from few calls, and so do those that the
 * kernel itself raises in no call but the thread's own (SIGPIPE, SIGXFSZ) or not at all (SIGPWR, SIGSTKFLT); it is
 * those calls that are trapped, and not the rt_sigaction of a handler, which may come later.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "signals.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

static const uint32_t attaching[] = {PTRACE_ATTACH, PTRACE_SEIZE, 0}; /* and PTRACE_TRACEME, which is 0 */
static const uint32_t raised[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGUSR1,   SIGUSR2, SIGALRM, SIGTERM,
                                  SIGCHLD, SIGCONT, SIGTSTP,  SIGTTIN,   SIGTTOU, SIGURG,  SIGXCPU,
                                  SIGPROF, SIGIO,   SIGWINCH, SIGVTALRM, 0};
static const uint32_t sent[] = {SIGPIPE, SIGXFSZ, SIGPWR, SIGSTKFLT, 34, 35, 36, 37, 38, 39, 40, 41,
                                42,      43,      44,     45,        46, 47, 48, 49, 50, 51, 52, 53,
                                54,      55,      56,     57,        58, 59, 60, 61, 62, 63, 64, 0};
static const uint32_t set_signal[] = {F_SETSIG, 0};

const struct filter_extra signals_extras[SIGNALS_EXTRAS] = {
    {.nr = __NR_rt_sigaction, .arg = 0, .values = raised, .given = 1 + 1},
    {.nr = __NR_timer_create, .arg = 1, .mask = UINT64_MAX},
    {.nr = __NR_mq_notify, .arg = 1, .mask = UINT64_MAX},
    {.nr = __NR_fcntl, .arg = 1, .values = set_signal},
    {.nr = __NR_kill, .arg = 1, .values = sent},
    {.nr = __NR_tkill, .arg = 1, .values = sent},
    {.nr = __NR_tgkill, .arg = 2, .values = sent},
    {.nr = __NR_rt_sigqueueinfo, .arg = 1, .values = sent},
    {.nr = __NR_rt_tgsigqueueinfo, .arg = 2, .values = sent},
    {.nr = __NR_ptrace, .arg = 0, .values = attaching, .zero = true},
};

static bool is_in(const struct filter_extra *extra, uint32_t value) {
    for (const uint32_t *next = extra->values; *next; next++)
        if (*next == value)
            return true;
    return value == 0 && extra->zero;
}

bool signals_traps(int nr, const uint64_t arg[6]) {
    for (size_t i = 0; i < SIGNALS_EXTRAS; i++) {
        const struct filter_extra *extra = &signals_extras[i];
        if (extra->nr == nr && (extra->values ? is_in(extra, (uint32_t)arg[extra->arg]) : arg[extra->arg] != 0))
            return !extra->given || arg[extra->given - 1];
    }
    return false;
}
