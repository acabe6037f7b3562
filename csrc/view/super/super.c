/* super.c - the view as a whole: made, told of, and freed with its overlays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "../walk/walk.h"
#include "super.h"

pto_view *pto_view_new(void) {
    pto_view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->base = view;
    ids_learn();
    if (index_open(&view->index) < 0) {
        free(view);
        return NULL;
    }
    if (cred_learn(view) < 0 || lock_init(&view->lock) != 0 || lock_init(&view->quota.lock) != 0 ||
        pthread_cond_init(&view->copied, NULL) != 0) {
        index_close(&view->index);
        free((void *)view->own.groups);
        free(view);
        return NULL;
    }
    return view;
}

void super_release_overlay(struct overlay *ovl) {
    if (ovl->locks[1] >= 0 && (ovl->flags & PTO_VOLATILE) && ovl->work >= 0)
        unlinkat(ovl->work, VOLATILE_MARK, AT_REMOVEDIR);   /* a clean end: the upper may be used again */
    whiteout_close(ovl);
    stacked_changed(ovl);
    for (size_t i = 0; i < 2; i++) {
        fd_close(&ovl->locks[i]);
        ovl->locks[i] = -1;
    }
}

void view_within_end(pto_view *view) {
    view_lock(view);
    for (size_t i = 0; i < view->n_overlays; i++)
        super_release_overlay(view->overlays[i]);
    view_unlock(view);
}

void super_free_overlay(struct overlay *ovl) {
    if (!ovl)
        return;
    super_release_overlay(ovl);
    readdir_forget(ovl);
    copy_ahead_forget(ovl);
    if (ovl->root) {
        index_free_names(&ovl->view->index, &ovl->root_names);
        index_drop_root(&ovl->view->index, ovl->root);
    }
    for (unsigned i = 0; ovl->layers && i <= WORK_LAYER(ovl); i++) {
        fd_close(&ovl->layers[i].fd);
        free(ovl->layers[i].root);
    }
    for (size_t i = 0; i < ovl->n_submounts; i++)
        free(ovl->submounts[i].path);
    free(ovl->submounts);
    linked_close(ovl);
    upper_last_close(ovl);
    fd_close(&ovl->work);
    free(ovl->layers);
    free(ovl->mount);
    free(ovl->work_root);
    free(ovl->work_path);
    free(ovl->shown.slots);
    stacked_free(ovl->stacked);
    free(ovl);
}

/* What a view within another one does not have. */
static void base_clear(pto_view *view) {
    readdir_free(view);
    copy_ahead_free(view);
    quiet_clear(view);
    gone_clear(view);
    view_free_copies(view->copies);
    free((void *)view->own.groups);
    index_close(&view->index);
    quota_clear(view);
    pthread_cond_destroy(&view->copied);
    lock_destroy(&view->quota.lock);
    lock_destroy(&view->lock);
}

void view_free_retired(pto_view *view) {
    HELD(&view->base->lock);
    struct overlay **link = &view->retired;
    while (*link) {
        struct overlay *ovl = *link;
        bool filling = copy_ahead_fills(ovl);
        if (filling) {
            link = &ovl->next_retired;
            continue;
        }
        *link = ovl->next_retired;
        super_free_overlay(ovl);
    }
}

/* What was mounted in memory. */
static void remove_mounts(pto_view *view) {
    if (!view->mounts_dir)
        return;
    CLOSE_FD fd = open(view->mounts_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        (void)work_remove_children(fd);
    (void)!rmdir(view->mounts_dir);
    free(view->mounts_dir);
    view->mounts_dir = NULL;
}

void pto_view_free(pto_view *view) {
    if (!view)
        return;
    view_lock(view);
    for (size_t i = 0; i < view->n_overlays; i++)
        super_free_overlay(view->overlays[i]);
    view->n_overlays = 0;
    view_free_retired(view);
    view_unlock(view);
    remove_mounts(view);
    for (size_t i = 0; i < view->n_places; i++)
        place_clear(&view->places[i]);
    free(view->overlays);
    free(view->room);
    free(view->places);
    if (!view->outer)
        base_clear(view);
    free(view);
}

bool view_covers_all(const pto_view *view) {
    const struct place *root = view->n_places ? &view->places[view->n_places - 1] : NULL;
    return root && root->length == 0 && root->overlay;
}

static const char *layer_root(const struct layer *layer) {
    return layer->length ? layer->root : "/";
}

const char *view_writable(const pto_view *view, size_t i, bool *names) {
    *names = true;
    for (size_t n = 0; n < view->n_overlays; n++) {
        const struct overlay *ovl = view->overlays[n];
        if (!has_upper(ovl))
            continue;
        if (i < 2 && view->room)
            return view->room;
        if (i < 2)
            return i == 0 ? layer_root(&ovl->layers[0]) : ovl->work_root;
        i -= 2;
    }
    for (size_t n = 0; n < view->n_places; n++)
        if (view->places[n].kind == PTO_DIRECT && i-- == 0) {
            const struct place *place = &view->places[n];
            *names =
                !place_read_only(view, place->path, place->length) && !place_fixed(view, place->path, place->length);
            return place->source ? (place->source_length ? place->source : "/") : place->path;
        }
    return NULL;
}

int pto_view_set_room(pto_view *view, const char *path) {
    char *real = realpath(path, NULL);
    if (!real)
        return -errno;
    view_lock(view);
    free(view->room);
    view->room = real;
    view_unlock(view);
    return 0;
}

struct pto_stats *view_stats(pto_view *view) {
    return &view->base->stats;
}

void pto_index_size(pto_view *view, uint64_t *entries, uint64_t *bytes) {
    *entries = view->base->index.count;
    *bytes = view->base->index.arena.live;
}
