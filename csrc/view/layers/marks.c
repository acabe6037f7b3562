/* marks.c - how a layer says that a name is gone or that a directory hides what is below it.
 *
 * Rules: a layer has one form.  The kernel's is a character device 0/0 in place of the name and the attribute
 * overlay.opaque; where no such device can be made, its other one, an empty file with the attribute overlay.whiteout;
 * where the file system holds no such attribute it is the form of aufs, fuse-overlayfs and OCI image layers:
 * an empty file ".wh.NAME" beside the name, and ".wh..wh..opq" in the directory.  There an object and a whiteout of its
 * name may stand together for a moment, and the object counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "layers.h"

#define FUSE_OPAQUE "user.fuseoverlayfs.opaque"   /* what fuse-overlayfs sets without trusted.* */

bool marks_is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

bool marks_is_dot(const char *name) {
    return strncmp(name, DOT_PREFIX, DOT_LENGTH) == 0;
}

/* out = ".wh." and name. -ENAMETOOLONG: such a name cannot be whited out in this form. */
int marks_dot_name(const char *name, char out[NAME_MAX + 1]) {
    if (strlen(name) + DOT_LENGTH > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(out, DOT_PREFIX, DOT_LENGTH);
    strcpy(out + DOT_LENGTH, name);
    return 0;
}

/* path: of the name in the layer. */
bool marks_has_dot(const struct layer *layer, const char *path) {
    char dotted[VIEW_PATH_MAX];
    const char *name = strrchr(path, '/');
    size_t directory = name ? (size_t)(name + 1 - path) : 0;
    name = path + directory;
    if (!layer->dot_form || strlen(path) + DOT_LENGTH >= sizeof dotted || strlen(name) + DOT_LENGTH > NAME_MAX)
        return false;
    memcpy(dotted, path, directory);
    memcpy(dotted + directory, DOT_PREFIX, DOT_LENGTH);
    strcpy(dotted + directory + DOT_LENGTH, name);
    return fd_exists(layer->fd, dotted);
}

int marks_is_opaque(const struct layer *layer, const char *path) {
    char value[2], name[VIEW_PATH_MAX];
    ssize_t length = private_get_at(layer, path, "opaque", value, sizeof value);
    int error = private_error(length);
    if (error)
        return error;
    if (length < 0 && !layer->dot_form)
        length = fd_getxattr_at(layer->fd, path, FUSE_OPAQUE, value, sizeof value);
    if (length == 1)
        return value[0] == 'y';
    int made = layer->dot_form ? snprintf(name, sizeof name, "%s/" DOT_OPAQUE, path) : 0;
    return made > 0 && made < (int)sizeof name && fd_exists(layer->fd, name);
}

int marks_has_marked(const struct layer *layer, int fd) {
    char value[2];
    ssize_t length = private_get(layer, fd, "opaque", value, sizeof value);
    int error = private_error(length);
    return error ? error : length == 1 && value[0] == 'x';
}

int marks_is_marked(const struct layer *layer, int dirfd, const char *name) {
    char value[2];
    struct stat st;
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return 0;
    ssize_t length = private_get(layer, fd, "whiteout", value, sizeof value);
    int error = private_error(length);
    return error ? error : length >= 0;
}

/* Whoever looks a name up asks the file alone, ovl_path_check_xwhiteout_xattr(); the directory's mark is for lists. */
int marks_is_marked_at(const struct layer *layer, const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode) || st->st_size != 0)
        return 0;
    ssize_t length = private_get_at(layer, path, "whiteout", NULL, 0);
    return length < 0 ? private_error(length) : 1;
}

/* A file system without attributes cannot have the kernel's form. */
void marks_find_form(struct layer *layer) {
    layer->dot_form = private_get_at(layer, ".", "opaque", NULL, 0) == -EOPNOTSUPP;
}
