/* permission.c - who may do what.
 *
 * Rule: permission follows from the attributes shown, so that it is the same before and after copy-up whoever owns the
 * upper's copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layers.h"

/* The order of acl_permission_check() in fs/namei.c: owner, ACL, group, others. */
static int mode_permission(struct overlay *ovl, uint32_t d, const struct statx *stx, const struct cred *cred,
                           unsigned mask) {
    unsigned mode = stx->stx_mode;
    if (stx->stx_uid == cred->fsuid)
        return (mode >> 6 & mask) == mask ? 0 : -EACCES;
    if (mode & 070) {   /* with an ACL the group bits are its mask: 0 means that it grants nothing */
        int granted = acl_permission(ovl, d, cred, mask);
        if (granted != -ENODATA)
            return granted;
    }
    if (cred_in_group(cred, stx->stx_gid))
        return (mode >> 3 & mask) == mask ? 0 : -EACCES;
    return (mode & mask) == mask ? 0 : -EACCES;
}

static bool overridden(const struct statx *stx, const struct cred *cred, unsigned mask) {
    bool directory = S_ISDIR(stx->stx_mode);
    if (ids_capable_over(stx, cred, CAP_DAC_OVERRIDE) && (directory || !(mask & 1) || (stx->stx_mode & 0111)))
        return true;
    return ids_capable_over(stx, cred, CAP_DAC_READ_SEARCH) && !(mask & 2) && (directory || mask == 4);
}

static bool never_asked(const struct dentry *dentry, const struct cred *cred, int mask) {
    return cred_capable(cred, CAP_DAC_OVERRIDE) && ids_all_mapped() &&
           (is_dir_kind(shown_kind(dentry)) || !(mask & X_OK));
}

int permission(struct overlay *ovl, uint32_t d, const struct cred *cred, int mask) {
    struct statx stx;
    if (mask != 0 && never_asked(at(ovl, d), cred, mask))
        return 0;
    int error = inode_owner(ovl, d, &stx);
    if (error || mask == 0)
        return error;
    error = mode_permission(ovl, d, &stx, cred, (unsigned)mask);
    return error == -EACCES && overridden(&stx, cred, (unsigned)mask) ? 0 : error;
}

int view_permission(pto_view *view, const struct location *loc, const struct cred *cred, int mask) {
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay)
        return faccessat(AT_FDCWD, loc->path, mask, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    bool object = S_ISREG(loc->type) || S_ISDIR(loc->type) || S_ISLNK(loc->type);
    if ((mask & W_OK) && loc->read_only && object)
        return -EROFS;
    return permission(loc->overlay, loc->dentry, cred, mask);
}

int permission_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred) {
    struct statx directory, object;
    int error = permission(ovl, parent, cred, W_OK | X_OK);
    if (error || (cred_capable(cred, CAP_FOWNER) && ids_all_mapped()))
        return error;
    error = inode_owner(ovl, parent, &directory);
    if (error || !(directory.stx_mode & S_ISVTX) || directory.stx_uid == cred->fsuid)
        return error;
    error = inode_owner(ovl, d, &object);
    if (error)
        return error;
    return object.stx_uid == cred->fsuid || ids_capable_over(&object, cred, CAP_FOWNER) ? 0 : -EPERM;
}

int permission_create(struct overlay *ovl, const struct location *loc, const struct cred *cred) {
    if (loc->hidden)
        return -EACCES;
    if (loc->type || loc->last != LAST_NORM)
        return -EEXIST;
    if (loc->read_only)
        return -EROFS;
    return permission(ovl, loc->parent, cred, W_OK | X_OK);
}

bool permission_keep_setgid(const struct statx *stx, const struct cred *cred) {
    return cred_in_group(cred, stx->stx_gid) || ids_capable_over(stx, cred, CAP_FSETID);
}
