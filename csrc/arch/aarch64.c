/* aarch64.c - registers of a tracee on 64-bit Arm.
 *
 * The call number lives in its own register set, NT_ARM_SYSTEM_CALL.  x0 is both the first argument and the
 * result; the kernel keeps the first argument aside and puts it back itself when it restarts a call: before it stops
 * for a signal it has, with the program counter at the instruction and no number any more, and it takes that back for a
 * handler that wants EINTR (arch/arm64/kernel/signal.c, do_signal).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#ifdef __aarch64__
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <ucontext.h>

#include "arch.h"

#define SYSCALL_SIZE 4   /* bytes of the instruction `svc` */
#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

const unsigned char arch_syscall_code[] = {0x01, 0x00, 0x00, 0xd4};
const size_t arch_syscall_size = SYSCALL_SIZE, arch_syscall_align = SYSCALL_SIZE;

static int set_call_number(pid_t tid, int nr) {
    struct iovec iov = {.iov_base = &nr, .iov_len = sizeof nr};
    return ptrace(PTRACE_SETREGSET, tid, (void *)NT_ARM_SYSTEM_CALL, &iov) < 0 ? -errno : 0;
}

int registers_read(pid_t tid, struct registers *regs) {
    regs->compat = false;
    struct iovec iov = {.iov_base = &regs->raw, .iov_len = sizeof regs->raw};
    return ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

static int write_general(pid_t tid, const struct registers *regs) {
    struct registers copy = *regs;
    struct iovec iov = {.iov_base = &copy.raw, .iov_len = sizeof copy.raw};
    return ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &iov) < 0 ? -errno : 0;
}

int registers_write(pid_t tid, const struct registers *regs, int nr) {
    int error = write_general(tid, regs);
    return error ? error : set_call_number(tid, nr);
}

uint64_t registers_arg(const struct registers *regs, unsigned arg) {
    return regs->raw.regs[arg];
}

void registers_set_arg(struct registers *regs, unsigned arg, uint64_t value) {
    regs->raw.regs[arg] = value;
}

void registers_restore_arg(struct registers *regs, unsigned arg, uint64_t value) {
    if (arg != 0)
        registers_set_arg(regs, arg, value);
}

long registers_result(const struct registers *regs) {
    return (long)regs->raw.regs[0];
}

void registers_set_result(struct registers *regs, long value) {
    regs->raw.regs[0] = (uint64_t)value;
}

void registers_rewind(struct registers *regs, int nr) {
    regs->raw.pc -= SYSCALL_SIZE;
    regs->raw.regs[8] = (uint64_t)nr;
}

uint64_t registers_ip(const struct registers *regs) {
    return regs->raw.pc;
}

void registers_set_ip(struct registers *regs, uint64_t ip) {
    regs->raw.pc = ip;
}

static bool peek(pid_t tid, uint64_t address, uint64_t *word) {
    errno = 0;
    *word = (uint64_t)ptrace(PTRACE_PEEKDATA, tid, (void *)(uintptr_t)address, NULL);
    return errno == 0;
}

static void poke(pid_t tid, uint64_t address, uint64_t word) {
    (void)ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)address, (void *)(uintptr_t)word);
}

/* One that stands before such an instruction by itself looks the same; its handler's frame will not. */
int arch_interrupted_call(pid_t tid, const struct registers *regs) {
    uint64_t word;
    if (!peek(tid, regs->raw.pc, &word) || memcmp(&word, arch_syscall_code, SYSCALL_SIZE) != 0)
        return -1;
    return (int)regs->raw.regs[8];
}

void arch_restart(pid_t tid, struct registers *regs, int nr) {
    (void)tid;
    (void)regs;
    (void)nr;
}

/* The frame, struct rt_sigframe there, lies at the stack pointer.  EINTR behind the instruction, which it is to go back
 * with, becomes the first argument at the instruction. */
void arch_restart_in_frame(pid_t tid, const struct registers *regs) {
    struct registers now;
    if (registers_read(tid, &now))
        return;
    uint64_t context = now.raw.sp + sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext);
    uint64_t saved_pc = context + offsetof(mcontext_t, pc), saved_x0 = context + offsetof(mcontext_t, regs);
    uint64_t pc, x0;
    if (!peek(tid, saved_pc, &pc) || !peek(tid, saved_x0, &x0) || pc != regs->raw.pc + SYSCALL_SIZE ||
        (long)x0 != -EINTR)
        return;
    poke(tid, saved_pc, regs->raw.pc);
    poke(tid, saved_x0, regs->raw.regs[0]);
}

bool registers_at_interrupted(struct registers *regs, int nr, uint64_t ip) {
    if (regs->raw.pc != ip - SYSCALL_SIZE || regs->raw.regs[8] != (uint64_t)nr)
        return false;
    regs->raw.pc = ip;
    return true;
}

int arch_call_number(pid_t tid, const struct registers *regs) {
    (void)regs;
    int nr = -1;
    struct iovec iov = {.iov_base = &nr, .iov_len = sizeof nr};
    return ptrace(PTRACE_GETREGSET, tid, (void *)NT_ARM_SYSTEM_CALL, &iov) < 0 ? -1 : nr;
}

bool arch_in_compat_call(pid_t tid) {
    (void)tid;
    return false;
}

int arch_skip_call(pid_t tid, long value) {
    struct registers regs;
    int error = registers_read(tid, &regs);
    if (error)
        return error;
    registers_set_result(&regs, value);
    return registers_write(tid, &regs, -1);
}
#endif
