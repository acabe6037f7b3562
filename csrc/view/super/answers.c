/* answers.c - who answers for the view is told what is no lower's any more, and what has been so when it began to ask.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>

#include "super.h"

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
    if (ovl->inherited)
        touch_all(ovl->view, TOUCH_GONE);
}

/* Where layers lie: of the host nobody has known it, so nobody is told what is there where the view has nothing. */
static bool holds_layer(const struct overlay *ovl, const struct place *place) {
    bool holds = ovl->work_root && path_below(ovl->work_root, strlen(ovl->work_root), place->path, place->length);
    for (unsigned i = 0; i <= ovl->n_layers; i++) {
        const struct layer *layer = &ovl->layers[i];
        holds |= layer->root && path_below(layer->root, layer->length, place->path, place->length);
    }
    return holds;
}

static bool is_known(const pto_view *view, const struct place *place) {
    for (size_t i = 0; i < view->n_overlays; i++)
        if (holds_layer(view->overlays[i], place))
            return false;
    return true;
}

static void tell_hidden(pto_view *view) {
    for (size_t i = 0; i < view->n_places; i++)
        if (view->places[i].kind == PTO_HIDDEN && is_known(view, &view->places[i]))
            touch_all(view, TOUCH_GONE);
}

void view_set_answers(pto_view *view, const struct view_answers *answers) {
    view_lock(view);
    view->base->answers = answers;
    for (size_t i = 0; i < view->n_overlays && answers; i++)
        tell_known(view->overlays[i]);
    if (answers)
        tell_hidden(view);
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
