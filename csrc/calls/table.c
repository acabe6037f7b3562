/* table.c - the system calls that are trapped: one row a call.
 *
 * Rules: every call of Linux that takes a path or a directory descriptor, or changes metadata through a
 * descriptor, has a row here; a call that only some arguments make interesting says which, so that the
 * filter lets the rest run untrapped; one that is many in one says which of them are harmless (known.h).  New calls
 * get a row before table_last is raised.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sys/resource.h>

#include "../arch/numbers.h"
#include "../ptoverlay.h"
#include "../view/view.h"
#include "faked/faked.h"
#include "flags.h"
#include "handlers/handlers.h"
#include "known.h"
#include "table.h"

static const uint32_t own_filters[] = {1, 0};   /* SECCOMP_SET_MODE_FILTER */
static const uint32_t times_that_are_none[] = {0, UINT32_MAX};     /* of poll(2): at once, and for ever */
static const struct known_values no_time = {.values = times_that_are_none, .n = 2};
static const uint32_t limits_of_ours[] = {RLIMIT_CORE, RLIMIT_LOCKS, RLIMIT_RSS, 0};

#define NOFOLLOW AT_SYMLINK_NOFOLLOW
#define EMPTY AT_EMPTY_PATH

/* Which argument is what. */
#define NO_OPERAND {NO_ARG, NO_ARG}
#define NOTHING .operand = {NO_OPERAND, NO_OPERAND}, .at_flags = NO_ARG
#define PATH(p) .operand = {{NO_ARG, p}, NO_OPERAND}, .at_flags = NO_ARG
#define FD .operand = {{0, NO_ARG}, NO_OPERAND}, .at_flags = NO_ARG
#define AT(d, p) .operand = {{d, p}, NO_OPERAND}, .at_flags = NO_ARG
#define AT_WITH(d, p, f, allowed) .operand = {{d, p}, NO_OPERAND}, .at_flags = (f), .at_allowed = (allowed)
#define FOLLOW .walk = WALK_FOLLOW
#define PARENT .walk = WALK_PARENT
#define OPENED .opened = true
#define READS .reads = READS_ALWAYS
#define REPEATS(arg) .repeats = (arg)
#define OPENS .contents = CONTENTS_OPENED
#define MAKES .name_is = NAME_MADE, PARENT
#define REMOVES .name_is = NAME_REMOVED, PARENT
#define LINKS .name_is = NAME_LINKED

/* How the filter meets it. */
#define IF_SET(n, mask) .filter = FILTER_TRAP_IF_SET, .filter_arg = (n), .filter_mask = (mask)
#define IF_IN(n, values) .filter = FILTER_TRAP_IF_IN, .filter_arg = (n), .filter_values = (values)
#define UNLESS(n, known) .filter = FILTER_PASS_IF_KNOWN, .filter_arg = (n), .filter_known = &(known)
#define ANY UINT64_MAX

#define GROWS NOTHING, .needs = PTO_FEATURE_LIMIT
#define BUILDS .needs = PTO_FEATURE_BUILD

#define ROW(call, how, ...) {.nr = __NR_##call, .name = #call, .handler = how, __VA_ARGS__}
#define WITHOUT(call, error) {.nr = __NR_##call, .name = #call, .filter = FILTER_ERRNO, .filter_errno = error, NOTHING}
#define FAKED(call, how, what) ROW(call, how, NOTHING, .needs = PTO_FEATURE_FAKE_ROOT, .detail = what)
#define REFUSED(call, error) ROW(call, do_refuse, NOTHING, .detail = error)

