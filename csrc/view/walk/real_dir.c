/* real_dir.c - whether a directory of one layer, read by itself, lists what the view shows.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "../layers/layers.h"
#include "../upper/upper.h"
#include "walk.h"

/* Not merged: its number is the upper's own. */
static bool is_of_upper_alone(const struct dentry *dentry) {
    return !is_dir_kind(dentry->lower) || (dentry->flags & D_OPAQUE);
}

/* The directory of one layer, and the one that it is in: do they lie so in that layer, so that ".." has the number that
 * the view shows? */
static bool lies_in_parent(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir) {
    struct lower_dir above[LOWERS_MAX];
    if (d == ovl->root)
        return true;
    return !dir->path && lower_dirs(ovl, at(ovl, d)->parent, above) && above[0].layer == dir->layer;
}

/* What was copied up in an overlay may hold whiteouts, also where no layer of this one lies below: ovl_get_inode() in
 * fs/overlayfs/inode.c goes by the same attribute. */
static bool may_hold_whiteouts(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir) {
    char path[VIEW_PATH_MAX];
    int error = lower_path(ovl, d, dir, path);
    return error < 0 || private_get_at(&ovl->layers[dir->layer], path, "origin", NULL, 0) >= 0;
}

bool view_dir_is_real(pto_view *view, const struct location *loc) {
    struct overlay *ovl = loc->overlay;
    struct lower_dir dirs[LOWERS_MAX];
    if (!ovl)
        return true;
    const struct dentry *dentry = at(ovl, loc->dentry);
    if (place_in_dir(view, loc->path, place_size(loc)))
        return false;
    if (dentry->upper == KIND_NONE) {
        uint32_t count = lower_dirs(ovl, loc->dentry, dirs);
        return count == 1 && !ovl->layers[dirs[0].layer].dot_form && lies_in_parent(ovl, loc->dentry, &dirs[0]) &&
               (dirs[0].layer == ovl->own ||
                (ovl->layers[dirs[0].layer].dev == ovl->dev && !may_hold_whiteouts(ovl, loc->dentry, &dirs[0])));
    }
    if (ovl->layers[0].dot_form)
        return false;
    return is_of_upper_alone(dentry) && (loc->dentry == ovl->root || is_of_upper_alone(at(ovl, dentry->parent))) &&
           ovl->shown.count == 0 && !ovl->redirected && ovl->layers[0].dev == ovl->dev && ovl->n_submounts == 0;
}
