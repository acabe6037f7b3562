/* arch.h - what differs between architectures: registers of a tracee and the way a system call is made.
 *
 * Rules: nothing outside this folder names a register.  A function that talks to a tracee needs it in a
 * ptrace-stop and returns 0 or -errno (-ESRCH: it was killed meanwhile).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_ARCH_H
#define PTOVERLAY_ARCH_H

#include <linux/audit.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
#define ARCH_AUDIT AUDIT_ARCH_X86_64
#define ARCH_FOREIGN_BIT 0x40000000u   /* x32 numbers (arch/x86/include/uapi/asm/unistd.h) */
struct registers {
    struct user_regs_struct raw;
};
#define ARCH_CAN_RESTART true
/* Where the stub lies in tracees (untouched/layout.h). */
#define ARCH_STUB_BEGIN UINT64_C(0x7e9000000000)
#define ARCH_STUB_SIZE UINT64_C(0x1000000)
#elif defined(__aarch64__)
#define ARCH_AUDIT AUDIT_ARCH_AARCH64
struct registers {
    struct user_regs_struct raw;
};
#define ARCH_CAN_RESTART false
#define ARCH_STUB_BEGIN UINT64_C(0)   /* nowhere */
#define ARCH_STUB_SIZE UINT64_C(0x1000000)
#else
#error "no file for this architecture"
#endif

/* How a call ends that a signal has interrupted, seen by tracers alone: include/linux/errno.h. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTART_RESTARTBLOCK 516

int registers_read(pid_t tid, struct registers *regs);
/* Writes the registers and makes nr the number of the call under way: the one that will run (at a seccomp
 * stop) or that a restart after a signal repeats (at the exit stop). */
int registers_write(pid_t tid, const struct registers *regs, int nr);

uint64_t registers_arg(const struct registers *regs, unsigned arg);
void registers_set_arg(struct registers *regs, unsigned arg, uint64_t value);
/* At an exit stop: what the call returns. */
long registers_result(const struct registers *regs);
void registers_set_result(struct registers *regs, long value);
/* Makes the tracee execute its system call instruction again, as call nr with the arguments in regs. */
void registers_rewind(struct registers *regs, int nr);

/* The system call instruction, and what its address is a multiple of. */
extern const unsigned char arch_syscall_code[];
extern const size_t arch_syscall_size, arch_syscall_align;
uint64_t registers_ip(const struct registers *regs);
/* The tracee goes on at this address. */
void registers_set_ip(struct registers *regs, uint64_t ip);

/* Can registers_restart do anything? */
/* At a signal-delivery-stop: a call that ends with -ERESTARTSYS is made again, whatever the handler's flags say. */
bool registers_is_interrupted(const struct registers *regs);
int registers_restart(pid_t tid, struct registers *regs, int nr);

/* True when the tracee stands where call nr, made by the instruction that ends at ip, was answered with
 * -ERESTARTSYS.  What the kernel has prepared for a restart is undone in regs; arguments are not looked at. */
bool registers_at_interrupted(struct registers *regs, int nr, uint64_t ip);

/* Number of the call that the tracee is in, -1: none. */
int arch_call_number(pid_t tid, const struct registers *regs);
/* At a seccomp stop: the call is not run, and returns value.  A signal does not restart it. */
int arch_skip_call(pid_t tid, long value);

#endif
