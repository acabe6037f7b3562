/* xattrs.c - extended attributes: those the overlay keeps for itself, and those it shows.
 *
 * Rules: attributes with the overlay's prefix never show; a name of that prefix used inside is stored with one more
 * "overlay." (the escape of fs/overlayfs/xattrs.c), so that an overlay can be kept inside another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../internal.h"

#define ESCAPE "overlay."
#define KEPT "ptoverlay.kept"

static bool begins(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int private_name(const struct layer *layer, const char *name, char out[XATTR_NAME_MAX + 1]) {
    int length = snprintf(out, XATTR_NAME_MAX + 1, "%s%s", layer->prefix, name);
    return length > XATTR_NAME_MAX ? -ERANGE : 0;
}

/* A path that reaches an object of a layer by the layer's descriptor. */
static int layer_path(const struct layer *layer, const char *path, char out[PATH_MAX]) {
    int length = snprintf(out, PATH_MAX, "/proc/self/fd/%d/%s", layer->fd, path);
    return length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

ssize_t private_get(const struct layer *layer, int fd, const char *name, void *value, size_t size) {
    char full[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = private_name(layer, name, full);
    if (error)
        return error;
    fd_path(fd, path);
    ssize_t length = getxattr(path, full, value, size);
    return length < 0 ? -errno : length;
}

ssize_t private_get_at(const struct layer *layer, const char *path, const char *name, void *value, size_t size) {
    char full[XATTR_NAME_MAX + 1], real[PATH_MAX];
    int error = private_name(layer, name, full);
    if (!error)
        error = layer_path(layer, path, real);
    if (error)
        return error;
    ssize_t length = lgetxattr(real, full, value, size);
    return length < 0 ? -errno : length;
}

int attribute_error(ssize_t length) {
    switch (length) {
    case -ENODATA:
    case -EOPNOTSUPP:
    case -ERANGE:            /* longer than any of ours */
    case -EACCES:            /* user.* of what we may not read */
    case -EPERM:
    case -ENOENT:
        return 0;
    default:
        return length < 0 ? (int)length : 0;
    }
}

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

/* ---- what an object shows but does not have ---- */

int kept_store(struct overlay *ovl, int fd, const struct kept *kept) {
    char text[160];
    int length = snprintf(text, sizeof text, "%d:%u:%u:%o:%llx:%d:%llx:%llu", kept->owner, kept->uid, kept->gid,
                          kept->mode, (unsigned long long)kept->rdev, kept->identity, (unsigned long long)kept->dev,
                          (unsigned long long)kept->ino);
    int error = private_set(ovl, fd, KEPT, text, (size_t)length);
    if (error && error != -EOPNOTSUPP && error != -EPERM) /* symlinks and devices hold no user.*: kept for this run */
        return error;
    return kept_set(ovl, kept);
}

static bool known_dev(const struct overlay *ovl, dev_t dev) {
    for (size_t i = 0; i < ovl->n_submounts; i++)
        if (ovl->submounts[i].dev == dev)
            return true;
    return dev == ovl->dev;
}

int kept_load(struct overlay *ovl, int fd, const struct stat *st) {
    char text[160];
    ssize_t size = kept_find(ovl, st->st_ino) ? 0 : private_get(&ovl->layers[0], fd, KEPT, text, sizeof text - 1);
    if (size <= 0)
        return 0;
    text[size] = '\0';
    struct kept kept = {.upper_ino = st->st_ino, .foreign = !is_believed(ovl, &ovl->layers[0], st)};
    int owner, identity;
    unsigned long long rdev, dev, ino;
    if (sscanf(text, "%d:%u:%u:%o:%llx:%d:%llx:%llu", &owner, &kept.uid, &kept.gid, &kept.mode, &rdev, &identity, &dev,
               &ino) != 8)
        return 0;
    kept.owner = owner && (!kept.foreign || (S_ISDIR(st->st_mode) && S_ISDIR(kept.mode)));
    kept.identity = identity;
    kept.rdev = (dev_t)rdev;
    kept.dev = known_dev(ovl, (dev_t)dev) ? (dev_t)dev : ovl->dev;
    kept.ino = ino;
    return kept_set(ovl, &kept);
}

/* ---- between layers ---- */

static bool is_private(const struct overlay *ovl, const char *name) {
    return strncmp(name, ovl->prefix, ovl->root_prefix) == 0;
}

/* What the caller may not set (security.*, trusted.* for an ordinary user) stays behind, as with cp -a. */
static bool may_stay_behind(int error) {
    return error == EPERM || error == EOPNOTSUPP || error == ENODATA;
}

static void free_block(void *block) {
    free(*(void **)block);
}
#define FREE __attribute__((cleanup(free_block)))

static int copy_one(const char *from, const char *to, const char *name) {
    FREE char *value = malloc(XATTR_SIZE_MAX);
    if (!value)
        return -ENOMEM;
    ssize_t size = getxattr(from, name, value, XATTR_SIZE_MAX);
    if (size < 0)
        return may_stay_behind(errno) ? 0 : -errno;
    if (setxattr(to, name, value, (size_t)size, 0) < 0 && !may_stay_behind(errno))
        return -errno;
    return 0;
}

int copy_xattrs(const struct overlay *ovl, int from, int to) {
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
        int error = is_private(ovl, name) ? 0 : copy_one(source, target, name);
        if (error)
            return error;
    }
    return 0;
}

/* ---- what the view shows ---- */

/* The layer's name for an attribute of the view. */
static int escape(const struct overlay *ovl, const char *name, char out[XATTR_NAME_MAX + 1]) {
    size_t length = strlen(name);
    if (length > XATTR_NAME_MAX)
        return -ERANGE;
    if (!is_private(ovl, name)) {
        memcpy(out, name, length + 1);
        return 0;
    }
    int made = snprintf(out, XATTR_NAME_MAX + 1, "%s" ESCAPE "%s", ovl->prefix, name + ovl->root_prefix);
    return made > XATTR_NAME_MAX ? -EOPNOTSUPP : 0;
}

/* The path of the topmost object. */
static int object_path(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]) {
    char relative[PATH_MAX];
    int layer = backing_at_top(ovl, d, relative);
    return layer < 0 ? layer : layer_path(&ovl->layers[layer], relative, out);
}

