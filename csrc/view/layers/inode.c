/* inode.c - the attributes that the view shows.
 *
 * Rule: identity (st_dev, st_ino) does not change at copy-up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "layers.h"

static dev_t dev_of(const struct statx *stx) {
    return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static void set_dev(struct statx *stx, dev_t dev) {
    stx->stx_dev_major = major(dev);
    stx->stx_dev_minor = minor(dev);
}

/* The st_dev of what is made at this place of the view. */
static dev_t dev_at(const struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
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

/* An owner and a mode that could not be set: the maker of the layer has left a directory as it was below, or it is his
 * own. */
static bool shows_owner(const struct overlay *ovl, uint32_t d, const struct shown *shown) {
    struct statx lower;
    if (!shown->owner || !shown->foreign)
        return shown->owner;
    return is_merged(at(ovl, d)) && lower_statx(ovl, d, &lower) == 0 && lower.stx_uid == shown->uid &&
           lower.stx_gid == shown->gid && lower.stx_mode == shown->mode;
}

static void put_owner(const struct shown *shown, struct statx *stx) {
    stx->stx_uid = shown->uid;
    stx->stx_gid = shown->gid;
    stx->stx_mode = (uint16_t)shown->mode;
    stx->stx_rdev_major = major(shown->rdev);
    stx->stx_rdev_minor = minor(shown->rdev);
}

/* What an object of a lower shows, of which nothing is above; true: its identity too. */
static bool show_lower(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    char path[VIEW_PATH_MAX];
    struct shown shown;
    struct stat st = {.st_mode = stx->stx_mode, .st_uid = stx->stx_uid, .st_ino = stx->stx_ino};
    faked_ids(ovl->view, stx);
    unsigned layer = at(ovl, d)->layer;
    if (path_in_lower(ovl, d, layer, path) < 0 || !private_shown_below(ovl, layer, path, &st, &shown))
        return false;
    if (shown.owner && !shown.foreign)
        put_owner(&shown, stx);
    if (!shown.identity || !(ovl->flags & PTO_NUMBERS))
        return false;
    stx->stx_ino = shown.ino;
    set_dev(stx, shown.dev);
    return true;
}

/* Puts in what the upper's file shows but does not have. */
void inode_show(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    const struct shown *shown = shown_find(&ovl->shown, stx->stx_ino);
    faked_ids(ovl->view, stx);
    stx->stx_nlink = linked_count(ovl, stx, true);
    if (shown && shows_owner(ovl, d, shown))
        put_owner(shown, stx);
    if (shown && shown->identity) {
        stx->stx_ino = shown->ino;
        set_dev(stx, shown->dev);
        return;
    }
    show_identity(ovl, d, 0, stx);
}

/* A merged directory is the one of its topmost lower, with the upper's attributes, which stx has; st_nlink 1 says that
 * the number of sub-directories is not known. */
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

/* own: whether it has the identity that it shows. */
static int show_owner(struct overlay *ovl, uint32_t d, struct statx *stx, bool *own) {
    bool upper = upper_exists(at(ovl, d));
    int error = upper ? lookup_check_upper(ovl, d) : lower_statx(ovl, d, stx);
    if (!error && upper)
        error = backing_upper_statx(ovl, d, stx);
    if (!error && upper)
        inode_show(ovl, d, stx);
    *own = true;
    if (error || upper)
        return error;
    stx->stx_nlink = linked_count(ovl, stx, false); /* by the number that it has, not by the one that it shows */
    *own = !show_lower(ovl, d, stx);
    return 0;
}

int inode_owner(struct overlay *ovl, uint32_t d, struct statx *stx) {
    bool own;
    return show_owner(ovl, d, stx, &own);
}

int inode_getattr(struct overlay *ovl, uint32_t d, struct statx *stx) {
    bool upper = upper_exists(at(ovl, d)), own;
    int error = show_owner(ovl, d, stx, &own);
    if (error)
        return error;
    const struct dentry *dentry = at(ovl, d);
    if (upper)
        return is_merged(dentry) ? show_merged(ovl, d, stx) : 0;
    if (own)
        show_identity(ovl, d, dentry->layer, stx);
    if (is_dir_kind(dentry->lower) && dentry->stack)
        stx->stx_nlink = 1;
    return 0;
}

int view_getattr(pto_view *view, const struct location *loc, struct statx *stx) {
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    if (!loc->overlay)
        return fd_statx(AT_FDCWD, loc->path, 0, stx);
    return inode_getattr(loc->overlay, loc->dentry, stx);
}

/* With an upper the root itself is the upper's, under the lower's identity. */
static bool attr_is_real(const struct overlay *ovl) {
    return ovl->n_layers == ovl->own && !ovl->n_submounts && !has_upper(ovl);
}

bool view_attr_is_real(pto_view *view) {
    for (size_t i = 0; i < view->n_overlays; i++)
        if (!attr_is_real(view->overlays[i]))
            return false;
    return !view->outer || view_attr_is_real(view->outer);
}

#define OVERLAYFS_SUPER_MAGIC 0x794c7630   /* linux/magic.h */

/* What is left for the upper, as ovl_statfs() in fs/overlayfs/super.c. */
int view_statfs(pto_view *view, const struct location *loc, struct statfs *out) {
    HELD(&view->base->lock);
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
