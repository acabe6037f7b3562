/* seccomp_stop.c - what a tracee asks for that stands in a PTRACE_EVENT_SECCOMP.
 *
 * Before Linux 5.3 it is in its registers, which do not say by which architecture's table the number goes: so the
 * filter does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>

#include "../../arch/arch.h"
#include "../../command/filter.h"
#include "seccomp_stop.h"

static bool is_there(pid_t tid) {
    siginfo_t info;
    return ptrace(PTRACE_GETSIGINFO, tid, NULL, &info) == 0 && info.si_code == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
}

static int by_registers(pid_t tid, struct __ptrace_syscall_info *info) {
    unsigned long message;
    struct registers regs;
    if (!is_there(tid) || ptrace(PTRACE_GETEVENTMSG, tid, NULL, &message) < 0 || registers_read(tid, &regs))
        return -ESRCH;
    *info = (struct __ptrace_syscall_info){.op = PTRACE_SYSCALL_INFO_SECCOMP};
    regs.compat = message == FILTER_FOREIGN;
    info->arch = regs.compat ? ARCH_COMPAT : ARCH_AUDIT;
    info->instruction_pointer = registers_ip(&regs);
    info->seccomp.nr = (uint64_t)arch_call_number(tid, &regs);
    for (unsigned i = 0; i < 6; i++)
        info->seccomp.args[i] = registers_arg(&regs, i);
    return 0;
}

int seccomp_stop_info(pid_t tid, struct __ptrace_syscall_info *info) {
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof *info, info) > 0)
        return info->op == PTRACE_SYSCALL_INFO_SECCOMP ? 0 : -ESRCH;
    return errno == EIO ? by_registers(tid, info) : -ESRCH;
}
