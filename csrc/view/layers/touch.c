/* touch.c - tells who answers for the view which names do not show what the lower has.
 *
 * Rules: told before the change is done, under the same hold of the lock, so that whoever learns of the change in any
 * way finds it told; told again for what the upper has already when its names are loaded.  What is told and then fails
 * costs time, nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "layers.h"

void touch_name(const pto_view *view, uint32_t directory, const char *name, size_t length, unsigned what) {
    const struct view_answers *answers = view->base->answers;
    if (answers)
        answers->touch(answers->arg, directory, name, length, what);
}

/* Directories and symlinks are ways to something else. */
static unsigned what_of(const struct dentry *dentry) {
    bool way = dentry->upper == DT_LNK || (is_dir_kind(dentry->upper) && dentry->flags & D_ALONE);
    unsigned what = (dentry->upper == KIND_WHITEOUT ? TOUCH_GONE : 0) | (way ? TOUCH_WAY : 0);
    if (!lower_exists(dentry))
        return what;
    return what | TOUCH_INODE | (is_dir_kind(dentry->lower) || dentry->lower == DT_LNK ? TOUCH_WAY : 0);
}

void touch(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    touch_name(ovl->view, dentry->parent, dentry->name, dentry->name_length, what_of(dentry));
}

/* The kernel goes through the lower's directory, as before: names in it are told each by itself. */
void touch_copied(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    unsigned what = what_of(dentry) & ~(is_dir_kind(dentry->lower) ? TOUCH_WAY : 0u);
    touch_name(ovl->view, dentry->parent, dentry->name, dentry->name_length, what);
}

/* Nothing has led through it yet. */
void touch_found(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    touch_name(ovl->view, dentry->parent, dentry->name, dentry->name_length,
               dentry->upper == KIND_WHITEOUT ? TOUCH_GONE : 0);
}

void touch_going(struct overlay *ovl, uint32_t d) {
    touch(ovl, d);
    if (at(ovl, d)->lower != KIND_NONE)
        touch_all(ovl->view, TOUCH_GONE);
}

void touch_all(pto_view *view, unsigned what) {
    touch_name(view, 0, NULL, 0, what);
}

void touch_search(struct overlay *ovl, uint32_t d) {
    if (is_merged(at(ovl, d)))
        touch_all(ovl->view, TOUCH_WAY | TOUCH_GONE);
}

void touch_places(pto_view *view, uint32_t d, const char *path) {
    size_t length = path_length(path);
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        bool shows = place->kind != PTO_PLACE_READ_ONLY && place->kind != PTO_PLACE_FIXED;
        if (!shows || place->length <= length || !path_below(place->path, place->length, path, length))
            continue;
        const char *name = place->path + length + 1;
        touch_name(view, d, name, strcspn(name, "/"), 0);
    }
}
