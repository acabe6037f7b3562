/* compat.h - calls of the other, 32-bit architecture that this machine makes too: i386 on x86-64.
 *
 * They come from 32-bit programs, and from 64-bit code by int 0x80.  Each has a number of its own, and most are what a
 * call of the machine's own is, with pointers of 4 bytes: those get its number, its row and its handler, with the
 * arguments as that has them; handlers ask for call->compat where structures differ.
 *
 * Rules: a call has a row in compat_table.c or is refused; one is let pass unseen only if the machine's own would be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_COMPAT_H
#define PTOVERLAY_COMPAT_H

#include <stdbool.h>
#include <stdint.h>

struct call;

/* What becomes of its arguments, and how its structures are laid out. */
enum compat_form {
    COMPAT_NOT,         /* a call of this machine's own */
    COMPAT_REFUSED,     /* no handler knows it, and it could do harm: ENOSYS */
    COMPAT_FREE,        /* takes no path and changes no file: the tracee makes it; the machine has no call like it */
    COMPAT_SAME,
    COMPAT_SIGNED,      /* argument 1 is an off_t of 32 bits */
    COMPAT_PAIR,        /* arguments 1 and 2 are the halves of argument 1 */
    COMPAT_UMOUNT,      /* without flags */
    COMPAT_OWNER16,     /* arguments 1 and 2 are ids of 16 bits */
    COMPAT_IDS16,       /* all are */
    COMPAT_LIST16,      /* … and those in memory */
    COMPAT_STAT,        /* struct stat of i386 */
    COMPAT_STAT64,
    COMPAT_STATFS,
    COMPAT_STATFS64,    /* … with its size in argument 1 */
    COMPAT_TIMES32,     /* seconds of 32 bits */
    COMPAT_TIMES64,     /* struct __kernel_timespec, of whose nanoseconds 32 bits count */
    COMPAT_FCNTL,       /* some commands more */
    COMPAT_LIMIT,       /* struct rlimit of 32 bits */
    COMPAT_LIMIT_OLD,   /* … signed */
    COMPAT_SOCKETS,     /* socketcall(2) */
};

struct compat_call {
    const char *name;
    int16_t native;     /* the number of the machine's own call, -1: none */
    uint8_t form;       /* enum compat_form; 0: no such call */
};
/* By number; the last one is of the numbers that are the same on all machines. */
extern const struct compat_call compat_calls[];
extern const int compat_calls_size;
/* What such a number is.  Numbers beyond the table are the machine's own. */
struct compat_call compat_call(int nr);
/* The number here of a call of the machine's own, with the same arguments. -1: there is none. */
int compat_number(int native);

/* Of a call that the trap has heard of: fills nr, arg, compat and compat_nr.  arch: AUDIT_ARCH_*, of one that is
 * ARCH_AUDIT or ARCH_COMPAT. */
void compat_arrive(struct call *call, uint32_t arch, int nr, const uint64_t arg[6]);
/* Begins to decide one with call->compat.  False: the verdict is there. */
bool compat_begin(struct call *call);
/* Of a socketcall(2) that its handler has decided. */
void compat_sockets_decided(struct call *call);

/* The number by which the tracee has made the call, whatever it is here. */
int compat_made(const struct call *call);

#endif
