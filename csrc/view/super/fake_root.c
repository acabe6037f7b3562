/* fake_root.c - a view becomes one of a fake root.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE

#include "../layers/layers.h"
#include "../upper/upper.h"

void view_fake_root(pto_view *view, bool mark) {
    view_lock(view);
    view->base->faked = true;
    for (size_t i = 0; i < view->n_overlays && mark; i++) {
        const struct overlay *ovl = view->overlays[i];
        if (has_upper(ovl))   /* without it links, fifos and sockets show whose they are on the disk */
            (void)private_set(ovl, ovl->layers[0].fd, FAKED_MARK, "y", 1);
    }
    view_unlock(view);
}

void pto_view_fake_root(pto_view *view) {
    view_fake_root(view, false);
}
