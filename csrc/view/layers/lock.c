/* lock.c - the view's lock, and the numbers by which those who do not hold it see that something has changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE

#include "layers.h"

/* Bounds the memory of names that only cache what the lower has. */
#define CACHED_NAMES 100000u

void view_lock(pto_view *view) {
    pto_view *base = view->base;
    lock_take(&base->lock);
    base->may_ask_again = false;
    if (base->index.cached <= CACHED_NAMES)
        return;
    for (; view; view = view->outer)
        for (size_t i = 0; i < view->n_overlays; i++)
            index_shrink(&base->index, view->overlays[i]->root, 0);
    __atomic_add_fetch(&base->changes, 1, __ATOMIC_SEQ_CST); /* D_PASSED is lost */
    touch_all(base, TOUCH_WAY | TOUCH_INODE);
    base->index.cached = 0;
}

void view_may_ask_again(pto_view *view) {
    HELD(&view->base->lock);
    view->base->may_ask_again = true;
}

void view_unlock(pto_view *view) {
    lock_leave(&view->base->lock);
}

/* Both only grow, so their sum is the same only if both are. */
uint64_t view_changes(const pto_view *view, uint32_t missing) {
    pto_view *base = view->base;
    uint64_t changes = __atomic_load_n(&base->changes, __ATOMIC_SEQ_CST);
    return missing ? changes + __atomic_load_n(appeared_in(base, missing), __ATOMIC_SEQ_CST) : changes;
}

uint64_t view_generation(pto_view *view) {
    return view->base->generation;
}
