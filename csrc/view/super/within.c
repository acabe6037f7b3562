/* within.c - a view within another one: an overlay whose layers are directories of a view.
 *
 * A lower of it becomes the stack of layers that the view around merges there, so that every object is found where it
 * really is; the stack is a group, in which the marks of the view around hold (struct layer).  What is laid in it is
 * stored in the upper of the view around as that view would have stored it: private attributes have one more escape, and
 * whiteouts are marked files, since it shows no devices 0/0.
 *
 * Rules: an upper and its work directory are directories that nothing is merged into, so that what is made in them is not
 * copied up a second time; the names that the view around knows of them are forgotten, since it does not see them change.
 * What cannot be stacked rightly is refused.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../internal.h"

#define ESCAPE "overlay."

/* A layer of the view around. */
struct source {
    char *root;
    const char *prefix;
    size_t base;
    unsigned group_end;
};

struct within {
    pto_view *view;         /* in which the overlay is laid */
    char *escaped;          /* prefix of what is laid in it; NULL: no layer is covered by the view around */
    size_t root_prefix;
    bool upper_covered;
    char *upper, *work;     /* their paths in the view around, NULL: none */
    unsigned n_sources, n_data;
    struct source sources[LOWERS_MAX];
    const char *roots[LOWERS_MAX];
};

/* What is being laid, and where to say what is wrong. */
struct laying {
    pto_view *view;
    struct within *within;
    char *message;
    size_t size;
    struct location loc;
    char real[PATH_MAX];
};

void within_free(struct within *within) {
    if (!within)
        return;
    for (unsigned i = 0; i < within->n_sources; i++)
        free(within->sources[i].root);
    free(within->escaped);
    free(within->upper);
    free(within->work);
    free(within);
}

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
        error = place_insert(view, place->kind, place->length ? place->path : "/", place->overlay);
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
    return error ? fail(laying->message, laying->size, error, "%s: %s", path, strerror(-error)) : 0;
}

static int take_prefix(struct within *within, const struct overlay *ovl) {
    if (within->escaped)
        return 0;
    within->root_prefix = ovl->root_prefix;
    return asprintf(&within->escaped, "%s" ESCAPE, ovl->prefix) < 0 ? (within->escaped = NULL, -ENOMEM) : 0;
}

/* below: the directory's path in the layer. */
static int add_source(struct laying *laying, const struct layer *layer, const char *below, const char *prefix) {
    struct within *within = laying->within;
    size_t base = layer ? layer->base : 0;
    if (within->n_sources == LOWERS_MAX)
        return fail(laying->message, laying->size, -EINVAL, "lower: more than %u directories are merged there",
                    LOWERS_MAX);
    int length = layer ? path_absolute(layer, below, laying->real) : (int)strlen(strcpy(laying->real, below));
    if (length < 0)
        return length;
    struct source *source = &within->sources[within->n_sources];
    *source = (struct source){.root = strdup(laying->real), .prefix = prefix, .base = base};
    if (!source->root)
        return -ENOMEM;
    if (layer && strcmp(below, ".") != 0)
        source->base += strlen(below) + 1;
    within->roots[within->n_sources++] = source->root;
    return 0;
}

