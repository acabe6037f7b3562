/* remove.c - unlink and rmdir: out of the upper, and a whiteout where a lower would show through.
 *
 * Rules: the name goes by one rename or one mknod, never by two steps that show the lower in between; the work grows
 * with what the upper holds of a directory, not with what lowers hold.  ovl_do_remove() in fs/overlayfs/dir.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "../walk/walk.h"
#include "ops.h"

int remove_needs_whiteout(struct overlay *ovl, uint32_t d) {
    uint32_t parent = at(ovl, d)->parent;
    if (!is_dir_kind(at(ovl, parent)->lower) || (at(ovl, parent)->flags & D_OPAQUE))
        return 0;
    return lookup_positive(ovl, d);
}

int remove_look(struct overlay *ovl, uint32_t d, struct last_look *look) {
    const struct dentry *dentry = at(ovl, d);
    look->upper = upper_exists(dentry);
    look->seen = look->upper ? ovl->shown.count || ovl->n_shared || quota_counts(ovl)
                             : lower_exists(dentry) && (dentry->flags & D_LINKED);
    if (!look->seen)
        return 0;
    int error = look->upper ? backing_upper_statx(ovl, d, &look->stx) : lower_statx(ovl, d, &look->stx);
    return error || look->upper ? error : links_removing(ovl, d, &look->stx);
}

void remove_forget(struct overlay *ovl, const struct last_look *look) {
    if (!look->seen)
        return;
    if (look->upper && (S_ISDIR(look->stx.stx_mode) || linked_count(ovl, &look->stx, true) <= 1))
        shown_drop(&ovl->shown, look->stx.stx_ino);
    if (look->upper && (S_ISDIR(look->stx.stx_mode) || look->stx.stx_nlink <= 1))
        quota_gone(ovl, &look->stx);
    links_removed(ovl, &look->stx, look->upper);
}

static void entry_gone(struct overlay *ovl, uint32_t d, bool whiteout) {
    bool directory = is_dir_kind(shown_kind(at(ovl, d)));
    if (directory) {
        index_drop_children(&ovl->view->index, d);
        ovl->view->generation++;
    }
    struct dentry *dentry = at(ovl, d);
    index_free_stack(&ovl->view->index, dentry);
    dentry->upper = whiteout ? KIND_WHITEOUT : KIND_NONE;
    dentry->lower = KIND_NONE;
    dentry->layer = 0;
    dentry->flags = 0;
    readdir_names_changed(ovl, dentry->parent);
    if (directory || whiteout)
        view_changed(ovl);
}

/* Out of the upper. */
static int take_out(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout) {
    struct overlay *ovl = dir->ovl;
    bool directory = is_dir_kind(shown_kind(at(ovl, d))), told = false;
    int error = 0;
    if (at(ovl, d)->upper == KIND_NONE) {
        error = whiteout_make(ovl, dir->fd, name);
    } else if (directory && quiet_any(ovl->view) && !ovl->layers[0].dot_form) {
        error = watches_remove_dir(dir, name, d, whiteout);
        told = true;
    } else if (whiteout || !(told = watches_take_away(dir, name, directory))) {
        error = whiteout_replace(ovl, dir->fd, name, directory, whiteout);
    }
    return error || told ? error : watches_tell_removed(dir, name, directory, whiteout);
}

/* A directory, which may be open. */
static int take_out_directory(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout) {
    struct overlay *ovl = dir->ovl;
    char shown[VIEW_PATH_MAX];
    int length = path_in_view(ovl, d, shown);
    ovl->aside[0] = '\0';
    gone_note(ovl, d);
    int error = take_out(dir, name, d, whiteout);
    if (!error && length > 0)
        gone_aside(ovl, shown);
    return error;
}

static int remove_object(const struct location *loc) {
    struct overlay *ovl = loc->overlay;
    uint32_t d = loc->dentry;
    bool lower_only = at(ovl, d)->upper == KIND_NONE;
    int whiteout = lower_only ? 1 : remove_needs_whiteout(ovl, d);
    if (whiteout < 0)
        return whiteout;
    int error = copy_up_dir(ovl, loc->parent);
    UPPER_DIR dir = {.fd = -1};
    if (!error)
        error = upper_dir_open(ovl, loc->parent, &dir);
    if (error)
        return error;
    struct last_look look;
    error = remove_look(ovl, d, &look);
    if (error)
        return error;
    char name[NAME_MAX + 1];
    index_name(&ovl->view->index, d, name);
    touch_going(ovl, d);
    error = (S_ISDIR(loc->type) ? take_out_directory : take_out)(&dir, name, d, whiteout);
    if (error)
        return error;
    ovl->view->stats.whiteouts += (uint64_t)whiteout;
    remove_forget(ovl, &look);
    entry_gone(ovl, d, whiteout);
    return 0;
}

/* What unlink(2) and rmdir(2) ask in the same order as the kernel. */
static int may_remove(const struct location *loc, const struct cred *cred) {
    if (loc->read_only)
        return -EROFS;
    if (loc->hidden || loc->type == 0)
        return -ENOENT;
    if (loc->dentry == loc->overlay->root)
        return -EBUSY;
    return permission_delete(loc->overlay, loc->parent, loc->dentry, cred);
}

int view_unlink(pto_view *view, const struct location *loc, const struct cred *cred) {
    HELD(&view->base->lock);
    if (loc->last != LAST_NORM)
        return -EISDIR;
    if (loc->slash && loc->type && !loc->read_only)
        return S_ISDIR(loc->type) ? -EISDIR : -ENOTDIR;
    int error = may_remove(loc, cred);
    if (error)
        return error;
    return S_ISDIR(loc->type) ? -EISDIR : remove_object(loc);
}

int view_rmdir(pto_view *view, const struct location *loc, const struct cred *cred) {
    static const int errors[] = {
        [LAST_NORM] = 0, [LAST_ROOT] = -EBUSY, [LAST_DOT] = -EINVAL, [LAST_DOTDOT] = -ENOTEMPTY};
    if (errors[loc->last])
        return errors[loc->last];
    int error = may_remove(loc, cred);
    if (error)
        return error;
    if (!S_ISDIR(loc->type))
        return -ENOTDIR;
    if (place_in_dir(view, loc->path, loc->length))
        return -EBUSY;
    error = readdir_is_empty(loc->overlay, loc->dentry);
    return error ? error : remove_object(loc);
}
