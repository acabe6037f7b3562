/* network.c - the second filter of a CMD that is to have no network.
 *
 * It stands for:
 *
 *     if (nr is socket or socketpair, and it is not AF_UNIX)   EACCES     of 32-bit programs, too
 *     if (it is such a socketcall(2))                          EACCES     its family lies in memory
 *     allow
 *
 * Rules: of two filters the kernel takes the stricter answer, so that this one says nothing but no; where sockets can
 * be made in another way (io_uring, x32) the first filter lets nobody.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "network.h"

/* i386's numbers; of what other architectures have by these the first filter lets nothing. */
#define COMPAT_SOCKETCALL 102
#define COMPAT_SOCKET 359
#define COMPAT_SOCKETPAIR 360

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offsetof(struct seccomp_data, field))
#define JUMP_IF(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))

int network_forbid(void) {
    struct sock_filter code[] = {
        LOAD(arch),
        JUMP_IF(ARCH_AUDIT, 0, 3),
        LOAD(nr),
        JUMP_IF(__NR_socket, 8, 0),
        JUMP_IF(__NR_socketpair, 7, 9),
        LOAD(nr),
        JUMP_IF(COMPAT_SOCKET, 5, 0),
        JUMP_IF(COMPAT_SOCKETPAIR, 4, 0),
        JUMP_IF(COMPAT_SOCKETCALL, 0, 5),
        LOAD(args[0]),
        JUMP_IF(SYS_SOCKET, 4, 0),
        JUMP_IF(SYS_SOCKETPAIR, 3, 2),
        LOAD(args[0]),   /* its lower word, on all machines: an int */
        JUMP_IF(AF_UNIX, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
