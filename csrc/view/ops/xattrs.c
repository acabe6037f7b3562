/* xattrs.c - extended attributes: those the overlay keeps for itself, and those it shows.
 *
 * Rules: attributes with the overlay's prefix never show; a name of that prefix used inside is stored with one more
 * "overlay." (the escape of fs/overlayfs/xattrs.c), so that an overlay can be kept inside another.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "ops.h"

#define ESCAPE "overlay."

static bool begins(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The layer's name for an attribute of the view. */
static int escape(const struct overlay *ovl, const char *name, char out[XATTR_NAME_MAX + 1]) {
    size_t length = strlen(name);
    if (length > XATTR_NAME_MAX)
        return -ERANGE;
    if (faked_name(ovl, name, out))
        return 0;
    if (!private_is_name(ovl, name)) {
        memcpy(out, name, length + 1);
        return 0;
    }
    int made = snprintf(out, XATTR_NAME_MAX + 1, "%s" ESCAPE "%s", ovl->prefix, name + ovl->root_prefix);
    return made > XATTR_NAME_MAX ? -EOPNOTSUPP : 0;
}

/* xattr_permission() of fs/xattr.c for what is only read, and who sees trusted.* at all. */
static int may_read(const struct location *loc, const char *name, const struct cred *cred) {
    char kept[XATTR_NAME_MAX + 1];
    if (begins(name, "security.") || begins(name, "system.") || faked_name(loc->overlay, name, kept))
        return 0;
    if (begins(name, "trusted."))
        return cred_capable(cred, CAP_SYS_ADMIN) ? 0 : -ENODATA;
    if (begins(name, "user.") && !S_ISREG(loc->type) && !S_ISDIR(loc->type))
        return -ENODATA;
    return permission(loc->overlay, loc->dentry, cred, R_OK);
}

ssize_t view_getxattr(pto_view *view, const struct location *loc, const char *name, void *value, size_t size,
                      const struct cred *cred) {
    char escaped[XATTR_NAME_MAX + 1];
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay) {
        ssize_t length = lgetxattr(loc->path, name, value, size);
        return length < 0 ? -errno : length;
    }
    int error = may_read(loc, name, cred);
    if (!error)
        error = escape(loc->overlay, name, escaped);
    if (error)
        return error;
    ssize_t length = backing_getxattr(loc->overlay, loc->dentry, escaped, value, size);
    bool other = length == -ENODATA && faked_name(loc->overlay, name, escaped);   /* what a lower has itself */
    return other ? backing_getxattr(loc->overlay, loc->dentry, name, value, size) : length;
}

int view_xattr_name(const struct location *loc, const char *name, char *out) {
    return escape(loc->overlay, name, out);
}

/* Takes private names out of a list and the escapes off the others. */
static size_t show_names(const struct overlay *ovl, char *list, size_t size) {
    size_t prefix = ovl->root_prefix, escape_length = strlen(ovl->prefix) - prefix + strlen(ESCAPE), end = 0;
    for (size_t at = 0, length; at < size; at += length) {
        char *name = list + at;
        length = strlen(name) + 1;
        if (!private_is_name(ovl, name)) {
            memmove(list + end, name, length);
            end += length;
        } else if (ovl->view->faked && begins(name, ovl->prefix) && begins(name + strlen(ovl->prefix), FAKED_NAME)) {
            size_t hidden = strlen(ovl->prefix) + strlen(FAKED_NAME);
            memmove(list + end, name + hidden, length - hidden);
            end += length - hidden;
        } else if (begins(name, ovl->prefix) && begins(name + escape_length + prefix - strlen(ESCAPE), ESCAPE)) {
            memmove(list + end, name, prefix);
            memmove(list + end + prefix, name + prefix + escape_length, length - prefix - escape_length);
            end += length - escape_length;
        }
    }
    return end;
}

size_t view_xattr_names(const struct location *loc, char *list, size_t size) {
    return show_names(loc->overlay, list, size);
}

/* trusted.* is not listed for everybody. */
static size_t leave_out_trusted(char *list, size_t size) {
    size_t end = 0;
    for (size_t at = 0, length; at < size; at += length) {
        length = strlen(list + at) + 1;
        if (begins(list + at, "trusted."))
            continue;
        memmove(list + end, list + at, length);
        end += length;
    }
    return end;
}

ssize_t view_listxattr(pto_view *view, const struct location *loc, char *out, size_t size, const struct cred *cred) {
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay) {
        ssize_t length = llistxattr(loc->path, out, size);
        return length < 0 ? -errno : length;
    }
    FREE char *list = malloc(XATTR_LIST_MAX);
    if (!list)
        return -ENOMEM;
    ssize_t length = backing_listxattr(loc->overlay, loc->dentry, list, XATTR_LIST_MAX);
    if (length < 0)
        return length;
    size_t shown = show_names(loc->overlay, list, (size_t)length);
    if (!loc->overlay->view->faked && !cred_capable(cred, CAP_SYS_ADMIN))
        shown = leave_out_trusted(list, shown);
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

/* cred: NULL: whoever asks may. */
static int may_set(const struct location *loc, const char *name, const struct cred *cred) {
    struct statx stx;
    if (loc->type == 0)
        return -ENOENT;
    if (loc->read_only)
        return -EROFS;
    bool acl = begins(name, "system.posix_acl_");
    if (begins(name, "system.") && (!acl || S_ISLNK(loc->type)))
        return -EOPNOTSUPP;
    int error = inode_getattr(loc->overlay, loc->dentry, &stx);
    if (!error && cred)
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
    touch_search(loc->overlay, loc->dentry);
    return error ? error : backing_open(loc->overlay, loc->dentry);
}

int view_setxattr(pto_view *view, const struct location *loc, const char *name, const void *value, size_t size,
                  int flags, const struct cred *cred) {
    char escaped[XATTR_NAME_MAX + 1], path[FD_PATH];
    HELD(&view->base->lock);
    int error = loc->type && begins(name, "system.posix_acl_") ? acl_check(value, size) : 0;
    if (error)
        return error;
    /* vfs_setxattr(): capabilities of no size are looked at by nobody. */
    bool asks = size || strcmp(name, "security.capability") != 0;
    CLOSE_FD fd = begin_change(loc, name, asks ? cred : NULL, escaped);
    if (fd < 0)
        return fd;
    fd_path(fd, path);
    if (setxattr(path, escaped, value, size, flags) < 0)
        return -errno;
    forget_acl(loc);
    return strcmp(name, "system.posix_acl_access") == 0 && size ? attr_follow_acl(loc->overlay, loc->dentry, fd, cred)
                                                                : 0;
}

int view_removexattr(pto_view *view, const struct location *loc, const char *name, const struct cred *cred) {
    char escaped[XATTR_NAME_MAX + 1], path[FD_PATH];
    int error = may_set(loc, name, cred);
    if (error)
        return error;
    /* Nothing to remove is found out before anything is copied up; an ACL may be removed that is not there. */
    if (view_getxattr(view, loc, name, NULL, 0, &view->base->own) == -ENODATA)
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
