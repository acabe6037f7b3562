/* lay_stacked.c - a view within another one: an overlay whose layers are directories of a view.
 *
 * A lower of it becomes the stack of layers that the view around merges there, so that every object is found where it
 * really is; the stack is a group, in which the marks of the view around hold (struct layer).  What is laid in it is
 * stored in the upper of the view around as that view would have stored it: private attributes have one more escape,
 * and whiteouts are marked files, since it shows no devices 0/0.
 *
 * Rules: an upper and its work directory are directories that nothing is merged into, so that what is made in them is
 * not copied up a second time; the names that the view around knows of them are forgotten, since it does not see them
 * change. What cannot be stacked rightly is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "super.h"

#define ESCAPE "overlay."

/* What is being laid, and where to say what is wrong. */
struct laying {
    pto_view *view;
    struct stacked *stacked;
    char *message;
    size_t size;
    struct location loc;
    char real[PATH_MAX];
};

pto_view *view_within(pto_view *outer) {
    pto_view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    view->base = outer->base;
    view->outer = outer;
    view->own = outer->own;
    view->umask = outer->umask;
    view_lock(outer);
    int error = 0;
    for (size_t i = 0; !error && i < outer->n_places; i++) {   /* in their order, which each new one keeps */
        const struct place *place = &outer->places[outer->n_places - 1 - i];
        bool as_there = place->source || place->mounted;
        error = place_insert(view, as_there ? PTO_DIRECT : place->kind, place->length ? place->path : "/",
                             as_there ? NULL : place->overlay);
    }
    for (size_t i = 0; i < view->n_places; i++)
        view->places[i].inherited = true;
    view_unlock(outer);
    if (!error)
        return view;
    pto_view_free(view);
    return NULL;
}

/* ---- finding the layers ---- */

/* A directory of the view around that we may read: laying->loc. */
static int find_directory(struct laying *laying, const char *path) {
    struct walker walker = {.cred = &laying->view->own};
    struct location *loc = &laying->loc;
    pto_view *outer = laying->view->outer;
    int error = view_walk(outer, &walker, "/", path, WALK_FOLLOW, loc);
    if (!error && !S_ISDIR(loc->type))
        error = loc->type ? -ENOTDIR : -ENOENT;
    if (!error)
        error = view_permission(outer, loc, walker.cred, R_OK | X_OK);
    return error ? lay_fail(laying->message, laying->size, error, "%s: %s", path, strerror(-error)) : 0;
}

static int take_prefix(struct stacked *stacked, const struct overlay *ovl) {
    if (stacked->escaped)
        return 0;
    stacked->root_prefix = ovl->root_prefix;
    return asprintf(&stacked->escaped, "%s" ESCAPE, ovl->prefix) < 0 ? (stacked->escaped = NULL, -ENOMEM) : 0;
}

/* below: the directory's path in the layer. */
static int add_source(struct laying *laying, const struct layer *layer, const char *below, const char *prefix) {
    struct stacked *stacked = laying->stacked;
    size_t base = layer ? layer->base : 0;
    if (stacked->n_sources == LOWERS_MAX)
        return lay_fail(laying->message, laying->size, -EINVAL, "lower: more than %u directories are merged there",
                        LOWERS_MAX);
    int length = layer ? path_absolute(layer, below, laying->real, sizeof laying->real)
                       : (int)strlen(strcpy(laying->real, below));
    if (length < 0)
        return length;
    struct source *source = &stacked->sources[stacked->n_sources];
    *source = (struct source){.root = strdup(laying->real), .prefix = prefix, .base = base};
    if (!source->root)
        return -ENOMEM;
    if (layer && strcmp(below, ".") != 0)
        source->base += strlen(below) + 1;
    stacked->roots[stacked->n_sources++] = source->root;
    return 0;
}

