/* stacked.c - an overlay whose layers are directories of another view, as that one has them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "../walk/walk.h"
#include "super.h"

void stacked_free(struct stacked *stacked) {
    if (!stacked)
        return;
    for (unsigned i = 0; i < stacked->n_sources; i++)
        free(stacked->sources[i].root);
    free(stacked->escaped);
    free(stacked->upper);
    free(stacked->work);
    free(stacked);
}

void stacked_set_layers(struct overlay *ovl) {
    const struct stacked *stacked = ovl->stacked;
    if (!stacked)
        return;
    for (unsigned i = 0; i < stacked->n_sources; i++) {
        struct layer *layer = &ovl->layers[i + 1];
        layer->prefix = stacked->sources[i].prefix ? stacked->sources[i].prefix : ovl->prefix;
        layer->base = stacked->sources[i].base;
        layer->group_end = stacked->sources[i].group_end;
    }
    if (!stacked->escaped || (has_upper(ovl) && !stacked->upper_covered))
        return;
    ovl->prefix = stacked->escaped;
    ovl->root_prefix = stacked->root_prefix;
    ovl->layers[0].prefix = ovl->layers[WORK_LAYER(ovl)].prefix = stacked->escaped;
    ovl->layers[0].marked_form = stacked->upper_covered;
}

static void changed(const struct stacked *stacked, const char *path) {
    struct walker walker = {.cred = &stacked->view->own};
    struct location loc;
    if (!path || view_walk(stacked->view->outer, &walker, "/", path, 0, &loc) || !loc.overlay || !loc.dentry)
        return;
    index_drop_children(&loc.overlay->view->index, loc.dentry);
    at(loc.overlay, loc.dentry)->flags &= (uint16_t)~D_LOADED;
    readdir_changed(loc.overlay, loc.dentry);
}

void stacked_changed(const struct overlay *ovl) {
    if (!ovl->stacked)
        return;
    changed(ovl->stacked, ovl->stacked->upper);
    changed(ovl->stacked, ovl->stacked->work);
}
