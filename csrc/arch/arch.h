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
#define ARCH_COMPAT AUDIT_ARCH_I386    /* whose calls it makes too: 32-bit programs, and int 0x80 */
#define ARCH_FOREIGN_BIT 0x40000000u   /* x32 numbers (arch/x86/include/uapi/asm/unistd.h) */
struct registers {
    struct user_regs_struct raw;
    bool compat;            /* the call under way is one of ARCH_COMPAT, whose arguments are in other registers */
};
#define ARCH_CAN_RESTART true   /* EINTR leaves the arguments as they were */
#define ARCH_STEPS false
/* Where the stub lies in tracees (untouched/layout.h). */
#define ARCH_STUB_BEGIN UINT64_C(0x7e9000000000)
#define ARCH_STUB_SIZE UINT64_C(0x1000000)
#elif defined(__aarch64__)
#define ARCH_AUDIT AUDIT_ARCH_AARCH64
#define ARCH_COMPAT 0u                 /* none that is known here */
struct registers {
    struct user_regs_struct raw;
    bool compat;            /* never */
};
#define ARCH_CAN_RESTART false
#define ARCH_STEPS true
#define ARCH_STUB_BEGIN UINT64_C(0)   /* nowhere */
#define ARCH_STUB_SIZE UINT64_C(0x1000000)
#else
#error "no file for this architecture"
#endif

/* How a call ends that a signal has interrupted, seen by tracers alone: include/linux/errno.h. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTART_RESTARTBLOCK 516

/* compat: false, until who knows says otherwise. */
int registers_read(pid_t tid, struct registers *regs);
/* Writes the registers and makes nr the number of the call under way: the one that will run (at a seccomp
 * stop) or that a restart after a signal repeats (at the exit stop). */
int registers_write(pid_t tid, const struct registers *regs, int nr);

uint64_t registers_arg(const struct registers *regs, unsigned arg);
void registers_set_arg(struct registers *regs, unsigned arg, uint64_t value);
/* After the call: puts an argument back, unless the result has taken its place. */
void registers_restore_arg(struct registers *regs, unsigned arg, uint64_t value);
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

/* At a signal-delivery-stop: the number of the call that the signal may have ended with -ERESTARTSYS; -1: none. */
int arch_interrupted_call(pid_t tid, const struct registers *regs);
/* There: the call is made again, whatever the handler's flags say.  ARCH_STEPS: the tracee is to go on by
 * PTRACE_SINGLESTEP, and at its next stop, the handler's first instruction, arch_restart_in_frame() does it; regs are
 * those of the stop before. */
void arch_restart(pid_t tid, struct registers *regs, int nr);
void arch_restart_in_frame(pid_t tid, const struct registers *regs);

/* True when the tracee stands where call nr, made by the instruction that ends at ip, was answered with
 * -ERESTARTSYS.  What the kernel has prepared for a restart is undone in regs; arguments are not looked at. */
bool registers_at_interrupted(struct registers *regs, int nr, uint64_t ip);

/* Number of the call that the tracee is in, -1: none. */
int arch_call_number(pid_t tid, const struct registers *regs);
/* In any stop: is the call that the tracee is in, or comes back from, one of ARCH_COMPAT?  (Linux 5.3; else false.) */
bool arch_in_compat_call(pid_t tid);
/* At a seccomp stop: the call is not run, and returns value.  A signal does not restart it. */
int arch_skip_call(pid_t tid, long value);

#endif
