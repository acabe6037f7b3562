/* mounts.c - a mount namespace of a program's own: a view that begins as the one it was made in, and whose places the
 * program's mount(2), umount2(2) and pivot_root(2) change.
 *
 * What is mounted is a place: a bind mount shows an object of an overlay, or a path of the host, at another path; a
 * file system in memory is an overlay whose lower is empty and whose upper lies in the work directory of the run's own.
 * mount_namespaces(7), fs/namespace.c.
 *
 * Rules: what can be mounted is what a walk in the view has found, so nothing is shown that the view does not have;
 * nothing is asked of the kernel's mounts.  What a place covers is kept with it until it is unmounted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../upper/upper.h"
#include "../walk/walk.h"
#include "super.h"

/* ---- places ---- */

/* Before all others of its length.  The place is the view's then, or freed. */
static int push(pto_view *view, struct place place) {
    struct place *places = realloc(view->places, (view->n_places + 1) * sizeof *places);
    if (!places) {
        place_clear(&place);
        return -ENOMEM;
    }
    view->places = places;
    size_t i = 0;
    while (i < view->n_places && places[i].length > place.length)
        i++;
    memmove(&places[i + 1], &places[i], (view->n_places - i) * sizeof *places);
    places[i] = place;
    view->n_places++;
    return 0;
}

static struct place take_out(pto_view *view, size_t i) {
    struct place place = view->places[i];
    memmove(&view->places[i], &view->places[i + 1], (--view->n_places - i) * sizeof *view->places);
    return place;
}

static int copy_under(const struct place *from, struct place *to);

/* The same at another path.  0, -ENOMEM, -ENAMETOOLONG. */
static int copy_place(const struct place *from, const char *path, size_t length, struct place *to) {
    const char *source = from->source;
    size_t source_length = from->source ? from->source_length : 0;
    bool moved = from->length != length || memcmp(from->path, path, length) != 0;
    if (!source && moved && place_shows(from) && from->kind != PTO_HIDDEN) {
        source = from->path;
        source_length = from->length;
    }
    *to = *from;
    to->under = NULL;
    to->n_under = 0;
    to->path = strndup(path, length);
    to->source = source ? strndup(source, source_length) : NULL;
    to->source_length = source_length;
    to->length = length;
    int error = to->path && (to->source || !source) ? copy_under(from, to) : -ENOMEM;
    if (error)
        place_clear(to);
    return error;
}

static int copy_under(const struct place *from, struct place *to) {
    char path[VIEW_PATH_MAX];
    to->under = from->n_under ? calloc(from->n_under, sizeof *to->under) : NULL;
    if (from->n_under && !to->under)
        return -ENOMEM;
    for (size_t i = 0; i < from->n_under; i++) {
        const struct place *under = &from->under[i];
        int error = path_exchange_front(under->path, under->length, from->length, to->path, to->length, path);
        if (!error)
            error = copy_place(under, path, path_length(path), &to->under[i]);
        if (error)
            return error;
        to->n_under++;
    }
    return 0;
}

pto_view *view_mounts(pto_view *around, bool locked) {
    pto_view *view = around->outer && !around->mounts ? NULL : calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->base = around->base;
    view->outer = around->mounts ? around->outer : around;
    view->made_of = around->mounts ? around : NULL;
    view->mounts = true;
    view->own = around->own;
    view->umask = around->umask;
    view->last_mount = around->last_mount;
    view_lock(around);
    int error = 0;
    for (size_t i = around->n_places; !error && i > 0; i--) {
        struct place place;
        const struct place *from = &around->places[i - 1];
        error = copy_place(from, from->path, from->length, &place);
        place.inherited |= locked || !from->mounted;
        if (!error)
            error = push(view, place);
    }
    view_unlock(around);
    if (!error)
        return view;
    pto_view_free(view);
    return NULL;
}

bool view_has_mounts(const pto_view *view) {
    return view->mounts;
}

/* ---- mounting ---- */

/* What lies below a new place does not show any more. */
static int put_under(pto_view *view, struct place *place) {
    for (size_t i = 0; i < view->n_places;) {
        const struct place *below = &view->places[i];
        if (below->length <= place->length || !path_below(below->path, below->length, place->path, place->length)) {
            i++;
            continue;
        }
        struct place *under = realloc(place->under, (place->n_under + 1) * sizeof *under);
        if (!under)
            return -ENOMEM;
        place->under = under;
        under[place->n_under++] = take_out(view, i);
    }
    return 0;
}

static void changed(pto_view *view) {
    view->base->generation++;
    __atomic_add_fetch(&view->base->changes, 1, __ATOMIC_SEQ_CST);
}

