/* wrap.h - the calls that the view makes into the C library, each by way of hit().
 *
 * Rules: one WRAP line a call, the functions' names are read from here by support/faults.py (ld --wrap); who includes this
 * defines hit() before.  A call that is new in csrc/view needs a line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef WRAP_H
#define WRAP_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* The call of this name is about to be made: true, with errno, if it is to fail.  memory: it is one that allocates. */
static bool hit(const char *name, bool memory);

#define WRAP_WITH(type, name, parameters, arguments, memory, failed)                                                   \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters {                                                                                    \
        return hit(#name, memory) ? (failed) : __real_##name arguments;                                                \
    }
#define WRAP(type, name, parameters, arguments) WRAP_WITH(type, name, parameters, arguments, false, (type) - 1)
#define WRAP_MEMORY(type, name, parameters, arguments) WRAP_WITH(type, name, parameters, arguments, true, NULL)

/* Calls that file systems may lack, and opens that make something, have names of their own. */
static const char *name_of_open(int flags) {
    return (flags & O_TMPFILE) == O_TMPFILE ? "O_TMPFILE" : flags & O_CREAT ? "O_CREAT" : "openat";
}
static const char *name_of_number(long nr) {
    return nr == SYS_openat2 ? "openat2" : nr == SYS_renameat2 ? "renameat2" : "syscall";
}

#define WRAP_NAMED(type, name, parameters, arguments, called)                                                          \
    type __real_##name parameters;                                                                                     \
    type __wrap_##name parameters;                                                                                     \
    type __wrap_##name parameters {                                                                                    \
        return hit(called, false) ? (type) - 1 : __real_##name arguments;                                              \
    }

WRAP_NAMED(int, openat, (int fd, const char *path, int flags, mode_t mode), (fd, path, flags, mode),
           name_of_open(flags))
WRAP_NAMED(long, syscall, (long nr, long a, long b, long c, long d, long e), (nr, a, b, c, d, e), name_of_number(nr))
WRAP(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(int, dup, (int fd), (fd))
WRAP(int, access, (const char *path, int mode), (path, mode))
WRAP(int, faccessat, (int fd, const char *path, int mode, int flags), (fd, path, mode, flags))
WRAP(int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags))
WRAP(int, fchownat, (int fd, const char *path, uid_t uid, gid_t gid, int flags), (fd, path, uid, gid, flags))
WRAP(ssize_t, copy_file_range, (int in, off_t *from, int out, off_t *to, size_t size, unsigned flags),
     (in, from, out, to, size, flags))
WRAP(ssize_t, sendfile, (int out, int in, off_t *offset, size_t size), (out, in, offset, size))
WRAP(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size))
WRAP(ssize_t, pread, (int fd, void *buffer, size_t size, off_t at), (fd, buffer, size, at))
WRAP(ssize_t, write, (int fd, const void *buffer, size_t size), (fd, buffer, size))
WRAP(ssize_t, pwrite, (int fd, const void *buffer, size_t size, off_t at), (fd, buffer, size, at))
WRAP(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence))
WRAP(int, flock, (int fd, int operation), (fd, operation))
WRAP(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))
WRAP(int, fremovexattr, (int fd, const char *name), (fd, name))
WRAP(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
     (fd, name, value, size, flags))
WRAP(int, chown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
WRAP(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
WRAP(ssize_t, flistxattr, (int fd, char *list, size_t size), (fd, list, size))
WRAP(ssize_t, fgetxattr, (int fd, const char *name, void *value, size_t size), (fd, name, value, size))
WRAP(ssize_t, getxattr, (const char *path, const char *name, void *value, size_t size), (path, name, value, size))
WRAP(ssize_t, lgetxattr, (const char *path, const char *name, void *value, size_t size), (path, name, value, size))
WRAP(ssize_t, listxattr, (const char *path, char *list, size_t size), (path, list, size))
WRAP(ssize_t, llistxattr, (const char *path, char *list, size_t size), (path, list, size))
WRAP(int, removexattr, (const char *path, const char *name), (path, name))
WRAP(int, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
     (path, name, value, size, flags))
WRAP(int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(int, stat, (const char *path, struct stat *st), (path, st))
WRAP(int, lstat, (const char *path, struct stat *st), (path, st))
WRAP(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags))
WRAP(int, statx, (int fd, const char *path, int flags, unsigned mask, struct statx *stx), (fd, path, flags, mask, stx))
WRAP(int, fstatfs, (int fd, struct statfs *out), (fd, out))
WRAP(int, name_to_handle_at, (int fd, const char *path, struct file_handle *handle, int *mount, int flags),
     (fd, path, handle, mount, flags))
WRAP(int, statfs, (const char *path, struct statfs *out), (path, out))
WRAP(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
WRAP(int, inotify_rm_watch, (int fd, int wd), (fd, wd))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, truncate, (const char *path, off_t size), (path, size))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
WRAP(int, utimensat, (int fd, const char *path, const struct timespec times[2], int flags), (fd, path, times, flags))
WRAP(int, fcntl, (int fd, int command, void *argument), (fd, command, argument))
WRAP(int, ioctl, (int fd, unsigned long request, void *argument), (fd, request, argument))
WRAP(int, linkat, (int from, const char *old, int to, const char *new, int flags), (from, old, to, new, flags))
WRAP(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, rmdir, (const char *path), (path))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP(int, mknodat, (int fd, const char *path, mode_t mode, dev_t dev), (fd, path, mode, dev))
WRAP(int, symlinkat, (const char *target, int fd, const char *path), (target, fd, path))
WRAP(ssize_t, readlinkat, (int fd, const char *path, char *out, size_t size), (fd, path, out, size))
WRAP(ssize_t, readlink, (const char *path, char *out, size_t size), (path, out, size))
WRAP(int, memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP_MEMORY(void *, malloc, (size_t size), (size))
WRAP_MEMORY(void *, calloc, (size_t count, size_t size), (count, size))
WRAP_MEMORY(void *, realloc, (void *block, size_t size), (block, size))
WRAP_MEMORY(void *, reallocarray, (void *block, size_t count, size_t size), (block, count, size))
WRAP_MEMORY(char *, strdup, (const char *text), (text))
WRAP_MEMORY(char *, strndup, (const char *text, size_t size), (text, size))
WRAP_MEMORY(char *, realpath, (const char *path, char *out), (path, out))
WRAP_MEMORY(FILE *, fopen, (const char *path, const char *mode), (path, mode))
WRAP_MEMORY(DIR *, fdopendir, (int fd), (fd))
WRAP_WITH(struct dirent *, readdir, (DIR * stream), (stream), false, NULL)

#endif