/* All that the overlay merges in the directory d, topmost first. */
static int add_stack(struct laying *laying, const struct overlay *ovl, uint32_t d) {
    struct stacked *stacked = laying->stacked;
    struct lower_dir dirs[LOWERS_MAX];
    char path[VIEW_PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    bool upper = upper_exists(dentry), alone = dentry->flags & D_OPAQUE;
    uint32_t count = alone ? 0 : lower_dirs(ovl, d, dirs);
    int error = take_prefix(stacked, ovl);
    unsigned before = stacked->n_sources;
    if (!error && upper)
        error = path_in_upper(ovl, d, path);
    if (error >= 0 && upper)
        error = add_source(laying, &ovl->layers[0], path, count ? ovl->layers[0].prefix : stacked->escaped);
    for (uint32_t i = 0; error >= 0 && i < count; i++) {
        const struct layer *layer = &ovl->layers[dirs[i].layer];
        error = lower_path(ovl, d, &dirs[i], path);
        if (error >= 0)
            error = add_source(laying, layer, path, layer->prefix);
    }
    if (error < 0)
        return error;
    for (unsigned i = before; count && i < stacked->n_sources; i++)
        stacked->sources[i].group_end = stacked->n_sources;
    return 0;
}

/* Another overlay that lies in a lower is no part of its layers. */
static int check_places(struct laying *laying) {
    const pto_view *outer = laying->view->outer;
    const struct location *loc = &laying->loc;
    size_t length = place_size(loc);
    for (size_t i = 0; i < outer->n_places; i++) {
        const struct place *place = &outer->places[i];
        if (place->overlay && place->overlay != loc->overlay && place->length > length &&
            path_below(place->path, place->length, loc->path, length))
            return lay_fail(laying->message, laying->size, -EXDEV,
                            "%s: another overlay of the run around lies in it, at %s", loc->path, place->path);
    }
    return 0;
}

static int add_lower(struct laying *laying, const char *path) {
    int error = find_directory(laying, path);
    if (!error)
        error = check_places(laying);
    if (error)
        return error;
    const struct location *loc = &laying->loc;
    error = loc->overlay ? add_stack(laying, loc->overlay, loc->dentry) : add_source(laying, NULL, loc->path, NULL);
    return error < 0 ? error : 0;
}

/* Where the view around has an upper or work directory; its path there into *covered. */
static int find_upper_dir(struct laying *laying, const char *path, const char *what, char **covered,
                          char real[PATH_MAX]) {
    int error = find_directory(laying, path);
    const struct location *loc = &laying->loc;
    if (error)
        return error;
    if (!loc->overlay) {
        strcpy(real, loc->path);
        return 0;
    }
    const struct dentry *dentry = at(loc->overlay, loc->dentry);
    if (loc->read_only)
        return lay_fail(laying->message, laying->size, -EROFS, "%s: %s", path, strerror(EROFS));
    if (!loc->upper || is_merged(dentry))
        return lay_fail(
            laying->message, laying->size, -EXDEV,
            "%s: %s: a directory of the run around that lies on a lower layer of it cannot be written to: name one "
            "that was made in that run",
            path, what);
    laying->stacked->upper_covered = true;
    *covered = strdup(loc->path);
    if (!*covered)
        return -ENOMEM;
    error = take_prefix(laying->stacked, loc->overlay);
    return error ? error : view_real(laying->view->outer, loc, real, PATH_MAX);
}

/* What is hidden in a lower is hidden where it shows. */
static int hide_below(const struct laying *laying, const char *lower, const char *mount) {
    const pto_view *outer = laying->view->outer;
    size_t length = path_length(lower), mount_length = path_length(mount);
    int error = 0;
    for (size_t i = 0; !error && i < outer->n_places; i++) {
        const struct place *place = &outer->places[i];
        char *shown;
        if (place->kind != PTO_HIDDEN || place->length <= length ||
            !path_below(place->path, place->length, lower, length))
            continue;
        if (asprintf(&shown, "%.*s%s", (int)mount_length, mount, place->path + length) < 0)
            return -ENOMEM;
        error = place_insert(laying->view, PTO_HIDDEN, shown, NULL);
        free(shown);
    }
    return error;
}

static int add_lowers(struct laying *laying, const struct pto_overlay *spec) {
    int error = 0;
    for (size_t i = 0; !error && i < spec->n_lowers; i++) {
        unsigned before = laying->stacked->n_sources;
        error = add_lower(laying, spec->lowers[i]);
        if (!error && i >= spec->n_lowers - spec->n_data)
            laying->stacked->n_data += laying->stacked->n_sources - before;
    }
    return error;
}

static int lay(struct laying *laying, const struct pto_overlay *spec) {
    char mount[PATH_MAX], upper[PATH_MAX], work[PATH_MAX];
    struct stacked *stacked = laying->stacked;
    int error = add_lowers(laying, spec);
    if (!error && spec->upper)
        error = find_upper_dir(laying, spec->upper, "upper", &stacked->upper, upper);
    if (!error && spec->work)
        error = find_upper_dir(laying, spec->work, "work directory", &stacked->work, work);
    if (!error)
        error = find_directory(laying, spec->mount);
    if (error) {
        stacked_free(stacked);
        return error;
    }
    strcpy(mount, laying->loc.path);
    struct pto_overlay found = *spec;
    found.lowers = stacked->roots;
    found.n_lowers = stacked->n_sources;
    found.n_data = stacked->n_data;
    found.upper = spec->upper ? upper : NULL;
    found.work = spec->work ? work : NULL;
    found.mount = mount;
    error = lay_overlay(laying->view, &found, stacked, laying->message, laying->size);
    for (size_t i = 0; !error && i < spec->n_lowers; i++) {
        error = find_directory(laying, spec->lowers[i]);
        if (!error)
            error = hide_below(laying, laying->loc.path, mount);
    }
    return error;
}

int view_within_add(pto_view *view, const struct pto_overlay *spec, char *message, size_t size) {
    struct laying *laying = calloc(1, sizeof *laying);
    if (laying)
        laying->stacked = calloc(1, sizeof *laying->stacked);
    if (!laying || !laying->stacked) {
        free(laying);
        return lay_fail(message, size, -ENOMEM, "%s", strerror(ENOMEM));
    }
    message[0] = '\0';
    laying->view = laying->stacked->view = view;
    laying->message = message;
    laying->size = size;
    view_lock(view);
    int error = lay(laying, spec);
    view_unlock(view);
    free(laying);
    if (error && !message[0])
        return lay_fail(message, size, error, "%s: %s", spec->mount, strerror(-error));
    return error;
}
