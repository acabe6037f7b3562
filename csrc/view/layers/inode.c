/* inode.c - the attributes that the view shows, and who may do what.
 *
 * Rules: identity (st_dev, st_ino) does not change at copy-up; permission follows from the attributes shown, so
 * that it is the same before and after copy-up whoever owns the upper's copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../internal.h"

static dev_t dev_of(const struct statx *stx) {
    return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static void set_dev(struct statx *stx, dev_t dev) {
    stx->stx_dev_major = major(dev);
    stx->stx_dev_minor = minor(dev);
}

/* The st_dev of what is made at this place of the view. */
static dev_t dev_at(const struct overlay *ovl, uint32_t d) {
    char path[PATH_MAX];
    int length = ovl->n_submounts ? path_in_view(ovl, d, path) : 0;
    size_t best = 0;
    dev_t dev = ovl->dev;
    for (size_t i = 0; i < ovl->n_submounts && length > 0; i++) {
        const struct submount *mount = &ovl->submounts[i];
        if (mount->length > best && path_below(path, (size_t)length, mount->path, mount->length)) {
            best = mount->length;
            dev = mount->dev;
        }
    }
    return dev;
}

/* Inode numbers of another file system are told apart by their upper bits, as with xino (fs/overlayfs/inode.c). */
#define XINO_SHIFT 48

static void show_identity(const struct overlay *ovl, uint32_t d, unsigned layer, struct statx *stx) {
    dev_t real = dev_of(stx);
    if (layer && layer == ovl->own)
        return;   /* as on the host: such calls are also passed */
    dev_t shown = layer ? ovl->dev : dev_at(ovl, d);
    if (real == shown)
        return;
    stx->stx_ino ^= (uint64_t)(layer + 1) << XINO_SHIFT;
    set_dev(stx, shown);
}

/* An owner and a mode that could not be set: the maker of the layer has left a directory as it was below, or it is his own. */
static bool is_kept_owner(const struct overlay *ovl, uint32_t d, const struct kept *kept) {
    struct statx lower;
    if (!kept->owner || !kept->foreign)
        return kept->owner;
    return is_merged(at(ovl, d)) && lower_statx(ovl, d, &lower) == 0 && lower.stx_uid == kept->uid &&
           lower.stx_gid == kept->gid && lower.stx_mode == kept->mode;
}

/* Puts in what the upper's file shows but does not have. */
void inode_show(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    const struct kept *kept = kept_find(ovl, stx->stx_ino);
    stx->stx_nlink = links_count(ovl, stx, true);
    if (kept && is_kept_owner(ovl, d, kept)) {
        stx->stx_uid = kept->uid;
        stx->stx_gid = kept->gid;
        stx->stx_mode = (uint16_t)kept->mode;
        stx->stx_rdev_major = major(kept->rdev);
        stx->stx_rdev_minor = minor(kept->rdev);
    }
    if (kept && kept->identity) {
        stx->stx_ino = kept->ino;
        set_dev(stx, kept->dev);
        return;
    }
    show_identity(ovl, d, 0, stx);
}

/* A merged directory is the one of its topmost lower, with the upper's attributes, which stx has; st_nlink 1 says that the
 * number of sub-directories is not known. */
static int show_merged(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    struct statx lower;
    int error = lower_statx(ovl, d, &lower);
    if (error)
        return error == -ENOENT ? 0 : error;
    show_identity(ovl, d, at(ovl, d)->layer, &lower);
    stx->stx_ino = lower.stx_ino;
    set_dev(stx, dev_of(&lower));
    stx->stx_nlink = 1;
    return 0;
}

int dentry_owner(struct overlay *ovl, uint32_t d, struct statx *stx) {
    if (!upper_exists(at(ovl, d)))
        return lower_statx(ovl, d, stx);
    int error = check_upper(ovl, d);
    if (!error)
        error = backing_upper_statx(ovl, d, stx);
    if (!error)
        inode_show(ovl, d, stx);
    return error;
}

