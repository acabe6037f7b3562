/* private_set.c - private attributes of the upper are set, and all others copied.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "../layers/layers.h"
#include "upper.h"

/* user.* attributes need write permission, which an owner can give himself for the moment. */
static int set_unwritable(const struct overlay *ovl, int fd, const char *path, const char *name, const void *value,
                          size_t size) {
    struct stat st;
    char place[PATH_MAX];
    LOAN loan = {.taken = false};
    int error = path_of_fd(ovl, fd, place);
    if (error != -ESTALE)   /* else it is still being made, and goes away after a crash */
        error = error ? error : loan_take(ovl, fd, place, &loan);
    if (error && error != -ESTALE)
        return error;
    if (loan.taken)
        return setxattr(path, name, value, size, 0) < 0 ? -errno : 0;
    if (fstat(fd, &st) < 0 || chmod(path, (st.st_mode & 07777) | S_IWUSR) < 0)
        return errno == EPERM ? -EACCES : -errno;
    error = setxattr(path, name, value, size, 0) < 0 ? -errno : 0;
    if (chmod(path, st.st_mode & 07777) < 0 && !error)
        error = -errno;
    return error;
}

int private_set(const struct overlay *ovl, int fd, const char *name, const void *value, size_t size) {
    char full[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = private_name(&ovl->layers[0], name, full);
    if (error)
        return error;
    fd_path(fd, path);
    if (setxattr(path, full, value, size, 0) == 0)
        return 0;
    return errno == EACCES ? set_unwritable(ovl, fd, path, full, value, size) : -errno;
}

int private_remove(const struct overlay *ovl, int fd, const char *name) {
    char full[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = private_name(&ovl->layers[0], name, full);
    if (error)
        return error;
    fd_path(fd, path);
    return removexattr(path, full) < 0 && errno != ENODATA ? -errno : 0;
}

mode_t private_own_mode(int fd, const struct stat *st, const struct shown *shown) {
    mode_t mode = shown->mode & 0777, group = (mode >> 3) & 7, other = mode & 7;
    if (acl_on_fd(fd))   /* the bits are its entries, which the view shows, and its mask */
        return mode | (S_ISDIR(shown->mode) ? 0700 : 0600);
    if (st->st_gid != shown->gid)   /* its members are others here, and others are its members */
        group = other = group & other;
    mode_t ours = S_ISDIR(shown->mode) || (mode & 0111) ? 0700 : 0600;
    return (mode & 0700) | ours | group << 3 | other;
}

/* Descriptors of the file show it, too. */
int private_store_shown(struct overlay *ovl, int fd, const struct shown *shown) {
    touch_all(ovl->view, TOUCH_INODE);
    char text[160];
    int length = snprintf(text, sizeof text, "%d:%u:%u:%o:%llx:%d:%llx:%llu", shown->owner, shown->uid, shown->gid,
                          shown->mode, (unsigned long long)shown->rdev, shown->identity, (unsigned long long)shown->dev,
                          (unsigned long long)shown->ino);
    int error = private_set(ovl, fd, PRIVATE_SHOWN, text, (size_t)length);
    if (error && error != -EOPNOTSUPP && error != -EPERM) /* symlinks and devices hold no user.*: kept for this run */
        return error;
    return shown_set(&ovl->shown, shown);
}

/* What the caller may not set (security.*, trusted.* for an ordinary user) stays behind, as with cp -a. */
static bool may_stay_behind(int error) {
    return error == EPERM || error == EOPNOTSUPP || error == ENODATA;
}

static int copy_one(const struct overlay *ovl, const char *from, const char *to, const char *name) {
    char kept[XATTR_NAME_MAX + 1];
    FREE char *value = malloc(XATTR_SIZE_MAX);
    if (!value)
        return -ENOMEM;
    ssize_t size = getxattr(from, name, value, XATTR_SIZE_MAX);
    if (size < 0)
        return may_stay_behind(errno) || (errno == EACCES && ovl->view->faked) ? 0 : -errno;
    if (faked_name(ovl, name, kept))
        name = kept;
    if (setxattr(to, name, value, (size_t)size, 0) < 0 && !may_stay_behind(errno))
        return -errno;
    return 0;
}

int private_copy(const struct overlay *ovl, int from, int to) {
    char source[FD_PATH], target[FD_PATH], few[1024];
    fd_path(from, source);
    fd_path(to, target);
    FREE char *many = NULL;
    char *list = few;
    ssize_t size = listxattr(source, few, sizeof few);
    if (size < 0 && errno == ERANGE) {
        many = list = malloc(XATTR_LIST_MAX);
        if (!many)
            return -ENOMEM;
        size = listxattr(source, many, XATTR_LIST_MAX);
    }
    if (size < 0)
        return errno == EOPNOTSUPP || errno == EPERM ? 0 : -errno;
    for (const char *name = list; name < list + size; name += strlen(name) + 1) {
        int error = private_is_name(ovl, name) ? 0 : copy_one(ovl, source, target, name);
        if (error)
            return error;
    }
    return 0;
}