ssize_t real_getxattr(const struct overlay *ovl, uint32_t d, const char *name, void *value, size_t size) {
    char path[PATH_MAX];
    int error = object_path(ovl, d, path);
    if (error)
        return error;
    ssize_t length = lgetxattr(path, name, value, size);
    return length < 0 ? -errno : length;
}

ssize_t view_getxattr(pto_view *view, const struct location *loc, const char *name, void *value, size_t size) {
    char escaped[XATTR_NAME_MAX + 1];
    (void)view;
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay) {
        ssize_t length = lgetxattr(loc->path, name, value, size);
        return length < 0 ? -errno : length;
    }
    int error = escape(loc->overlay, name, escaped);
    return error ? error : real_getxattr(loc->overlay, loc->dentry, escaped, value, size);
}

/* Takes private names out of a list and the escapes off the others. */
static size_t show_names(const struct overlay *ovl, char *list, size_t size) {
    size_t prefix = ovl->root_prefix, escape_length = strlen(ovl->prefix) - prefix + strlen(ESCAPE), kept = 0;
    for (size_t at = 0, length; at < size; at += length) {
        char *name = list + at;
        length = strlen(name) + 1;
        if (!is_private(ovl, name)) {
            memmove(list + kept, name, length);
            kept += length;
        } else if (begins(name, ovl->prefix) && begins(name + escape_length + prefix - strlen(ESCAPE), ESCAPE)) {
            memmove(list + kept, name, prefix);
            memmove(list + kept + prefix, name + prefix + escape_length, length - prefix - escape_length);
            kept += length - escape_length;
        }
    }
    return kept;
}

ssize_t view_listxattr(pto_view *view, const struct location *loc, char *out, size_t size) {
    char path[PATH_MAX];
    (void)view;
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay) {
        ssize_t length = llistxattr(loc->path, out, size);
        return length < 0 ? -errno : length;
    }
    int error = object_path(loc->overlay, loc->dentry, path);
    if (error)
        return error;
    FREE char *list = malloc(XATTR_LIST_MAX);
    if (!list)
        return -ENOMEM;
    ssize_t length = llistxattr(path, list, XATTR_LIST_MAX);
    if (length < 0)
        return -errno;
    size_t shown = show_names(loc->overlay, list, (size_t)length);
    if (size == 0)
        return (ssize_t)shown;
    if (shown > size)
        return -ERANGE;
    memcpy(out, list, shown);
    return (ssize_t)shown;
}

