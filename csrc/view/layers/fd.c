/* fd.c - descriptors of ours, and what is reached by them: never through a symlink that a path goes over, and by paths
 * of any length.
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

/* Flags of openat2(2): beneath the directory, and only the last component may be a symlink. */
static int open_piece(int dirfd, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    if (flags & O_NOFOLLOW && flags & O_PATH)
        how.resolve = RESOLVE_BENEATH;   /* the last component itself may be a symlink */
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
    if (fd >= 0)
        return fd;
    return errno == ENOSYS || errno == EPERM || errno == EAGAIN ? open_by_steps(dirfd, path, flags, 0) : -errno;
}

/* ---- paths that are longer than what one call takes ---- */

/* Where an object is reached: by a directory, and a path below it that a call takes. */
struct spot {
    int dirfd;
    const char *path;
    int opened;   /* dirfd, when it is ours; else -1 */
};

static void spot_end(struct spot *spot) {
    int error = errno;
    fd_close(&spot->opened);
    errno = error;
}
#define SPOT __attribute__((cleanup(spot_end))) struct spot

/* Goes on to the last directory of the path's first PATH_MAX bytes. */
static int spot_advance(struct spot *spot) {
    char piece[PATH_MAX];
    size_t length = strnlen(spot->path, sizeof piece - 1);
    memcpy(piece, spot->path, length);
    piece[length] = '\0';
    char *slash = strrchr(piece, '/');
    if (!slash || slash == piece)
        return -ENAMETOOLONG;
    *slash = '\0';
    int fd = open_piece(spot->dirfd, piece, O_PATH | O_DIRECTORY);
    if (fd < 0)
        return fd;
    fd_close(&spot->opened);
    spot->dirfd = spot->opened = fd;
    spot->path += slash + 1 - piece;
    return 0;
}

static bool fits(const char *path, size_t reserved) {
    return strnlen(path, PATH_MAX - reserved) < PATH_MAX - reserved;
}

/* From an absolute path, which takes no steps as it stands, to one from the root. */
static int spot_at_root(struct spot *spot) {
    int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    spot->dirfd = spot->opened = fd;
    spot->path++;
    return 0;
}

/* reserved: bytes that the caller puts before the path.  0 or -errno, which is in errno too. */
static int spot_find(int dirfd, const char *path, size_t reserved, struct spot *spot) {
    *spot = (struct spot){.dirfd = dirfd, .path = path, .opened = -1};
    int error = *path == '/' && !fits(path, reserved) ? spot_at_root(spot) : 0;
    while (!error && !fits(spot->path, reserved))
        error = spot_advance(spot);
    if (error)
        errno = -error;
    return error;
}

int fd_beneath(int dirfd, const char *path, int flags) {
    SPOT spot;
    int error = spot_find(dirfd, path, 0, &spot);
    return error ? error : open_piece(spot.dirfd, spot.path, flags);
}

int view_open_exact(const char *path, int flags, mode_t mode) {
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_SYMLINKS};
    SPOT spot;
    int error = spot_find(AT_FDCWD, path, 0, &spot);
    if (error)
        return error;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        how.mode = mode;
    int fd = (int)syscall(SYS_openat2, spot.dirfd, spot.path, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd >= 0 ? fd : -errno;
    if (spot.opened >= 0)
        return open_by_steps(spot.dirfd, spot.path, flags, mode);
    CLOSE_FD root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? -errno : open_by_steps(root, path + 1, flags, mode);
}

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

int fd_statx(int dirfd, const char *path, int flags, struct statx *stx) {
    SPOT spot;
    int error = spot_find(dirfd, path, 0, &spot);
    if (error)
        return error;
    flags |= AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    return statx(spot.dirfd, spot.path, flags, STATX_WANTED, stx) < 0 ? -errno : 0;
}

int fd_lstat(int dirfd, const char *path, struct stat *st) {
    SPOT spot;
    return spot_find(dirfd, path, 0, &spot) ? -1 : fstatat(spot.dirfd, spot.path, st, AT_SYMLINK_NOFOLLOW);
}

ssize_t fd_readlink(int dirfd, const char *path, char *out, size_t size) {
    SPOT spot;
    return spot_find(dirfd, path, 0, &spot) ? -1 : readlinkat(spot.dirfd, spot.path, out, size);
}

int fd_handle(int dirfd, const char *path, struct file_handle *handle) {
    int mount;
    SPOT spot;
    return spot_find(dirfd, path, 0, &spot) ? -1 : name_to_handle_at(spot.dirfd, spot.path, handle, &mount, 0);
}

bool fd_exists(int dirfd, const char *path) {
    SPOT spot;
    return !spot_find(dirfd, path, 0, &spot) && faccessat(spot.dirfd, spot.path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What xattr(7) calls take: a path by a descriptor, since they have no *at() forms. */
static int path_by_fd(int dirfd, const char *path, struct spot *spot, char out[PATH_MAX]) {
    int error = spot_find(dirfd, path, FD_PATH, spot);
    if (!error)
        snprintf(out, PATH_MAX, "/proc/self/fd/%d/%s", spot->dirfd, spot->path);   /* fits */
    return error;
}

ssize_t fd_getxattr_at(int dirfd, const char *path, const char *name, void *value, size_t size) {
    char real[PATH_MAX];
    SPOT spot;
    int error = path_by_fd(dirfd, path, &spot, real);
    if (error)
        return error;
    ssize_t length = lgetxattr(real, name, value, size);
    return length < 0 ? -errno : length;
}

ssize_t fd_listxattr_at(int dirfd, const char *path, char *list, size_t size) {
    char real[PATH_MAX];
    SPOT spot;
    int error = path_by_fd(dirfd, path, &spot, real);
    if (error)
        return error;
    ssize_t length = llistxattr(real, list, size);
    return length < 0 ? -errno : length;
}
