/* touched.c - tells who answers for the view which names do not show what the lower has.
 *
 * Rules: told before the change is done, under the same hold of the lock, so that whoever learns of the change in any way finds it
 * told; told again for what the upper has already when its names are loaded.  What is told and then fails costs time, nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "layers.h"

static void tell(const pto_view *view, uint32_t directory, const char *name, size_t length, unsigned what) {
    const struct view_answers *answers = view->base->answers;
    if (answers)
        answers->touch(answers->arg, directory, name, length, what);
}

/* Directories and symlinks are ways to something else. */
static unsigned what_of(const struct dentry *dentry) {
    if (!lower_exists(dentry))
        return 0;
    return TOUCH_INODE | (is_dir_kind(dentry->lower) || dentry->lower == DT_LNK ? TOUCH_WAY : 0);
}

void touch(struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    tell(ovl->view, dentry->parent, dentry->name, dentry->name_length, what_of(dentry));
}

void touch_all(pto_view *view, unsigned what) {
    tell(view, 0, NULL, 0, what);
}

void touch_search(struct overlay *ovl, uint32_t d) {
    if (is_merged(at(ovl, d)))
        touch_all(ovl->view, TOUCH_WAY);
}

void touch_places(pto_view *view, uint32_t d, const char *path) {
    size_t length = path_length(path);
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        bool shows = place->kind != PTO_PLACE_READ_ONLY && place->kind != PTO_PLACE_FIXED;
        if (!shows || place->length <= length || !path_below(place->path, place->length, path, length))
            continue;
        const char *name = place->path + length + 1;
        tell(view, d, name, strcspn(name, "/"), 0);
    }
}

/* ---- what there is already ---- */

static uint32_t next_known(const struct overlay *ovl, uint32_t d) {
    if (at(ovl, d)->child)
        return at(ovl, d)->child;
    while (d != ovl->root && !at(ovl, d)->sibling)
        d = at(ovl, d)->parent;
    return d == ovl->root ? 0 : at(ovl, d)->sibling;
}

static void tell_known(struct overlay *ovl) {
    for (uint32_t d = next_known(ovl, ovl->root); d; d = next_known(ovl, d))
        if (at(ovl, d)->upper != KIND_NONE)
            touch(ovl, d);
    if (ovl->n_shared || ovl->kernel_links >= 0)
        touch_all(ovl->view, TOUCH_LINKED);
}

void view_set_answers(pto_view *view, const struct view_answers *answers) {
    view_lock(view);
    view->base->answers = answers;
    for (size_t i = 0; i < view->n_overlays && answers; i++)
        tell_known(view->overlays[i]);
    view_unlock(view);
}

bool view_is_plain(const pto_view *view) {
    bool plain = !view->outer && view->n_overlays > 0;
    for (size_t i = 0; i < view->n_overlays && plain; i++) {
        const struct overlay *ovl = view->overlays[i];
        plain = ovl->n_lowers == 1 && ovl->n_layers == 1 && ovl->own == 1 && !ovl->layers[1].dot_form && !ovl->stacked;
    }
    return plain;
}