/* xattr_permission() of fs/xattr.c for what has to be written. */
static int may_write(const struct location *loc, const char *name, const struct statx *stx, const struct cred *cred) {
    if (begins(name, "trusted."))
        return cred_capable(cred, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (begins(name, "security.")) {
        int needed = strcmp(name, "security.capability") == 0 ? CAP_SETFCAP : CAP_SYS_ADMIN;
        return cred_capable(cred, needed) ? 0 : -EPERM;
    }
    if (begins(name, "system."))
        return ids_owner_or_capable(stx, cred) ? 0 : -EPERM;
    if (begins(name, "user.")) {
        if (!S_ISREG(loc->type) && !S_ISDIR(loc->type))
            return -EPERM;
        if (S_ISDIR(loc->type) && (stx->stx_mode & S_ISVTX) && !ids_owner_or_capable(stx, cred))
            return -EPERM;
    }
    return permission(loc->overlay, loc->dentry, cred, W_OK);
}

static int may_set(const struct location *loc, const char *name, const struct cred *cred) {
    struct statx stx;
    if (loc->type == 0)
        return -ENOENT;
    if (loc->read_only)
        return -EROFS;
    bool acl = begins(name, "system.posix_acl_");
    if (begins(name, "system.") && (!acl || S_ISLNK(loc->type)))
        return -EOPNOTSUPP;
    int error = dentry_getattr(loc->overlay, loc->dentry, &stx);
    if (!error)
        error = may_write(loc, name, &stx, cred);
    bool known = acl || begins(name, "user.") || begins(name, "trusted.") || begins(name, "security.");
    return error || known ? error : -EOPNOTSUPP;
}

/* A changed ACL changes who may search, and what new entries get. */
static void forget_acl(const struct location *loc) {
    at(loc->overlay, loc->dentry)->flags &=
        (uint16_t)~(D_SEARCH_KNOWN | D_SEARCH_ALL | D_SAME_SEARCH | D_NO_DEFAULT_ACL);
}

/* Ready to change: permission asked, copied up, opened. Returns a descriptor. */
static int begin_change(const struct location *loc, const char *name, const struct cred *cred,
                        char escaped[XATTR_NAME_MAX + 1]) {
    int error = may_set(loc, name, cred);
    if (!error)
        error = escape(loc->overlay, name, escaped);
    if (!error)
        error = copy_up(loc->overlay, loc->dentry, KEEP_NONE_YET);
    view_changed(loc->overlay);
    return error ? error : backing_open(loc->overlay, loc->dentry);
}

int view_setxattr(pto_view *view, const struct location *loc, const char *name, const void *value, size_t size,
                  int flags, const struct cred *cred) {
    char escaped[XATTR_NAME_MAX + 1], path[FD_PATH];
    (void)view;
    int error = loc->type && begins(name, "system.posix_acl_") ? acl_check(value, size) : 0;
    if (error)
        return error;
    CLOSE_FD fd = begin_change(loc, name, cred, escaped);
    if (fd < 0)
        return fd;
    fd_path(fd, path);
    if (setxattr(path, escaped, value, size, flags) < 0)
        return -errno;
    forget_acl(loc);
    return strcmp(name, "system.posix_acl_access") == 0 && size ? mode_of_acl(loc->overlay, loc->dentry, fd, cred) : 0;
}

int view_removexattr(pto_view *view, const struct location *loc, const char *name, const struct cred *cred) {
    char escaped[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = may_set(loc, name, cred);
    if (error)
        return error;
    /* Nothing to remove is found out before anything is copied up; an ACL may be removed that is not there. */
    if (view_getxattr(view, loc, name, NULL, 0) == -ENODATA)
        return begins(name, "system.posix_acl_") ? 0 : -ENODATA;
    CLOSE_FD fd = begin_change(loc, name, cred, escaped);
    if (fd < 0)
        return fd;
    fd_path(fd, path);
    if (removexattr(path, escaped) < 0)
        return -errno;
    forget_acl(loc);
    return 0;
}