int dentry_getattr(struct overlay *ovl, uint32_t d, struct statx *stx) {
    bool upper = upper_exists(at(ovl, d));
    int error = dentry_owner(ovl, d, stx);
    if (error)
        return error;
    const struct dentry *dentry = at(ovl, d);
    if (upper)
        return is_merged(dentry) ? show_merged(ovl, d, stx) : 0;
    stx->stx_nlink = links_count(ovl, stx, false);
    show_identity(ovl, d, dentry->layer, stx);
    if (is_dir_kind(dentry->lower) && dentry->stack)
        stx->stx_nlink = 1;
    return 0;
}

int view_getattr(pto_view *view, const struct location *loc, struct statx *stx) {
    (void)view;
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay)
        return fd_statx(AT_FDCWD, loc->path, 0, stx);
    return dentry_getattr(loc->overlay, loc->dentry, stx);
}

static bool attr_is_real(const struct overlay *ovl) {
    if (ovl->n_layers != ovl->own || ovl->n_submounts)
        return false;
    if (!has_upper(ovl))
        return true;
    return ovl->kept.count == 0 && !ovl->dirs_changed && ovl->layers[0].dev == ovl->dev;
}

bool view_attr_is_real(pto_view *view) {
    for (size_t i = 0; i < view->n_overlays; i++)
        if (!attr_is_real(view->overlays[i]))
            return false;
    return !view->outer || view_attr_is_real(view->outer);
}

/* ---- permission ---- */

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
    int error = dentry_owner(ovl, d, &stx);
    if (error || mask == 0)
        return error;
    error = mode_permission(ovl, d, &stx, cred, (unsigned)mask);
    return error == -EACCES && overridden(&stx, cred, (unsigned)mask) ? 0 : error;
}

int view_permission(pto_view *view, const struct location *loc, const struct cred *cred, int mask) {
    (void)view;
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay)
        return faccessat(AT_FDCWD, loc->path, mask, AT_EACCESS | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    bool object = S_ISREG(loc->type) || S_ISDIR(loc->type) || S_ISLNK(loc->type);
    if ((mask & W_OK) && loc->read_only && object)
        return -EROFS;
    return permission(loc->overlay, loc->dentry, cred, mask);
}

int may_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred) {
    struct statx directory, object;
    int error = permission(ovl, parent, cred, W_OK | X_OK);
    if (error || (cred_capable(cred, CAP_FOWNER) && ids_all_mapped()))
        return error;
    error = dentry_owner(ovl, parent, &directory);
    if (error || !(directory.stx_mode & S_ISVTX) || directory.stx_uid == cred->fsuid)
        return error;
    error = dentry_owner(ovl, d, &object);
    if (error)
        return error;
    return object.stx_uid == cred->fsuid || ids_capable_over(&object, cred, CAP_FOWNER) ? 0 : -EPERM;
}

int may_create(struct overlay *ovl, const struct location *loc, const struct cred *cred) {
    if (loc->hidden)
        return -EACCES;
    if (loc->type || loc->last != LAST_NORM)
        return -EEXIST;
    if (loc->read_only)
        return -EROFS;
    return permission(ovl, loc->parent, cred, W_OK | X_OK);
}

bool may_keep_setgid(const struct statx *stx, const struct cred *cred) {
    return cred_in_group(cred, stx->stx_gid) || ids_capable_over(stx, cred, CAP_FSETID);
}

/* ---- symlinks and file systems ---- */

#define OVERLAYFS_SUPER_MAGIC 0x794c7630   /* linux/magic.h */

/* What is left for the upper, as ovl_statfs() in fs/overlayfs/super.c. */
int view_statfs(pto_view *view, const struct location *loc, struct statfs *out) {
    (void)view;
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay)
        return statfs(loc->path, out) < 0 ? -errno : 0;
    const struct overlay *ovl = loc->overlay;
    if (fstatfs(ovl->layers[has_upper(ovl) ? 0 : 1].fd, out) < 0)
        return -errno;
    out->f_type = OVERLAYFS_SUPER_MAGIC;
    return 0;
}
