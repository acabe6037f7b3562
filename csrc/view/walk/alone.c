/* alone.c - directories that only the upper has, in which all shows as it lies there.
 *
 * Rules: what does not show so is told by the name, in the directory's number with VIEW_ALONE, before the directory is
 * said to be one, or before it is put there (odd_tell()).  That one goes, or is another, is told by TOUCH_WAY.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../layers/layers.h"
#include "walk.h"

static bool same(const struct statx *a, const struct statx *b) {
    return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor && a->stx_ino == b->stx_ino &&
           a->stx_nlink == b->stx_nlink && a->stx_mode == b->stx_mode && a->stx_uid == b->stx_uid &&
           a->stx_gid == b->stx_gid;
}

/* own: what it is. */
static bool shows_itself(struct overlay *ovl, uint32_t d, struct statx *own) {
    struct statx shown;
    return backing_upper_statx(ovl, d, own) == 0 && inode_getattr(ovl, d, &shown) == 0 && same(own, &shown);
}

static bool is_alone(struct overlay *ovl, uint32_t d) {
    return is_dir_kind(at(ovl, d)->upper) && lookup_check_upper(ovl, d) == 0 && !is_merged(at(ovl, d)) &&
           !(at(ovl, d)->flags & D_REDIRECT) && !at(ovl, d)->stack;
}

/* A mount of the host has its numbers in the view, though the upper hides it. */
static bool has_mounts(const struct overlay *ovl, const char *path, size_t length) {
    for (size_t i = 0; i < ovl->n_submounts; i++)
        if (path_below(ovl->submounts[i].path, ovl->submounts[i].length, path, length))
            return true;
    return false;
}

/* False: not all names show as they lie there. */
static bool tell_children(struct overlay *ovl, uint32_t d) {
    bool all = true;
    for (uint32_t child = at(ovl, d)->child; child; child = at(ovl, child)->sibling) {
        if (at(ovl, child)->upper == KIND_NONE)
            continue;
        if (at(ovl, child)->upper != KIND_WHITEOUT && lookup_check_upper(ovl, child) == 0 && !odd_is(ovl, child))
            continue;
        odd_tell(ovl, child);
        all = false;
    }
    return all;
}

static bool find_alone(struct overlay *ovl, uint32_t d, struct view_alone *alone) {
    char path[VIEW_PATH_MAX];
    struct statx own, above;
    uint32_t parent = at(ovl, d)->parent;
    int length = path_in_view(ovl, d, path);
    if (length < 0 || d == ovl->root || (d & VIEW_ALONE) || ovl->layers[0].dot_form ||
        has_mounts(ovl, path, (size_t)length) || !is_alone(ovl, d) || lookup_load_upper(ovl, d) < 0 ||
        !shows_itself(ovl, d, &own))
        return false;
    *alone = (struct view_alone){
        .directory = d | VIEW_ALONE, .dev = makedev(own.stx_dev_major, own.stx_dev_minor), .ino = own.stx_ino};
    touch_places(ovl->view, alone->directory, path);
    alone->lists = tell_children(ovl, d) && !place_in_dir(ovl->view, path, (size_t)length) && is_alone(ovl, parent) &&
                   ((at(ovl, parent)->flags & D_ALONE) || shows_itself(ovl, parent, &above));
    at(ovl, d)->flags |= D_ALONE;
    return true;
}

bool view_find_alone(pto_view *view, const struct location *loc, struct view_alone *alone, char *real) {
    HELD(&view->base->lock);
    return loc->overlay && loc->dentry && loc->type == S_IFDIR && !loc->detached &&
           find_alone(loc->overlay, loc->dentry, alone) && backing_path(loc->overlay, loc->dentry, real, PATH_MAX) >= 0;
}

/* One of the files that the upper has and that are not told shows as it lies there; so do the others then. */
static bool one_shows_itself(struct overlay *ovl, uint32_t d) {
    struct statx own;
    for (uint32_t child = at(ovl, d)->child; child; child = at(ovl, child)->sibling)
        if (at(ovl, child)->upper == DT_REG && !odd_is(ovl, child))
            return shows_itself(ovl, child, &own);
    return false;
}

/* Whiteouts that come later are devices, which nobody takes for a file. */
static bool find_merged(struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    const struct layer *upper = &ovl->layers[0];
    int length = path_in_view(ovl, d, path);
    if (length < 0 || upper->dot_form || upper->marked_form || has_mounts(ovl, path, (size_t)length) ||
        !is_dir_kind(at(ovl, d)->upper) || !is_merged(at(ovl, d)) || lookup_check_upper(ovl, d) < 0 ||
        lookup_load_upper(ovl, d) < 0)
        return false;
    touch_places(ovl->view, d, path);
    touch_places(ovl->view, d | VIEW_ALONE, path);
    (void)tell_children(ovl, d);
    return one_shows_itself(ovl, d);
}

bool view_find_merged(pto_view *view, const struct location *loc, char *real) {
    HELD(&view->base->lock);
    return loc->overlay && loc->dentry && loc->type == S_IFDIR && !loc->detached && loc->way && loc->inside &&
           find_merged(loc->overlay, loc->dentry) && backing_path(loc->overlay, loc->dentry, real, PATH_MAX) >= 0;
}

uint32_t view_next_alone(pto_view *view, const struct location *loc, uint32_t directory, uint32_t previous,
                         struct view_alone *alone) {
    struct overlay *ovl = loc->overlay;
    HELD(&view->base->lock);
    uint32_t child = previous ? at(ovl, previous)->sibling : at(ovl, directory & ~VIEW_ALONE)->child;
    while (child && !(is_dir_kind(at(ovl, child)->upper) && find_alone(ovl, child, alone)))
        child = at(ovl, child)->sibling;
    return child;
}
