/* legacy.h - calls with a path from before the *at calls, on machines that never had them (aarch64…): made as their C
 * library makes them.
 *
 * Rule: a subject names such a call by SYS() and gets the *at call that means the same; numbers beyond all calls stand
 * for the names, and what has no such call is ENOSYS natively and in a view.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LEGACY_H
#define LEGACY_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#ifdef __i386__
/* Its struct stat is that of the calls that end in 64 (_FILE_OFFSET_BITS=64); ids of 32 bits too have other numbers. */
#undef __NR_stat
#undef __NR_lstat
#undef __NR_fstat
#undef __NR_chown
#undef __NR_lchown
#undef __NR_fchown
#define __NR_stat __NR_stat64
#define __NR_lstat __NR_lstat64
#define __NR_fstat __NR_fstat64
#define __NR_newfstatat __NR_fstatat64
#define __NR_chown __NR_chown32
#define __NR_lchown __NR_lchown32
#define __NR_fchown __NR_fchown32
#endif

#ifndef __NR_open

enum legacy {
    __NR_open = 10000,
    __NR_creat,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_readlink,
    __NR_mkdir,
    __NR_mknod,
    __NR_unlink,
    __NR_rmdir,
    __NR_rename,
    __NR_link,
    __NR_symlink,
    __NR_chmod,
    __NR_chown,
    __NR_lchown,
    __NR_utime,
    __NR_utimes,
    __NR_futimesat,
    __NR_dup2,
    __NR_getdents,
};

static inline long legacy_utimes(int fd, const char *path, const struct timeval *times) {
    if (!times)
        return syscall(__NR_utimensat, fd, path, NULL, 0);
    struct timespec both[2];
    for (int i = 0; i < 2; i++) /* a fraction that is none stays none */
        both[i] = (struct timespec){
            .tv_sec = times[i].tv_sec,
            .tv_nsec = times[i].tv_usec < 0 || times[i].tv_usec >= 1000000 ? -1 : times[i].tv_usec * 1000};
    return syscall(__NR_utimensat, fd, path, both, 0);
}

static inline long legacy_utime(const char *path, const struct utimbuf *times) {
    if (!times)
        return syscall(__NR_utimensat, AT_FDCWD, path, NULL, 0);
    struct timeval both[2] = {{.tv_sec = times->actime}, {.tv_sec = times->modtime}};
    return legacy_utimes(AT_FDCWD, path, both);
}

static inline long legacy_dup2(int from, int to) {
    if (from != to)
        return syscall(__NR_dup3, from, to, 0);
    return fcntl(from, F_GETFD) < 0 ? -1 : to;
}

/* With at least six arguments after the number. */
static inline long legacy_call(long nr, ...) {
    long a[6];
    va_list args;
    va_start(args, nr);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    switch (nr) {
    case __NR_open:
        return syscall(__NR_openat, AT_FDCWD, a[0], a[1], a[2]);
    case __NR_creat:
        return syscall(__NR_openat, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
    case __NR_stat:
        return syscall(__NR_newfstatat, AT_FDCWD, a[0], a[1], 0);
    case __NR_lstat:
        return syscall(__NR_newfstatat, AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW);
    case __NR_access:
        return syscall(__NR_faccessat, AT_FDCWD, a[0], a[1]);
    case __NR_readlink:
        return syscall(__NR_readlinkat, AT_FDCWD, a[0], a[1], a[2]);
    case __NR_mkdir:
        return syscall(__NR_mkdirat, AT_FDCWD, a[0], a[1]);
    case __NR_mknod:
        return syscall(__NR_mknodat, AT_FDCWD, a[0], a[1], a[2]);
    case __NR_unlink:
        return syscall(__NR_unlinkat, AT_FDCWD, a[0], 0);
    case __NR_rmdir:
        return syscall(__NR_unlinkat, AT_FDCWD, a[0], AT_REMOVEDIR);
    case __NR_rename:
        return syscall(__NR_renameat2, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
    case __NR_link:
        return syscall(__NR_linkat, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
    case __NR_symlink:
        return syscall(__NR_symlinkat, a[0], AT_FDCWD, a[1]);
    case __NR_chmod:
        return syscall(__NR_fchmodat, AT_FDCWD, a[0], a[1]);
    case __NR_chown:
        return syscall(__NR_fchownat, AT_FDCWD, a[0], a[1], a[2], 0);
    case __NR_lchown:
        return syscall(__NR_fchownat, AT_FDCWD, a[0], a[1], a[2], AT_SYMLINK_NOFOLLOW);
    case __NR_utime:
        return legacy_utime((const char *)a[0], (const struct utimbuf *)a[1]);
    case __NR_utimes:
        return legacy_utimes(AT_FDCWD, (const char *)a[0], (const struct timeval *)a[1]);
    case __NR_futimesat:
        return legacy_utimes((int)a[0], (const char *)a[1], (const struct timeval *)a[2]);
    case __NR_dup2:
        return legacy_dup2((int)a[0], (int)a[1]);
    default:
        return syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
#endif

#endif