static int put(pto_view *view, struct place place) {
    int error = put_under(view, &place);
    if (error) {
        place_clear(&place);
        return error;
    }
    place.mounted = true;
    place.order = ++view->last_mount;
    changed(view);
    return push(view, place);
}

/* The path of a location in the view, as places hold it: where the walk was, and not another place that shows it. */
static int path_of(const struct location *loc, char out[VIEW_PATH_MAX], size_t *length) {
    const struct place *bind = loc->bound ? loc->bind : NULL;
    size_t real_length = place_size(loc);
    if (bind) {
        int error = path_exchange_front(loc->path, real_length, bind->source_length, bind->path, bind->length, out);
        *length = error ? 0 : path_length(out);
        return error;
    }
    memcpy(out, loc->path, loc->length + 1);
    *length = real_length;
    return 0;
}

static int source_of(const struct location *from, char out[VIEW_PATH_MAX]) {
    if (!from->overlay) {
        memcpy(out, from->path, from->length + 1);
        return 0;
    }
    int length = path_in_view(from->overlay, from->dentry, out);
    return length < 0 ? length : 0;
}

/* The places that lie in the source show in what is mounted, too; after an error they are freed. */
static int put_below(pto_view *view, struct place *copies, size_t n, int error) {
    for (size_t i = n; i > 0; i--) {
        if (error)
            place_clear(&copies[i - 1]);
        else
            error = push(view, copies[i - 1]);
    }
    return error;
}

static int copies_below(const pto_view *view, const char *from, size_t from_length, const char *to, size_t to_length,
                        struct place **copies, size_t *n) {
    char path[VIEW_PATH_MAX];
    *n = 0;
    *copies = calloc(view->n_places + 1, sizeof **copies);
    if (!*copies)
        return -ENOMEM;
    int error = 0;
    for (size_t i = 0; !error && i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        if (place->length <= from_length || !path_below(place->path, place->length, from, from_length))
            continue;
        error = path_exchange_front(place->path, place->length, from_length, to, to_length, path);
        if (!error)
            error = copy_place(place, path, path_length(path), &(*copies)[*n]);
        *n += !error;
    }
    return error;
}

int view_mount_bind(pto_view *view, const struct location *from, const struct location *to, const char *type) {
    HELD(&view->base->lock);
    char source[VIEW_PATH_MAX], shown[VIEW_PATH_MAX], path[VIEW_PATH_MAX];
    size_t shown_length = 0, length = 0, n = 0;
    if (!from->type || !to->type)
        return -ENOENT;
    if (S_ISDIR(from->type) != S_ISDIR(to->type))
        return -ENOTDIR;
    int error = source_of(from, source);
    if (!error)
        error = path_of(from, shown, &shown_length);
    if (!error)
        error = path_of(to, path, &length);
    if (error)
        return error;
    struct place *copies = NULL;
    error = copies_below(type ? view->base : view, shown, shown_length, path, length, &copies, &n);
    struct place place = {.kind = from->overlay ? 0 : PTO_DIRECT,
                          .overlay = from->overlay,
                          .path = strndup(path, length),
                          .length = length,
                          .source = strndup(source, path_length(source)),
                          .source_length = path_length(source),
                          .read_only = from->read_only,
                          .fixed = from->fixed,
                          .type = type};
    if (!error && (!place.path || !place.source))
        error = -ENOMEM;
    if (error)
        place_clear(&place);
    else
        error = put(view, place);
    error = put_below(view, copies, n, error);
    free(copies);
    return error;
}

/* ---- file systems in memory ---- */

/* The work directory of the run's first overlay that has one. */
static const struct overlay *with_work(const pto_view *view) {
    for (size_t i = 0; i < view->base->n_overlays; i++)
        if (view->base->overlays[i]->work >= 0)
            return view->base->overlays[i];
    return NULL;
}

static int make_mounts_dir(pto_view *view) {
    static unsigned last;
    const struct overlay *ovl = with_work(view);
    if (view->mounts_dir)
        return 0;
    if (!ovl)
        return -EPERM;
    if (asprintf(&view->mounts_dir, "%s/mounts-%u", ovl->work_path, __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED)) < 0)
        return view->mounts_dir = NULL, -ENOMEM;
    return mkdir(view->mounts_dir, 0700) < 0 ? -errno : 0;
}