const struct call_row table_rows[] = {
    /* opening */
    ROW(open, do_open, PATH(0), OPENS, .reads = READS_BY_FLAGS, REPEATS(1)),
    ROW(creat, do_open, PATH(0), OPENS, .detail = OPEN_CREAT),
    ROW(openat, do_open, AT(0, 1), OPENS, .reads = READS_BY_FLAGS, REPEATS(2)),
    ROW(openat2, do_openat2, AT(0, 1), OPENS),

    /* attributes, asked for */
    ROW(stat, do_stat, READS, REPEATS(REPEATS_ALONE), PATH(0), FOLLOW),
    ROW(lstat, do_stat, READS, REPEATS(REPEATS_ALONE), PATH(0)),
    ROW(fstat, do_stat, READS, FD),
    ROW(newfstatat, do_stat, READS, REPEATS(REPEATS_ALONE), AT_WITH(0, 1, 3, NOFOLLOW | EMPTY | AT_NO_AUTOMOUNT),
        FOLLOW, .null_path = NULL_IS_EMPTY),
    ROW(statx, do_statx, READS, REPEATS(3), AT_WITH(0, 1, 2, NOFOLLOW | EMPTY | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE),
        FOLLOW, .null_path = NULL_IS_EMPTY),
    ROW(access, do_access, READS, REPEATS(1), PATH(0), FOLLOW),
    ROW(faccessat, do_access, READS, REPEATS(2), AT(0, 1), FOLLOW),
    ROW(faccessat2, do_access, READS, REPEATS(2), AT_WITH(0, 1, 3, NOFOLLOW | EMPTY | AT_EACCESS), FOLLOW),
    ROW(statfs, do_statfs, READS, PATH(0), FOLLOW),
    ROW(fstatfs, do_statfs, READS, FD),
    ROW(readlink, do_readlink, READS, REPEATS(REPEATS_ALONE), PATH(0)),
    ROW(readlinkat, do_readlink, READS, REPEATS(REPEATS_ALONE), .operand = {{0, 1}, NO_OPERAND}, .at_flags = NO_ARG,
        .null_path = EMPTY_IS_DESCRIPTOR),

    /* attributes, changed */
    ROW(chmod, do_chmod, PATH(0), FOLLOW),
    ROW(fchmod, do_chmod, FD),
    ROW(fchmodat, do_chmod, AT(0, 1), FOLLOW),
    ROW(fchmodat2, do_chmod, AT_WITH(0, 1, 3, NOFOLLOW | EMPTY), FOLLOW),
    ROW(chown, do_chown, PATH(0), FOLLOW),
    ROW(lchown, do_chown, PATH(0)),
    ROW(fchown, do_chown, FD),
    ROW(fchownat, do_chown, AT_WITH(0, 1, 4, NOFOLLOW | EMPTY), FOLLOW),
    ROW(truncate, do_truncate, PATH(0), FOLLOW, .contents = CONTENTS_CUT),
    ROW(utime, do_utime, PATH(0), FOLLOW),
    ROW(utimes, do_utimes, PATH(0), FOLLOW),
    ROW(futimesat, do_utimes, AT(0, 1), FOLLOW, .null_path = NULL_IS_DESCRIPTOR),
    ROW(utimensat, do_utimensat, AT_WITH(0, 1, 3, NOFOLLOW | EMPTY), FOLLOW, .null_path = NULL_IS_DESCRIPTOR),
    ROW(ioctl, do_ioctl, FD, UNLESS(1, known_requests), .more = known_to_grow, .more_needs = PTO_FEATURE_LIMIT),
    ROW(fcntl, do_fcntl, FD, UNLESS(1, known_commands), .detail = EINVAL),

    ROW(fsync, do_sync, FD),
    ROW(fdatasync, do_sync, FD),
    ROW(syncfs, do_sync, FD),

    /* contents, in a run whose uppers have a limit */
    ROW(write, do_write, GROWS),
    ROW(pwrite64, do_pwrite, GROWS),
    ROW(writev, do_writev, GROWS),
    ROW(pwritev, do_pwritev, GROWS),
    ROW(pwritev2, do_pwritev, GROWS, .detail = GROW_OR_POSITION),
    ROW(sendfile, do_sendfile, GROWS),
    ROW(splice, do_move, GROWS),
    ROW(copy_file_range, do_move, GROWS),
    ROW(ftruncate, do_ftruncate, GROWS),
    ROW(fallocate, do_fallocate, GROWS),
    ROW(io_setup, do_refuse, GROWS, .detail = ENOSYS),
    ROW(io_submit, do_refuse, GROWS, .detail = ENOSYS),

    /* extended attributes */
    ROW(getxattr, do_getxattr, READS, PATH(0), FOLLOW),
    ROW(lgetxattr, do_getxattr, READS, PATH(0)),
    ROW(fgetxattr, do_getxattr, READS, FD),
    ROW(getxattrat, do_getxattrat, READS, AT_WITH(0, 1, 2, NOFOLLOW | EMPTY), FOLLOW, OPENED),
    ROW(listxattr, do_listxattr, READS, PATH(0), FOLLOW),
    ROW(llistxattr, do_listxattr, READS, PATH(0)),
    ROW(flistxattr, do_listxattr, READS, FD),
    ROW(listxattrat, do_listxattrat, READS, AT_WITH(0, 1, 2, NOFOLLOW | EMPTY), FOLLOW, OPENED),
    ROW(setxattr, do_setxattr, PATH(0), FOLLOW),
    ROW(lsetxattr, do_setxattr, PATH(0)),
    ROW(fsetxattr, do_setxattr, FD),
    ROW(setxattrat, do_setxattrat, AT_WITH(0, 1, 2, NOFOLLOW | EMPTY), FOLLOW, OPENED),
    ROW(removexattr, do_removexattr, PATH(0), FOLLOW),
    ROW(lremovexattr, do_removexattr, PATH(0)),
    ROW(fremovexattr, do_removexattr, FD),
    ROW(removexattrat, do_removexattrat, AT_WITH(0, 1, 2, NOFOLLOW | EMPTY), FOLLOW, OPENED),
    ROW(file_getattr, do_file_getattr, READS, AT_WITH(0, 1, 4, NOFOLLOW | EMPTY), FOLLOW, .null_path = NULL_IS_EMPTY,
        OPENED),
    ROW(file_setattr, do_file_setattr, AT_WITH(0, 1, 4, NOFOLLOW | EMPTY), FOLLOW, .null_path = NULL_IS_EMPTY, OPENED),

    /* names */
    ROW(mkdir, do_mkdir, PATH(0), MAKES),
    ROW(mkdirat, do_mkdir, AT(0, 1), MAKES),
    ROW(mknod, do_mknod, PATH(0), MAKES),
    ROW(mknodat, do_mknod, AT(0, 1), MAKES),
    ROW(symlink, do_symlink, PATH(1), MAKES),
    ROW(symlinkat, do_symlink, AT(1, 2), MAKES),
    ROW(unlink, do_unlink, PATH(0), REMOVES),
    ROW(rmdir, do_unlink, PATH(0), REMOVES, .detail = UNLINK_DIRECTORY),
    ROW(unlinkat, do_unlink, AT_WITH(0, 1, 2, AT_REMOVEDIR), REMOVES),
    ROW(rename, do_rename, .operand = {{NO_ARG, 0}, {NO_ARG, 1}}, .at_flags = NO_ARG, REMOVES),
    ROW(renameat, do_rename, .operand = {{0, 1}, {2, 3}}, .at_flags = NO_ARG, REMOVES),
    ROW(renameat2, do_rename, .operand = {{0, 1}, {2, 3}}, .at_flags = 4, REMOVES),
    ROW(link, do_link, .operand = {{NO_ARG, 0}, {NO_ARG, 1}}, .at_flags = NO_ARG, LINKS),
    ROW(linkat, do_link, .operand = {{0, 1}, {2, 3}}, LINKS, .at_flags = 4, .at_allowed = AT_SYMLINK_FOLLOW | EMPTY),

    /* directories */
    ROW(getdents, do_getdents, FD),
    ROW(getdents64, do_getdents, FD, .detail = DIRENT_WIDE),
    ROW(chdir, do_chdir, PATH(0), FOLLOW),
    ROW(fchdir, do_fchdir, FD),
    ROW(getcwd, do_getcwd, READS, NOTHING),
    ROW(chroot, do_chroot, PATH(0), FOLLOW),

    /* programs */
    ROW(execve, do_execve, READS, PATH(0), FOLLOW),
    ROW(execveat, do_execve, READS, AT_WITH(0, 1, 4, NOFOLLOW | EMPTY | AT_EXECVE_CHECK), FOLLOW),
    WITHOUT(uselib, ENOSYS),

    /* sockets */
    ROW(socket, do_socket, NOTHING, UNLESS(0, known_families), .needs = PTO_FEATURE_RECORD),
    ROW(bind, do_bind, NOTHING),
    ROW(connect, do_connect, NOTHING),
    ROW(sendto, do_sendto, NOTHING, IF_SET(4, ANY)),
    ROW(sendmsg, do_sendmsg, NOTHING),
    ROW(sendmmsg, do_sendmmsg, NOTHING),
    ROW(getsockname, do_socket_name, NOTHING),
    ROW(getpeername, do_socket_name, NOTHING, .detail = NAME_OF_PEER),
    ROW(accept, do_accept, NOTHING, IF_SET(1, ANY)),
    ROW(accept4, do_accept, NOTHING, IF_SET(1, ANY)),
    ROW(recvfrom, do_recvfrom, NOTHING, IF_SET(4, ANY)),
    ROW(recvmsg, do_recvmsg, NOTHING),
    ROW(recvmmsg, do_recvmmsg, NOTHING),

    /* watches */
    ROW(inotify_add_watch, do_inotify_add_watch, PATH(1)),
    ROW(inotify_rm_watch, do_inotify_rm_watch, NOTHING),
    ROW(fanotify_init, do_fanotify_init, NOTHING),
    ROW(fanotify_mark, do_fanotify_mark, AT(3, 4), .null_path = NULL_IS_DESCRIPTOR),

    /* who asks */
    ROW(umask, do_umask, NOTHING),
    ROW(setuid, do_set_credentials, NOTHING, .detail = FAKED_SET),
    ROW(setgid, do_set_credentials, NOTHING, .detail = FAKED_SET | FAKED_GROUP),
    ROW(setreuid, do_set_credentials, NOTHING, .detail = FAKED_SET_RE),
    ROW(setregid, do_set_credentials, NOTHING, .detail = FAKED_SET_RE | FAKED_GROUP),
    ROW(setresuid, do_set_credentials, NOTHING, .detail = FAKED_SET_RES),
    ROW(setresgid, do_set_credentials, NOTHING, .detail = FAKED_SET_RES | FAKED_GROUP),
    ROW(setfsuid, do_set_credentials, NOTHING, .detail = FAKED_SET_FS),
    ROW(setfsgid, do_set_credentials, NOTHING, .detail = FAKED_SET_FS | FAKED_GROUP),
    ROW(setgroups, do_set_credentials, NOTHING, .detail = FAKED_SET_GROUPS),
    ROW(capset, do_set_credentials, NOTHING, .detail = FAKED_SET_CAPS),

    FAKED(getuid, do_faked_get, FAKED_GET_REAL),
    FAKED(geteuid, do_faked_get, FAKED_GET_EFFECTIVE),
    FAKED(getgid, do_faked_get, FAKED_GET_REAL | FAKED_GROUP),
    FAKED(getegid, do_faked_get, FAKED_GET_EFFECTIVE | FAKED_GROUP),
    FAKED(getresuid, do_faked_get, FAKED_GET_ALL),
    FAKED(getresgid, do_faked_get, FAKED_GET_ALL | FAKED_GROUP),
    FAKED(getgroups, do_faked_get, FAKED_GET_GROUPS),
    ROW(capget, do_faked_caps, NOTHING, .needs = PTO_FEATURE_FAKE_ROOT),
    ROW(getsockopt, do_faked_peer, NOTHING, IF_IN(2, faked_socket_options), .needs = PTO_FEATURE_FAKE_ROOT),

    ROW(seccomp, do_seccomp, NOTHING, IF_IN(0, own_filters)),
    ROW(prctl, do_prctl, NOTHING, UNLESS(0, known_options), .more = faked_options, .more_needs = PTO_FEATURE_FAKE_ROOT,
        .detail = EINVAL),
    ROW(keyctl, do_unknown, NOTHING, UNLESS(0, known_keys), .detail = EOPNOTSUPP),
    ROW(request_key, do_refuse, NOTHING, IF_SET(2, ANY), .detail = ENOKEY),
    ROW(getrlimit, do_rlimit, NOTHING, IF_IN(0, limits_of_ours), .detail = RLIMIT_GET),
    ROW(setrlimit, do_rlimit, NOTHING, IF_IN(0, limits_of_ours)),
    ROW(prlimit64, do_rlimit, NOTHING, IF_IN(1, limits_of_ours), .detail = RLIMIT_OLD_IN_3),

    /* what a build is told otherwise */
    ROW(clock_gettime, do_clock_gettime, NOTHING, BUILDS),
    ROW(gettimeofday, do_gettimeofday, NOTHING, BUILDS),
    ROW(time, do_time, NOTHING, BUILDS),
    ROW(times, do_times, NOTHING, BUILDS),
    ROW(nanosleep, do_sleep, NOTHING, BUILDS, .detail = 0),
    ROW(clock_nanosleep, do_sleep, NOTHING, BUILDS, .detail = 2),
    ROW(futex, do_futex, NOTHING, BUILDS, IF_SET(3, ANY)),
    ROW(poll, do_poll, NOTHING, BUILDS, UNLESS(2, no_time), .detail = 2),
    ROW(epoll_wait, do_poll, NOTHING, BUILDS, UNLESS(3, no_time), .detail = 3),
    ROW(epoll_pwait, do_poll, NOTHING, BUILDS, UNLESS(3, no_time), .detail = 3),
    ROW(epoll_pwait2, do_wait, NOTHING, BUILDS, IF_SET(3, ANY), .detail = 3),
    ROW(ppoll, do_wait, NOTHING, BUILDS, IF_SET(2, ANY), .detail = 2),
    ROW(rt_sigtimedwait, do_wait, NOTHING, BUILDS, IF_SET(2, ANY), .detail = 2),
    ROW(pselect6, do_wait, NOTHING, BUILDS, IF_SET(4, ANY), .detail = 4),
    ROW(select, do_select, NOTHING, BUILDS, IF_SET(4, ANY)),
    ROW(getrandom, do_getrandom, NOTHING, BUILDS),
    ROW(uname, do_uname, NOTHING, BUILDS),
    ROW(sysinfo, do_sysinfo, NOTHING, BUILDS),
    ROW(sched_getaffinity, do_sched_getaffinity, NOTHING, BUILDS),
    ROW(getcpu, do_getcpu, NOTHING, BUILDS),

    /* what would leave the view */
    ROW(clone, do_clone, NOTHING, IF_SET(0, CLONE_NEWNS | CLONE_NEWUSER | CLONE_UNTRACED), .always = PTO_FEATURE_BUILD),
    ROW(fork, do_fork, NOTHING, BUILDS),
    ROW(vfork, do_fork, NOTHING, BUILDS),
    ROW(set_robust_list, do_born, NOTHING, BUILDS),
    ROW(unshare, do_unshare, NOTHING, IF_SET(0, ~(uint64_t)UNSHARE_KNOWN)),
    ROW(setns, do_setns, NOTHING),
    WITHOUT(clone3, ENOSYS),
    WITHOUT(io_uring_setup, ENOSYS),
    WITHOUT(io_uring_enter, ENOSYS),
    WITHOUT(io_uring_register, ENOSYS),
    WITHOUT(landlock_create_ruleset, EOPNOTSUPP),
    ROW(name_to_handle_at, do_name_to_handle_at, READS,
        AT_WITH(0, 1, 4, AT_SYMLINK_FOLLOW | EMPTY | AT_HANDLE_FID | AT_HANDLE_MNT_ID_UNIQUE | AT_HANDLE_CONNECTABLE)),
    ROW(open_by_handle_at, do_open_by_handle_at, FD),
    ROW(bpf, do_unknown, NOTHING, UNLESS(0, known_bpf), .detail = EPERM),
    ROW(pidfd_getfd, do_pidfd_getfd, NOTHING),
    ROW(mount, do_mount, .operand = {{NO_ARG, 1}, {NO_ARG, 0}}, .at_flags = NO_ARG, FOLLOW),
    ROW(umount2, do_umount, PATH(0), FOLLOW),
    ROW(pivot_root, do_pivot_root, .operand = {{NO_ARG, 0}, {NO_ARG, 1}}, .at_flags = NO_ARG, FOLLOW),
    WITHOUT(fsopen, ENOSYS), /* programs fall back to mount(2), as before Linux 5.2 */
    WITHOUT(fsconfig, ENOSYS),
    WITHOUT(fsmount, ENOSYS),
    WITHOUT(fspick, ENOSYS),
    WITHOUT(open_tree, ENOSYS),
    WITHOUT(open_tree_attr, ENOSYS),
    WITHOUT(move_mount, ENOSYS),
    WITHOUT(mount_setattr, ENOSYS),
    REFUSED(quotactl, EPERM),
    REFUSED(quotactl_fd, EPERM),
    REFUSED(swapon, EPERM),
    REFUSED(swapoff, EPERM),
    REFUSED(acct, EPERM),
};
const size_t table_size = sizeof table_rows / sizeof *table_rows;
const int table_last = __NR_rseq_slice_yield;

/* ---- finding a row ---- */

#define NUMBERS 1024

static int16_t row_of[NUMBERS];         /* row + 1 of a call number, 0: none */
static pthread_once_t row_once = PTHREAD_ONCE_INIT;

static void index_rows(void) {
    for (size_t i = 0; i < table_size; i++) {
        int nr = table_rows[i].nr;
        if (nr >= 0 && nr < NUMBERS)
            row_of[nr] = (int16_t)(i + 1);
    }
}

const struct call_row *table_row(int nr) {
    if (nr < 0 || nr >= NUMBERS)
        return NULL;
    pthread_once(&row_once, index_rows);
    return row_of[nr] ? &table_rows[row_of[nr] - 1] : NULL;
}

int pto_table_size(void) {
    return (int)table_size;
}

const char *pto_table_name(int i, int *nr) {
    if (i < 0 || (size_t)i >= table_size)
        return NULL;
    *nr = table_rows[i].nr;
    return table_rows[i].name;
}
