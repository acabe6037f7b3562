/* oldkernel.c - runs a command as if under an older kernel, as far as a seccomp filter can say so: `oldkernel VERSION CMD…`.
 *
 * What that kernel has not answers as there: calls ENOSYS, flags and ioctls of user notification EINVAL,
 * PTRACE_GET_SYSCALL_INFO EIO, a device 0/0 EPERM to who is not root.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VERSION(major, minor) ((major) * 1000 + (minor))
#define ANY ~0u

/* Their numbers are the same on all machines, the first kernel that has them is not the headers' of the tests. */
static const struct {
    unsigned first, last, since;
} calls[] = {
    {424, 427, VERSION(5, 1)}, /* pidfd_send_signal, io_uring_* */
    {428, 433, VERSION(5, 2)}, /* open_tree … fspick */
    {434, 434, VERSION(5, 3)}, /* pidfd_open */
    {435, 435, VERSION(5, 3)}, /* clone3 */
    {436, 436, VERSION(5, 9)}, /* close_range */
    {437, 438, VERSION(5, 6)}, /* openat2, pidfd_getfd */
    {439, 439, VERSION(5, 8)}, /* faccessat2 */
    {440, 440, VERSION(5, 10)}, /* process_madvise */
    {441, 441, VERSION(5, 11)}, /* epoll_pwait2 */
    {442, 442, VERSION(5, 12)}, /* mount_setattr */
    {443, 443, VERSION(5, 14)}, /* quotactl_fd */
    {444, 446, VERSION(5, 13)}, /* landlock_* */
    {447, 447, VERSION(5, 14)}, /* memfd_secret */
    {448, 448, VERSION(5, 15)}, /* process_mrelease */
    {449, 449, VERSION(5, 16)}, /* futex_waitv */
    {450, 450, VERSION(5, 17)}, /* set_mempolicy_home_node */
    {451, 451, VERSION(6, 5)}, /* cachestat */
    {452, 453, VERSION(6, 6)}, /* fchmodat2, map_shadow_stack */
    {454, 456, VERSION(6, 7)}, /* futex_wake … */
    {457, 461, VERSION(6, 8)}, /* statmount … lsm_list_modules */
    {462, 462, VERSION(6, 10)}, /* mseal */
    {463, 466, VERSION(6, 13)}, /* setxattrat … */
    {467, 467, VERSION(6, 15)}, /* open_tree_attr */
    {468, 469, VERSION(6, 17)}, /* file_getattr, file_setattr */
    {470, ANY, VERSION(6, 19)},
};

/* Calls whose argument, masked, has this value. */
static const struct {
    unsigned nr, arg, mask, value, error, since;
} parts[] = {
    {__NR_seccomp, 1, 1u << 3, 1u << 3, EINVAL, VERSION(5, 0)}, /* SECCOMP_FILTER_FLAG_NEW_LISTENER */
    {__NR_seccomp, 1, 1u << 5, 1u << 5, EINVAL, VERSION(5, 19)}, /* …_WAIT_KILLABLE_RECV */
    {__NR_ioctl, 1, ANY, 0x40182103, EINVAL, VERSION(5, 9)}, /* SECCOMP_IOCTL_NOTIF_ADDFD */
    {__NR_ioctl, 1, ANY, 0x40082104, EINVAL, VERSION(6, 6)}, /* SECCOMP_IOCTL_NOTIF_SET_FLAGS */
    {__NR_ioctl, 1, ANY, 0xc0686611, ENOTTY, VERSION(6, 11)}, /* PROCMAP_QUERY */
    {__NR_ptrace, 0, ANY, PTRACE_GET_SYSCALL_INFO, EIO, VERSION(5, 3)},
};

static struct sock_filter code[256];
static unsigned short length;

static void emit(unsigned short instruction, unsigned k, unsigned char jt, unsigned char jf) {
    code[length++] = (struct sock_filter){instruction, jt, jf, k};
}

static void load(size_t offset) {
    emit(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void load_arg(unsigned arg) {
    load(offsetof(struct seccomp_data, args) + arg * sizeof(__u64)); /* its low half */
}

static void fail_with(unsigned error) {
    emit(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error, 0, 0);
}

static void take_away_calls(unsigned version) {
    load(offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (version >= calls[i].since)
            continue;
        emit(BPF_JMP | BPF_JGE | BPF_K, calls[i].first, 0, 2);
        emit(BPF_JMP | BPF_JGT | BPF_K, calls[i].last, 1, 0);
        fail_with(ENOSYS);
    }
}

static void take_away_parts(unsigned version) {
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (version >= parts[i].since)
            continue;
        load(offsetof(struct seccomp_data, nr));
        emit(BPF_JMP | BPF_JEQ | BPF_K, parts[i].nr, 0, 4);
        load_arg(parts[i].arg);
        emit(BPF_ALU | BPF_AND | BPF_K, parts[i].mask, 0, 0);
        emit(BPF_JMP | BPF_JEQ | BPF_K, parts[i].value, 0, 1);
        fail_with(parts[i].error);
    }
}

/* mknod(…, S_IFCHR, 0) */
static void take_away_whiteouts(unsigned nr, unsigned mode) {
    load(offsetof(struct seccomp_data, nr));
    emit(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 6);
    load_arg(mode);
    emit(BPF_ALU | BPF_AND | BPF_K, S_IFMT, 0, 0);
    emit(BPF_JMP | BPF_JEQ | BPF_K, S_IFCHR, 0, 3);
    load_arg(mode + 1);
    emit(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
    fail_with(EPERM);
}

int main(int argc, char **argv) {
    unsigned major, minor;
    if (argc < 3 || sscanf(argv[1], "%u.%u", &major, &minor) != 2)
        return 120;
    unsigned version = VERSION(major, minor);
    take_away_calls(version);
    take_away_parts(version);
    if (version < VERSION(5, 8) && geteuid() != 0) {
#ifdef __NR_mknod
        take_away_whiteouts(__NR_mknod, 1);
#endif
        take_away_whiteouts(__NR_mknodat, 2);
    }
    emit(BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    struct sock_fprog program = {length, code};
    if ((geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        perror("oldkernel");
        return 120;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 120;
}
