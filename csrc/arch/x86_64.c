/* x86_64.c - registers of a tracee on x86-64.
 *
 * The rule to keep: orig_rax decides what a signal does to an interrupted call.  -1 means "not in a system
 * call": the result in rax stays as it is (arch/x86/kernel/signal.c, handle_signal).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#ifdef __x86_64__
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>

#include "arch.h"

#define SYSCALL_SIZE 2   /* bytes of the instruction `syscall` */

const unsigned char arch_syscall_code[] = {0x0f, 0x05};
const size_t arch_syscall_size = SYSCALL_SIZE, arch_syscall_align = 1;

typedef unsigned long long user_reg;

static const size_t arg_offset[6] = {
    offsetof(struct user_regs_struct, rdi), offsetof(struct user_regs_struct, rsi),
    offsetof(struct user_regs_struct, rdx), offsetof(struct user_regs_struct, r10),
    offsetof(struct user_regs_struct, r8),  offsetof(struct user_regs_struct, r9),
};
static const size_t compat_arg_offset[6] = {
    offsetof(struct user_regs_struct, rbx), offsetof(struct user_regs_struct, rcx),
    offsetof(struct user_regs_struct, rdx), offsetof(struct user_regs_struct, rsi),
    offsetof(struct user_regs_struct, rdi), offsetof(struct user_regs_struct, rbp),
};

static size_t offset_of(const struct registers *regs, unsigned arg) {
    return regs->compat ? compat_arg_offset[arg] : arg_offset[arg];
}

int registers_read(pid_t tid, struct registers *regs) {
    regs->compat = false;
    return ptrace(PTRACE_GETREGS, tid, NULL, &regs->raw) < 0 ? -errno : 0;
}

int registers_write(pid_t tid, const struct registers *regs, int nr) {
    struct user_regs_struct raw = regs->raw;
    raw.orig_rax = (user_reg)nr;
    return ptrace(PTRACE_SETREGS, tid, NULL, &raw) < 0 ? -errno : 0;
}

uint64_t registers_arg(const struct registers *regs, unsigned arg) {
    return *(const user_reg *)((const char *)&regs->raw + offset_of(regs, arg));
}

void registers_set_arg(struct registers *regs, unsigned arg, uint64_t value) {
    *(user_reg *)((char *)&regs->raw + offset_of(regs, arg)) = value;
}

void registers_restore_arg(struct registers *regs, unsigned arg, uint64_t value) {
    registers_set_arg(regs, arg, value);
}

long registers_result(const struct registers *regs) {
    return (long)regs->raw.rax;
}

void registers_set_result(struct registers *regs, long value) {
    regs->raw.rax = (user_reg)value;
}

void registers_rewind(struct registers *regs, int nr) {
    regs->raw.rip -= SYSCALL_SIZE;
    regs->raw.rax = (user_reg)nr;
}

uint64_t registers_ip(const struct registers *regs) {
    return regs->raw.rip;
}

void registers_set_ip(struct registers *regs, uint64_t ip) {
    regs->raw.rip = ip;
}

int arch_interrupted_call(pid_t tid, const struct registers *regs) {
    (void)tid;
    return (long)regs->raw.rax == -ERESTARTSYS ? (int)regs->raw.orig_rax : -1;
}

void arch_restart(pid_t tid, struct registers *regs, int nr) {
    regs->raw.rax = (user_reg)-ERESTARTNOINTR;
    (void)registers_write(tid, regs, nr);
}

void arch_restart_in_frame(pid_t tid, const struct registers *regs) {
    (void)tid;
    (void)regs;
}

bool registers_at_interrupted(struct registers *regs, int nr, uint64_t ip) {
    return regs->raw.rip == ip && (int)regs->raw.orig_rax == nr && (long)regs->raw.rax == -ERESTARTSYS;
}

int arch_call_number(pid_t tid, const struct registers *regs) {
    (void)tid;
    return (int)regs->raw.orig_rax;
}

bool arch_in_compat_call(pid_t tid) {
    struct __ptrace_syscall_info info;
    return ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0 && info.arch == ARCH_COMPAT;
}

int arch_skip_call(pid_t tid, long value) {
    if (ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, orig_rax), -1L) < 0)
        return -errno;
    return ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rax), value) < 0 ? -errno : 0;
}
#endif
