/* fd.c - descriptors of ours, and what is reached by them: never through a symlink that a path goes over.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "layers.h"

void fd_path(int fd, char out[FD_PATH]) {
    snprintf(out, FD_PATH, "/proc/self/fd/%d", fd);   /* fits: 14 characters and a number */
}

void fd_close(const int *fd) {
    if (*fd >= 0)
        close(*fd);
}

/* Where there is no openat2(2): one component after the other. */
static int open_by_steps(int dirfd, const char *path, int flags, mode_t mode) {
    int fd = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && *path) {
        char name[NAME_MAX + 1];
        size_t length = strcspn(path, "/");
        bool last = path[length] == '\0';
        if (length > NAME_MAX) {
            close(fd);
            return -ENAMETOOLONG;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        int next = openat(fd, name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC, mode);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
        path += length + !last;
    }
    return fd < 0 ? -errno : fd;
}

int fd_beneath(int dirfd, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    if (flags & O_NOFOLLOW && flags & O_PATH)
        how.resolve = RESOLVE_BENEATH;   /* the last component itself may be a symlink */
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd >= 0)
        return fd;
    return errno == ENOSYS || errno == EPERM || errno == EAGAIN ? open_by_steps(dirfd, path, flags, 0) : -errno;
}

int view_open_exact(const char *path, int flags, mode_t mode) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_SYMLINKS};
    if ((flags & O_TMPFILE) == O_TMPFILE)
        how.mode = mode;
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd >= 0 ? fd : -errno;
    CLOSE_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -errno : open_by_steps(root, path + 1, flags, mode);
}

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

int fd_statx(int dirfd, const char *path, int flags, struct statx *stx) {
    return statx(dirfd, path, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, stx) < 0 ? -errno : 0;
}

/* A path that reaches by a descriptor what is below it. */
static int path_by_fd(int dirfd, const char *path, char out[PATH_MAX]) {
    int length = snprintf(out, PATH_MAX, "/proc/self/fd/%d/%s", dirfd, path);
    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

ssize_t fd_getxattr_at(int dirfd, const char *path, const char *name, void *value, size_t size) {
    char real[PATH_MAX];
    int error = path_by_fd(dirfd, path, real);
    if (error)
        return error;
    ssize_t length = lgetxattr(real, name, value, size);
    return length < 0 ? -errno : length;
}

ssize_t fd_listxattr_at(int dirfd, const char *path, char *list, size_t size) {
    char real[PATH_MAX];
    int error = path_by_fd(dirfd, path, real);
    if (error)
        return error;
    ssize_t length = llistxattr(real, list, size);
    return length < 0 ? -errno : length;
}
