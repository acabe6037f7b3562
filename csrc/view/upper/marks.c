/* marks.c - how a layer says that a name is gone or that a directory hides what is below it.
 *
 * Rules: a layer has one form.  The kernel's is a character device 0/0 in place of the name and the attribute
 * overlay.opaque; where the file system holds no such attribute or device it is the form of aufs, fuse-overlayfs and OCI image layers:
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
#include <sys/xattr.h>
#include <unistd.h>

#include "../internal.h"

#define DOT_OPAQUE DOT_PREFIX DOT_PREFIX ".opq"
#define FUSE_OPAQUE "user.fuseoverlayfs.opaque"   /* what fuse-overlayfs sets without trusted.* */

bool is_whiteout(const struct stat *st) {
    return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

bool is_dot_name(const char *name) {
    return strncmp(name, DOT_PREFIX, DOT_LENGTH) == 0;
}

/* out = ".wh." and name. -ENAMETOOLONG: such a name cannot be whited out in this form. */
static int dot_name(const char *name, char out[NAME_MAX + 1]) {
    if (strlen(name) + DOT_LENGTH > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(out, DOT_PREFIX, DOT_LENGTH);
    strcpy(out + DOT_LENGTH, name);
    return 0;
}

/* ---- reading ---- */

/* path: of the name in the layer. */
bool has_dot_whiteout(const struct layer *layer, const char *path) {
    char dotted[PATH_MAX];
    const char *name = strrchr(path, '/');
    size_t directory = name ? (size_t)(name + 1 - path) : 0;
    name = path + directory;
    if (!layer->dot_form || strlen(path) + DOT_LENGTH >= sizeof dotted || strlen(name) + DOT_LENGTH > NAME_MAX)
        return false;
    memcpy(dotted, path, directory);
    memcpy(dotted + directory, DOT_PREFIX, DOT_LENGTH);
    strcpy(dotted + directory + DOT_LENGTH, name);
    return faccessat(layer->fd, dotted, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int is_opaque(const struct layer *layer, const char *path) {
    char value[2], name[PATH_MAX];
    ssize_t length = private_get_at(layer, path, "opaque", value, sizeof value);
    int error = attribute_error(length);
    if (error)
        return error;
    if (length < 0 && !layer->dot_form) {
        int made = snprintf(name, sizeof name, "/proc/self/fd/%d/%s", layer->fd, path);
        length = made < (int)sizeof name ? lgetxattr(name, FUSE_OPAQUE, value, sizeof value) : -1;
    }
    if (length == 1)
        return value[0] == 'y';
    int made = layer->dot_form ? snprintf(name, sizeof name, "%s/" DOT_OPAQUE, path) : 0;
    return made > 0 && made < (int)sizeof name && faccessat(layer->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int has_marked_whiteouts(const struct layer *layer, int fd) {
    char value[2];
    ssize_t length = private_get(layer, fd, "opaque", value, sizeof value);
    int error = attribute_error(length);
    return error ? error : length == 1 && value[0] == 'x';
}

int is_marked_whiteout(const struct layer *layer, int dirfd, const char *name) {
    char value[2];
    struct stat st;
    CLOSE_FD fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return 0;
    ssize_t length = private_get(layer, fd, "whiteout", value, sizeof value);
    int error = attribute_error(length);
    return error ? error : length >= 0;
}

/* Whoever looks a name up asks the file alone, ovl_path_check_xwhiteout_xattr(); the directory's mark is for lists. */
int is_marked_at(const struct layer *layer, const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode) || st->st_size != 0)
        return 0;
    ssize_t length = private_get_at(layer, path, "whiteout", NULL, 0);
    return length < 0 ? attribute_error(length) : 1;
}

/* ---- making ---- */

static int make_dot(int dirfd, const char *name) {
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

int mark_opaque(const struct overlay *ovl, int fd) {
    return ovl->layers[0].dot_form ? make_dot(fd, DOT_OPAQUE) : private_set(ovl, fd, "opaque", "y", 1);
}

/* All whiteouts are links of one device in the work directory, until it has as many links as it can have: a link costs
 * less than an inode.  ovl_whiteout() in fs/overlayfs/dir.c. */
#define SHARED_WHITEOUT "whiteout"

void marks_close(const struct overlay *ovl) {
    if (ovl->work >= 0)
        (void)!unlinkat(ovl->work, SHARED_WHITEOUT, 0);   /* removed at the next start in any case */
}

static int make_device(const struct overlay *ovl, int dirfd, const char *name) {
    if (linkat(ovl->work, SHARED_WHITEOUT, dirfd, name, 0) == 0)
        return 0;
    if (errno != ENOENT && errno != EMLINK)
        return mknodat(dirfd, name, S_IFCHR, makedev(0, 0)) < 0 ? -errno : 0;
    if (errno == EMLINK && unlinkat(ovl->work, SHARED_WHITEOUT, 0) < 0)
        return -errno;
    if (mknodat(ovl->work, SHARED_WHITEOUT, S_IFCHR, makedev(0, 0)) < 0)
        return -errno;
    return linkat(ovl->work, SHARED_WHITEOUT, dirfd, name, 0) < 0 ? -errno : 0;
}

/* Another overlay's layer shows no devices 0/0, so one that lies in it takes the kernel's other form, which an overlay
 * shows as it is (Documentation/filesystems/overlayfs.rst, "Nesting"). */
static int make_marked(const struct overlay *ovl, int dirfd, const char *name) {
    CLOSE_FD fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int error = private_set(ovl, fd, "whiteout", "", 0);
    if (error)
        (void)!unlinkat(dirfd, name, 0);
    return error;
}

int expect_whiteout(const struct overlay *ovl, int dirfd) {
    char value[2];
    if (!ovl->layers[0].marked_form || private_get(&ovl->layers[0], dirfd, "opaque", value, sizeof value) == 1)
        return 0;
    return private_set(ovl, dirfd, "opaque", "x", 1);
}

int make_whiteout(const struct overlay *ovl, int dirfd, const char *name) {
    char dotted[NAME_MAX + 1];
    if (ovl->layers[0].marked_form) {
        int unmarked = expect_whiteout(ovl, dirfd);
        return unmarked ? unmarked : make_marked(ovl, dirfd, name);
    }
    if (!ovl->layers[0].dot_form)
        return make_device(ovl, dirfd, name);
    int error = dot_name(name, dotted);
    return error ? error : make_dot(dirfd, dotted);
}

int work_whiteout(struct overlay *ovl, struct work_object *object) {
    work_object_init(ovl, object);
    int error = make_whiteout(ovl, ovl->work, object->name);
    if (error)
        object->name[0] = '\0';
    return error;
}

static int take_away(struct overlay *ovl, int dirfd, const char *name, bool directory) {
    if (unlinkat(dirfd, name, directory ? AT_REMOVEDIR : 0) == 0)
        return 0;
    if (!directory || (errno != ENOTEMPTY && errno != EEXIST))
        return -errno;
    /* Only whiteouts are left in it: out of the view by one rename, then removed. */
    WORK_OBJECT object;
    work_object_init(ovl, &object);
    return work_take(&object, dirfd, name);
}

/* An object gives way to a whiteout, or to nothing. */
int replace_by_whiteout(struct overlay *ovl, int dirfd, const char *name, bool directory, bool whiteout) {
    if (!whiteout)
        return take_away(ovl, dirfd, name, directory);
    if (ovl->layers[0].dot_form) {
        int error = make_whiteout(ovl, dirfd, name);
        return error ? error : take_away(ovl, dirfd, name, directory);
    }
    int error = expect_whiteout(ovl, dirfd);
    if (error)
        return error;
    WORK_OBJECT object;
    error = work_whiteout(ovl, &object);
    return error ? error : work_place(&object, dirfd, name, directory ? PLACE_EXCHANGE : PLACE_OVER);
}

int drop_dot_whiteout(const struct overlay *ovl, int dirfd, const char *name) {
    char dotted[NAME_MAX + 1];
    if (!ovl->layers[0].dot_form)
        return 0;
    int error = dot_name(name, dotted);
    return error ? error : unlinkat(dirfd, dotted, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* ---- which form ---- */

/* A file system without attributes cannot have the kernel's form. */
void find_form(struct layer *layer) {
    layer->dot_form = private_get_at(layer, ".", "opaque", NULL, 0) == -EOPNOTSUPP;
}

/* An upper must also take a whiteout. */
int choose_form(struct overlay *ovl) {
    struct layer *upper = &ovl->layers[0];
    char name[WORK_NAME];
    find_form(upper);
    work_name(ovl, name);
    if (upper->marked_form)
        return upper->dot_form ? -EOPNOTSUPP : 0;
    if (upper->dot_form)
        return 0;
    if (mknodat(ovl->work, name, S_IFCHR, makedev(0, 0)) < 0) {
        upper->dot_form = errno == EPERM || errno == EINVAL || errno == EOPNOTSUPP;
        return upper->dot_form ? 0 : -errno;
    }
    return unlinkat(ovl->work, name, 0) < 0 ? -errno : 0;
}