/* One of its directories, by name; -errno. */
static int make_part(const char *dir, const char *name, mode_t mode, char out[PATH_MAX]) {
    if (snprintf(out, PATH_MAX, "%s%s", dir, name) >= PATH_MAX)
        return -ENAMETOOLONG;
    return mkdir(out, mode) < 0 || chmod(out, mode) < 0 ? -errno : 0;
}

struct memory_parts {
    char dir[PATH_MAX], lower[PATH_MAX], upper[PATH_MAX], work[PATH_MAX];
};

static int make_parts(pto_view *view, struct memory_parts *parts, mode_t mode, const struct cred *cred) {
    char name[16];
    snprintf(name, sizeof name, "/%u", view->last_mount + 1);
    int error = make_part(view->mounts_dir, name, 0755, parts->dir);
    if (!error)
        error = make_part(parts->dir, "/lower", mode, parts->lower);
    if (!error)
        error = make_part(parts->dir, "/upper", mode, parts->upper);
    if (!error)
        error = make_part(parts->dir, "/work", 0700, parts->work);
    bool given = view->base->faked || (cred->fsuid == view->own.fsuid && cred->fsgid == view->own.fsgid);
    if (!error && !given && (chown(parts->upper, cred->fsuid, cred->fsgid) < 0 || chmod(parts->upper, mode) < 0))
        error = -errno;
    return error;
}

static int lay_memory(pto_view *view, const char *path, const struct memory_parts *parts) {
    char message[256];
    const char *lowers[] = {parts->lower};
    struct stacked *stacked = calloc(1, sizeof *stacked);
    if (!stacked)
        return -ENOMEM;
    stacked->view = view;
    struct pto_overlay spec = {.lowers = lowers,
                               .n_lowers = 1,
                               .upper = parts->upper,
                               .work = parts->work,
                               .mount = path,
                               .flags = PTO_TEMPORARY};
    return lay_overlay(view, &spec, stacked, message, sizeof message);
}

int view_mount_memory(pto_view *view, const struct location *to, mode_t mode, const struct cred *cred,
                      const char *type) {
    HELD(&view->base->lock);
    char path[VIEW_PATH_MAX];
    size_t length = 0;
    if (!S_ISDIR(to->type))
        return to->type ? -ENOTDIR : -ENOENT;
    struct memory_parts *parts = malloc(sizeof *parts);
    struct place place = {.kind = 0};
    int error = parts ? path_of(to, path, &length) : -ENOMEM;
    if (!error)
        error = make_mounts_dir(view);
    if (!error)
        error = make_parts(view, parts, mode, cred);
    place.path = error ? NULL : strndup(path, length);
    place.length = error ? 0 : length;
    if (place.path)
        error = put_under(view, &place);
    if (!error)
        error = lay_memory(view, path, parts);
    free(parts);
    if (error) {
        place_clear(&place);
        return error;
    }
    const struct overlay *ovl = view->overlays[view->n_overlays - 1];
    size_t i = 0;
    while (view->places[i].overlay != ovl)
        i++;
    struct place laid = take_out(view, i);
    free(place.path);
    laid.source = strndup(ovl->mount, ovl->mount_length);
    laid.source_length = ovl->mount_length;
    laid.under = place.under;
    laid.n_under = place.n_under;
    laid.type = type;
    laid.inherited = false;
    if (!laid.source)
        return place_clear(&laid), -ENOMEM;
    return put(view, laid);
}

/* ---- what is mounted ---- */

/* The place that a path is the top of; NULL: of none. */
static struct place *mounted_at(pto_view *view, const struct location *loc) {
    char path[VIEW_PATH_MAX];
    size_t length = 0;
    return path_of(loc, path, &length) ? NULL : place_at(view, path, length);
}

int view_mount_change(pto_view *view, const struct location *loc, bool read_only) {
    HELD(&view->base->lock);
    struct place *place = mounted_at(view, loc);
    if (!place || place->kind == PTO_HIDDEN)
        return -EINVAL;
    if (!read_only && place->inherited && !place->read_only && loc->read_only)
        return -EPERM;   /* the view itself is read-only */
    if (read_only || place->mounted) {
        place->fixed |= !place->mounted && loc->fixed;
        place->mounted = true;
        place->read_only = read_only;
    }
    changed(view);
    return 0;
}

static bool has_below(const pto_view *view, const struct place *top) {
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        if (place->mounted && place->length > top->length &&
            path_below(place->path, place->length, top->path, top->length))
            return true;
    }
    return false;
}

