/* libc.h - what the core uses and some C libraries lack: glibc before 2.30, musl at any version.
 *
 * Rules: build.py puts it before every file (-include), so that a file says what it needs as glibc has it; what a newer
 * glibc has itself stays its own.  What a file newly calls is here too if glibc 2.17 or musl 1.2.0 has it not:
 * test_package.py and tools/wheels look.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LIBC_H
#define PTOVERLAY_LIBC_H

#define _GNU_SOURCE
#include <features.h>

#ifdef __GLIBC__
#if !__GLIBC_PREREQ(2, 30)
#define LIBC_LACKS_CALLS
#endif
#else
#define LIBC_LACKS_CALLS
#define dirent64 dirent    /* off_t and ino_t have 64 bits always */
#endif

#ifdef LIBC_LACKS_CALLS
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE (1 << 1)
#define RENAME_WHITEOUT (1 << 2)
#endif

static inline int libc_statx(int fd, const char *path, int flags, unsigned mask, struct statx *out) {
    return (int)syscall(SYS_statx, fd, path, flags, mask, out);
}
static inline int libc_renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}
static inline int libc_memfd_create(const char *name, unsigned flags) {
    return (int)syscall(SYS_memfd_create, name, flags);
}
static inline ssize_t libc_getrandom(void *buffer, size_t size, unsigned flags) {
    return syscall(SYS_getrandom, buffer, size, flags);
}
static inline ssize_t libc_copy_file_range(int in, off_t *from, int out, off_t *to, size_t size, unsigned flags) {
    return syscall(SYS_copy_file_range, in, from, out, to, size, flags);
}
static inline pid_t libc_gettid(void) {
    return (pid_t)syscall(SYS_gettid);
}
static inline void *libc_reallocarray(void *block, size_t count, size_t size) {
    if (size && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, count * size);
}

/* With arguments: struct statx keeps its name. */
#define statx(...) libc_statx(__VA_ARGS__)
#define renameat2(...) libc_renameat2(__VA_ARGS__)
#define memfd_create(...) libc_memfd_create(__VA_ARGS__)
#define getrandom(...) libc_getrandom(__VA_ARGS__)
#define copy_file_range(...) libc_copy_file_range(__VA_ARGS__)
#define gettid() libc_gettid()
#define reallocarray(...) libc_reallocarray(__VA_ARGS__)
#endif

#endif