/* All that the overlay merges in the directory d, topmost first. */
static int add_stack(struct laying *laying, const struct overlay *ovl, uint32_t d) {
    struct within *within = laying->within;
    struct lower_dir dirs[LOWERS_MAX];
    char path[PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    bool upper = upper_exists(dentry), alone = dentry->flags & D_OPAQUE;
    uint32_t count = alone ? 0 : lower_dirs(ovl, d, dirs);
    int error = take_prefix(within, ovl);
    unsigned before = within->n_sources;
    if (!error && upper)
        error = path_in_upper(ovl, d, path);
    if (error >= 0 && upper)
        error = add_source(laying, &ovl->layers[0], path, count ? ovl->layers[0].prefix : within->escaped);
    for (uint32_t i = 0; error >= 0 && i < count; i++) {
        const struct layer *layer = &ovl->layers[dirs[i].layer];
        error = lower_path(ovl, d, &dirs[i], path);
        if (error >= 0)
            error = add_source(laying, layer, path, layer->prefix);
    }
    if (error < 0)
        return error;
    for (unsigned i = before; count && i < within->n_sources; i++)
        within->sources[i].group_end = within->n_sources;
    return 0;
}

/* Another overlay that lies in a lower is no part of its layers. */
static int check_places(struct laying *laying) {
    const pto_view *outer = laying->view->outer;
    const struct location *loc = &laying->loc;
    size_t length = loc->length == 1 ? 0 : loc->length;
    for (size_t i = 0; i < outer->n_places; i++) {
        const struct place *place = &outer->places[i];
        if (place->overlay && place->overlay != loc->overlay && place->length > length &&
            path_below(place->path, place->length, loc->path, length))
            return fail(laying->message, laying->size, -EXDEV,
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

/* Where the view around has an upper or work directory; its path there into *kept. */
static int find_upper(struct laying *laying, const char *path, const char *what, char **kept, char real[PATH_MAX]) {
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
        return fail(laying->message, laying->size, -EROFS, "%s: %s", path, strerror(EROFS));
    if (!loc->upper || is_merged(dentry))
        return fail(
            laying->message, laying->size, -EXDEV,
            "%s: %s: a directory of the run around that lies on a lower layer of it cannot be written to: name one "
            "that was made in that run",
            path, what);
    laying->within->upper_covered = true;
    *kept = strdup(loc->path);
    if (!*kept)
        return -ENOMEM;
    error = take_prefix(laying->within, loc->overlay);
    return error ? error : view_real(laying->view->outer, loc, real);
}

/* ---- laying ---- */

void within_set_layers(struct overlay *ovl) {
    const struct within *within = ovl->within;
    if (!within)
        return;
    for (unsigned i = 0; i < within->n_sources; i++) {
        struct layer *layer = &ovl->layers[i + 1];
        layer->prefix = within->sources[i].prefix ? within->sources[i].prefix : ovl->prefix;
        layer->base = within->sources[i].base;
        layer->group_end = within->sources[i].group_end;
    }
    if (!within->escaped || (has_upper(ovl) && !within->upper_covered))
        return;
    ovl->prefix = within->escaped;
    ovl->root_prefix = within->root_prefix;
    ovl->layers[0].prefix = ovl->layers[WORK_LAYER(ovl)].prefix = within->escaped;
    ovl->layers[0].marked_form = within->upper_covered;
}

static void changed(const struct within *within, const char *path) {
    struct walker walker = {.cred = &within->view->own};
    struct location loc;
    if (!path || view_walk(within->view->outer, &walker, "/", path, 0, &loc) || !loc.overlay || !loc.dentry)
        return;
    index_drop_children(&loc.overlay->view->index, loc.dentry);
    at(loc.overlay, loc.dentry)->flags &= (uint16_t)~D_LOADED;
    dir_changed(loc.overlay, loc.dentry);
}

void within_changed(const struct overlay *ovl) {
    if (!ovl->within)
        return;
    changed(ovl->within, ovl->within->upper);
    changed(ovl->within, ovl->within->work);
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
        unsigned before = laying->within->n_sources;
        error = add_lower(laying, spec->lowers[i]);
        if (!error && i >= spec->n_lowers - spec->n_data)
            laying->within->n_data += laying->within->n_sources - before;
    }
    return error;
}

static int lay(struct laying *laying, const struct pto_overlay *spec) {
    char mount[PATH_MAX], upper[PATH_MAX], work[PATH_MAX];
    struct within *within = laying->within;
    int error = add_lowers(laying, spec);
    if (!error && spec->upper)
        error = find_upper(laying, spec->upper, "upper", &within->upper, upper);
    if (!error && spec->work)
        error = find_upper(laying, spec->work, "work directory", &within->work, work);
    if (!error)
        error = find_directory(laying, spec->mount);
    if (error) {
        within_free(within);
        return error;
    }
    strcpy(mount, laying->loc.path);
    struct pto_overlay found = *spec;
    found.lowers = within->roots;
    found.n_lowers = within->n_sources;
    found.n_data = within->n_data;
    found.upper = spec->upper ? upper : NULL;
    found.work = spec->work ? work : NULL;
    found.mount = mount;
    error = overlay_add(laying->view, &found, within, laying->message, laying->size);
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
        laying->within = calloc(1, sizeof *laying->within);
    if (!laying || !laying->within) {
        free(laying);
        return fail(message, size, -ENOMEM, "%s", strerror(ENOMEM));
    }
    message[0] = '\0';
    laying->view = laying->within->view = view;
    laying->message = message;
    laying->size = size;
    view_lock(view);
    int error = lay(laying, spec);
    view_unlock(view);
    free(laying);
    if (error && !message[0])
        return fail(message, size, error, "%s: %s", spec->mount, strerror(-error));
    return error;
}
