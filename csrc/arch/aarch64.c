/* aarch64.c - registers of a tracee on 64-bit Arm.
 *
 * The call number lives in its own register set, NT_ARM_SYSTEM_CALL.  x0 is both the first argument and the
 * result; the kernel keeps the first argument aside and puts it back itself when it restarts a call.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#ifdef __aarch64__
#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

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

/* The kernel goes back to the instruction before it stops for us. arch/arm64/kernel/signal.c, do_signal */
/* Nothing here tells: the kernel has put the first argument back and the program counter to the instruction, and ends
 * the call with EINTR by itself if the handler wants that (arch/arm64/kernel/signal.c, do_signal). */
bool registers_is_interrupted(const struct registers *regs) {
    (void)regs;
    return false;
}

int registers_restart(pid_t tid, struct registers *regs, int nr) {
    return registers_write(tid, regs, nr);
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

int arch_skip_call(pid_t tid, long value) {
    struct registers regs;
    int error = registers_read(tid, &regs);
    if (error)
        return error;
    registers_set_result(&regs, value);
    return registers_write(tid, &regs, -1);
}
#endif