int view_umount(pto_view *view, const struct location *loc, bool all) {
    HELD(&view->base->lock);
    struct place *found = loc->detached ? NULL : mounted_at(view, loc);
    if (view->old_root && (!found || found->length == 0)) {
        view->old_root = false;
        return 0;
    }
    if (!found || !found->mounted || found->inherited || found->length == 0)
        return -EINVAL;
    if (!all && has_below(view, found))
        return -EBUSY;
    struct place place = take_out(view, (size_t)(found - view->places));
    for (size_t i = 0; i < view->n_places;) {
        const struct place *below = &view->places[i];
        bool gone = below->length > place.length && path_below(below->path, below->length, place.path, place.length);
        struct place out = gone ? take_out(view, i) : (struct place){.path = NULL};
        place_clear(&out);
        i += !gone;
    }
    int error = 0;
    for (size_t i = place.n_under; i > 0; i--)
        if (push(view, place.under[i - 1]) < 0)
            error = -ENOMEM;
    place.n_under = 0;
    place_clear(&place);
    changed(view);
    return error;
}

/* ---- pivot_root ---- */

/* Where a place is when what is at `top` is the root, and the root is at `old`, relative to it (NULL: nowhere).
 * top NULL: it lies in the root. */
static int moved_path(const struct place *place, const char *top, size_t top_length, const char *old,
                      char out[VIEW_PATH_MAX]) {
    if (top && path_below(place->path, place->length, top, top_length))
        return path_exchange_front(place->path, place->length, top_length, "", 0, out);
    return old ? path_exchange_front(place->path, place->length, 0, old, strlen(old), out) : -ENOENT;
}

/* What the new root lay on shows again where the old one is. */
static int put_moved(pto_view *view, const struct place *from, const char *top, size_t top_length, const char *old) {
    char path[VIEW_PATH_MAX];
    struct place moved;
    int error = moved_path(from, top, top_length, old, path);
    if (error)
        return error == -ENOENT ? 0 : error;
    error = copy_place(from, path, path_length(path), &moved);
    if (error)
        return error;
    bool root = top && from->length == top_length && memcmp(from->path, top, top_length) == 0;
    for (size_t i = 0; root && i < moved.n_under; i++)
        place_clear(&moved.under[i]);
    moved.n_under = root ? 0 : moved.n_under;
    moved.mounted |= from->length == 0;
    moved.inherited &= from->length != 0;
    return push(view, moved);
}

static int make_root_place(pto_view *view) {
    if (place_at(view, "", 0))
        return 0;
    struct place root = {.kind = PTO_DIRECT, .path = strdup(""), .source = strdup("")};
    if (root.path && root.source)
        return push(view, root);
    place_clear(&root);
    return -ENOMEM;
}

int view_pivot(pto_view *view, const struct location *new_root, const struct location *put_old) {
    HELD(&view->base->lock);
    char top[VIEW_PATH_MAX], old[VIEW_PATH_MAX];
    size_t top_length = 0, old_length = 0;
    int error = path_of(new_root, top, &top_length);
    if (!error)
        error = path_of(put_old, old, &old_length);
    if (!error)
        error = make_root_place(view);
    if (error)
        return error;
    const struct place *place = place_at(view, top, top_length);
    if (top_length == 0)
        return -EBUSY;
    if (!place || !place->mounted || !path_below(old, old_length, top, top_length))
        return -EINVAL;
    bool stays = old_length > top_length;
    const char *behind = stays ? old + top_length : NULL;
    struct place *before = view->places;
    size_t n = view->n_places, root = (size_t)(place - before);
    view->places = NULL;
    view->n_places = 0;
    for (size_t i = n; !error && i > 0; i--)
        error = put_moved(view, &before[i - 1], top, top_length, behind);
    for (size_t i = before[root].n_under; !error && stays && i > 0; i--)
        error = put_moved(view, &before[root].under[i - 1], NULL, 0, behind);
    for (size_t i = 0; i < n; i++)
        place_clear(&before[i]);
    free(before);
    view->old_root = !stays;
    changed(view);
    return error;
}

/* ---- told ---- */

bool view_mount_told(const pto_view *view, size_t i, struct view_mount *mount) {
    size_t left = i;
    for (size_t n = view->n_places; n > 0; n--) {
        const struct place *place = &view->places[n - 1];
        if (!place_shows(place) || place->kind == PTO_HIDDEN || left--)
            continue;
        *mount = (struct view_mount){.path = place->length ? place->path : "/",
                                     .source = place->source && place->source_length ? place->source : "/",
                                     .host = place->overlay  ? NULL
                                             : place->source ? place->source
                                                             : place->path,
                                     .type = place->type,
                                     .overlay = place->overlay,
                                     .read_only = place_read_only(view, place->path, place->length)};
        return true;
    }
    return false;
}
