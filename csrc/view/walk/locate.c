/* locate.c - from a real path, as /proc shows it for a descriptor or a working directory, back into the view.
 *
 * Rules: of several layers that could hold the path the innermost wins; a lower object belongs to the view only while a
 * name leads to it, so an entry is accepted only after it has been found to be backed by that very object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "walk.h"

/* The layer that holds a real path. */
struct home {
    struct overlay *ovl;   /* NULL: none */
    unsigned layer;
    bool work;             /* in the work directory: an object that has no name (yet) */
    size_t length;         /* of the layer's root */
};

static void consider(struct home *home, struct overlay *ovl, unsigned layer, const char *root, size_t root_length,
                     bool work, const char *real, size_t length) {
    bool better = !home->ovl || root_length > home->length || (root_length == home->length && layer < home->layer);
    if (better && path_below(real, length, root, root_length))
        *home = (struct home){ovl, layer, work, root_length};
}

static void find_in(struct home *home, const pto_view *view, const char *real, size_t length) {
    for (size_t i = 0; i < view->n_overlays; i++) {
        struct overlay *ovl = view->overlays[i];
        for (unsigned layer = has_upper(ovl) ? 0 : 1; layer <= ovl->n_layers; layer++)
            consider(home, ovl, layer, ovl->layers[layer].root, ovl->layers[layer].length, false, real, length);
        if (ovl->work_root)
            consider(home, ovl, 0, ovl->work_root, strlen(ovl->work_root), true, real, length);
    }
}

static struct home find_home(const pto_view *view, const char *real, size_t length) {
    struct home home = {0};
    for (const pto_view *of = view; of; of = of->made_of)
        find_in(&home, of, real, length);
    return home;
}

/* ---- lower objects ---- */

/* True when a directory entry merges this directory of a layer. */
static bool merges(const struct overlay *ovl, uint32_t d, unsigned layer, const char *relative) {
    struct lower_dir dirs[LOWERS_MAX];
    char path[VIEW_PATH_MAX];
    if (d != ovl->root && (at(ovl, d)->flags & D_OPAQUE))
        return false;
    uint32_t count = lower_dirs(ovl, d, dirs);
    for (uint32_t i = 0; i < count; i++)
        if (dirs[i].layer == layer)
            return lower_path(ovl, d, &dirs[i], path) >= 0 && strcmp(path, relative) == 0;
    return false;
}

/* True when a copied-up file was copied from this lower object. */
static bool copied_from(const struct overlay *ovl, uint32_t d, unsigned layer, const char *relative) {
    struct stat lower, upper;
    char path[VIEW_PATH_MAX];
    int top = backing_at_upper(ovl, d, path);
    if (top < 0 || fd_lstat(ovl->layers[layer].fd, relative, &lower) < 0 ||
        fd_lstat(ovl->layers[top].fd, path, &upper) < 0)
        return false;
    const struct shown *shown = shown_find(&ovl->shown, upper.st_ino);
    struct shown below;   /* a lower's copy of what lies below it shows that one's number */
    bool copy =
        (ovl->flags & PTO_NUMBERS) && private_shown_below(ovl, layer, relative, &lower, &below) && below.identity;
    return shown && shown->identity && shown->ino == (copy ? below.ino : lower.st_ino);
}

/* True when a file without data of its own has its data there. */
static bool has_data_at(const struct overlay *ovl, uint32_t d, unsigned layer, const char *relative) {
    const struct dentry *dentry = at(ovl, d);
    if (!(dentry->flags & D_METACOPY) || !dentry->stack)
        return false;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    return stack->dirs[0].layer == layer &&
           strcmp(index_text_at(&ovl->view->index, stack->dirs[0].path)->bytes, relative) == 0;
}

static bool backed_by(const struct overlay *ovl, uint32_t d, unsigned layer, const char *relative) {
    const struct dentry *dentry = at(ovl, d);
    char path[VIEW_PATH_MAX];
    if (is_dir_kind(shown_kind(dentry)))
        return merges(ovl, d, layer, relative);
    if (has_data_at(ovl, d, layer, relative))
        return true;
    if (dentry->upper == KIND_NONE)
        return dentry->layer == layer && path_in_lower(ovl, d, layer, path) >= 0 && strcmp(path, relative) == 0;
    return upper_exists(dentry) && copied_from(ovl, d, layer, relative);
}

/* The next entry of a walk over all that is known; 0: the walk is over. */
static uint32_t next_entry(const struct overlay *ovl, uint32_t d) {
    const struct dentry *dentry = at(ovl, d);
    if (is_dir_kind(shown_kind(dentry)) && dentry->child)
        return dentry->child;
    while (d != ovl->root && !at(ovl, d)->sibling)
        d = at(ovl, d)->parent;
    return d == ovl->root ? 0 : at(ovl, d)->sibling;
}

/* The file that has its data there, 0: none. */
static uint32_t find_metacopy(const struct overlay *ovl, unsigned layer, const char *relative) {
    uint32_t d = ovl->metacopies ? ovl->root : 0;
    while (d && !has_data_at(ovl, d, layer, relative))
        d = next_entry(ovl, d);
    return d;
}

/* The longest directory path that some redirected entry has in this layer and that relative lies in. 0: none. */
static uint32_t redirected_top(const struct overlay *ovl, unsigned layer, const char *relative, size_t *top_length) {
    uint32_t best = 0;
    size_t length = strlen(relative);
    char path[VIEW_PATH_MAX];
    for (uint32_t d = next_entry(ovl, ovl->root); d; d = next_entry(ovl, d)) {
        const struct dentry *dentry = at(ovl, d);
        if (!is_dir_kind(shown_kind(dentry)) || !is_dir_kind(dentry->lower) || !dentry->stack ||
            (dentry->flags & D_TARGET))
            continue;
        int top = path_in_lower(ovl, d, layer, path);
        if (top > 0 && merges(ovl, d, layer, path) && path_below(relative, length, path, (size_t)top) &&
            (!best || (size_t)top > *top_length)) {
            best = d;
            *top_length = (size_t)top;
        }
    }
    return best;
}

/* Looks up the directories that a layer has in one of its own, as what it says of them holds in the layers below. */
static void learn_names(struct overlay *ovl, uint32_t d, int dir) {
    STREAM *stream;
    const struct dirent *entry;
    uint32_t child;
    int error = dir < 0 ? dir : stream_open(dir, &stream);
    while (!error && !(error = stream_read(stream, &entry)) && entry) {
        bool dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!dots && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN))
            (void)entry_lookup(ovl, d, entry->d_name, strlen(entry->d_name), &child);   /* what fails leads nowhere */
    }
}

static void learn_lowers(struct overlay *ovl, uint32_t d) {
    struct lower_dir dirs[LOWERS_MAX];
    char path[VIEW_PATH_MAX];
    bool shown = is_dir_kind(shown_kind(at(ovl, d))) && !(at(ovl, d)->flags & D_OPAQUE);
    uint32_t count = shown ? lower_dirs(ovl, d, dirs) : 0;
    for (uint32_t i = 0; i < count && dirs[i].layer < ovl->n_lowers; i++) {
        if (lower_path(ovl, d, &dirs[i], path) < 0)
            continue;
        CLOSE_FD fd = fd_beneath(ovl->layers[dirs[i].layer].fd, path, O_RDONLY | O_DIRECTORY);
        learn_names(ovl, d, fd);
    }
}

/* What an earlier run renamed, in the upper or in a lower that lies on another one, is only known once its directories
 * have been looked up: all of them, once, when some lower object cannot be found otherwise. */
static void learn_redirects(struct overlay *ovl) {
    ovl->inherited = false;
    for (uint32_t d = ovl->root; d; d = next_entry(ovl, d)) {
        int error = upper_exists(at(ovl, d)) ? lookup_check_upper(ovl, d) : 0;
        if (!error)
            error = lookup_load_upper(ovl, d);
        if (!error)
            learn_lowers(ovl, d);
    }
}

static bool find_lower(struct overlay *ovl, unsigned layer, const char *relative, uint32_t *d) {
    *d = ovl->root;
    if (strcmp(relative, ".") == 0)
        return true;
    if (walk_descend(ovl, d, relative) == 0 && backed_by(ovl, *d, layer, relative))
        return true;
    size_t top_length;
    if (ovl->inherited)
        learn_redirects(ovl);
    *d = find_metacopy(ovl, layer, relative);
    if (*d)
        return true;
    *d = ovl->redirected ? redirected_top(ovl, layer, relative, &top_length) : 0;
    if (!*d)
        return false;
    return walk_descend(ovl, d, relative + top_length) == 0 && backed_by(ovl, *d, layer, relative);
}

/* ---- */

static void on_host(pto_view *view, const char *real, size_t length, struct location *loc) {
    struct stat st;
    memcpy(loc->path, real, length + 1);
    loc->length = length;
    loc->pass = loc->way = true;
    loc->type = fd_lstat(AT_FDCWD, real, &st) == 0 ? st.st_mode & S_IFMT : 0;
    loc->read_only = place_read_only(view, real, length == 1 ? 0 : length);
    loc->fixed = place_fixed(view, real, length == 1 ? 0 : length);
}

static void detached(const char *real, size_t length, const struct home *home, struct location *loc) {
    memcpy(loc->path, real, length + 1);
    loc->length = length;
    loc->overlay = home->ovl;
    loc->upper = home->layer == 0;
    loc->detached = true;
}

/* In what a place shows that lies elsewhere: no layer has it but one that holds the place's source. */
static int on_bound(pto_view *view, const struct place *bind, const char *real, size_t length, struct location *loc) {
    char shown[VIEW_PATH_MAX];
    int error =
        path_exchange_front(real, length == 1 ? 0 : length, bind->source_length, bind->path, bind->length, shown);
    if (error)
        return error;
    size_t size = path_length(shown);
    on_host(view, real, length, loc);
    loc->read_only = place_read_only(view, shown, size);
    loc->fixed = place_fixed(view, shown, size);
    loc->pass = loc->way = false;
    loc->bound = true;
    return 0;
}

/* Within another view: is the path a direct place, or covered by another overlay? */
static bool shows_otherwise(const pto_view *view, const struct location *loc, const struct overlay *ovl) {
    const struct place *place = place_of(view, loc->path, place_size(loc));
    return place && (place->kind == PTO_DIRECT || (place->overlay && place->overlay != ovl));
}

static int locate(pto_view *view, const char *real, struct location *loc);

/* The newest place of a mount namespace that shows an object of the overlay (NULL: of the host) with this path; one
 * that shows it by its own path comes first. */
static const struct place *shown_by(const pto_view *view, const struct overlay *ovl, const char *path, size_t length) {
    const struct place *found = NULL;
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        const char *source = place->source ? place->source : place->path;
        size_t source_length = place->source ? place->source_length : place->length;
        bool kind = place_shows(place) && place->kind != PTO_HIDDEN && place->overlay == ovl;
        if (!kind || !path_below(path, length, source, source_length) || !place_reaches(view, place, path, length))
            continue;
        if (!found || (found->source && (!place->source || place->order > found->order)))
            found = place;
    }
    return found;
}

/* Where a mount namespace has what the view around has elsewhere; nowhere: it is as if it had no name. */
static int locate_mounted(const pto_view *view, struct location *loc) {
    char path[VIEW_PATH_MAX];
    int length = loc->overlay ? path_in_view(loc->overlay, loc->dentry, path) : (int)loc->length;
    if (length < 0)
        return length;
    if (!loc->overlay)
        memcpy(path, loc->path, loc->length + 1);
    size_t size = length == 1 ? 0 : (size_t)length;
    const struct place *place = shown_by(view, loc->overlay, path, size);
    bool open = !place && !loc->overlay && !place_of(view, path, size);   /* where nothing lies over the host */
    loc->bound = false;
    loc->detached = !place && !open;
    if (!place)
        return 0;
    char shown[VIEW_PATH_MAX];
    int error = path_exchange_front(path, size, place->source ? place->source_length : place->length, place->path,
                                    place->length, shown);
    if (error)
        return error;
    size_t shown_size = path_length(shown);
    bool same = strcmp(path, shown) == 0, ro = place_read_only(view, shown, shown_size);
    loc->way = loc->way && same;
    loc->pass = loc->pass && same;
    loc->read_only = ro || (loc->overlay && (!has_upper(loc->overlay) || loc->overlay->flags & PTO_READ_ONLY));
    loc->fixed = !loc->overlay && place_fixed(view, shown, shown_size);
    loc->bound = !loc->overlay && !same;
    loc->bind = loc->bound ? place : NULL;
    if (loc->overlay) {
        loc->length = strlen(shown);
        memcpy(loc->path, shown, loc->length + 1);
    }
    return 0;
}

int view_locate(pto_view *view, const char *real, struct location *loc) {
    int error = locate(view, real, loc);
    return error || !view->mounts || loc->detached ? error : locate_mounted(view, loc);
}

static int locate(pto_view *view, const char *real, struct location *loc) {
    HELD(&view->base->lock);
    size_t length = strlen(real);
    if (real[0] != '/')
        return -EINVAL;
    if (length >= VIEW_PATH_MAX)
        return -ENAMETOOLONG;
    memset(loc, 0, offsetof(struct location, path));
    loc->last = LAST_NORM;
    size_t size = length == 1 ? 0 : length;
    struct home home = find_home(view, real, size);
    const struct place *place = place_of(view, real, size);
    const struct place *bind = view->mounts ? NULL : place_from(view, real, size);
    if (bind && (!home.ovl || bind->source_length >= home.length) &&
        !(place && place->kind == PTO_DIRECT && !place->source))
        return on_bound(view, bind, real, length, loc);
    bool shown_there = home.ovl && home.layer && home.layer == home.ovl->own;
    bool outer = view->outer && (!home.ovl || (!view->mounts && shown_there && place && place->kind == PTO_DIRECT));
    if (outer) {
        int error = view_locate(view->outer, real, loc);
        loc->read_only |= !error && place_read_only(view, loc->path, place_size(loc));
        return error;
    }
    if (!home.ovl || (shown_there && place && place->kind == PTO_DIRECT)) {
        on_host(view, real, length, loc);
        return 0;
    }
    if (home.work) {
        detached(real, length, &home, loc);
        loc->aside = true;
        return 0;
    }
    struct overlay *ovl = home.ovl;
    const char *relative = real + home.length;
    while (*relative == '/')
        relative++;
    if (!*relative)
        relative = ".";
    uint32_t d = ovl->root;
    bool found = home.layer
                     ? find_lower(ovl, home.layer, relative, &d)
                     : (strcmp(relative, ".") == 0 || walk_descend(ovl, &d, relative) == 0) && upper_exists(at(ovl, d));
    if (!found) {
        detached(real, length, &home, loc);
        return 0;
    }
    int path_length = path_in_view(ovl, d, loc->path);
    if (path_length < 0)
        return path_length;
    loc->length = (size_t)path_length;
    if (view->outer && !view->mounts && shows_otherwise(view, loc, ovl))
        return view_locate(view->outer, real, loc);
    namei_fill(view, ovl, d == ovl->root ? d : at(ovl, d)->parent, d, loc);
    loc->way = home.layer && home.layer == ovl->own && strcmp(loc->path, real) == 0;
    loc->pass = loc->way && !loc->upper;
    return 0;
}

void view_opened_before(pto_view *view, const char *real) {
    struct location loc;
    view_lock(view);
    if (view_locate(view, real, &loc) == 0)
        view_opened(view, &loc);
    view_unlock(view);
}

int view_fix_attr(pto_view *view, const char *real, struct statx *stx) {
    struct location loc;
    int error = view_locate(view, real, &loc);
    if (error || !loc.overlay)
        return error;
    struct overlay *ovl = loc.overlay;
    if (loc.detached) {
        if (loc.upper)
            inode_show(ovl, ovl->root, stx);
        else
            stx->stx_nlink = linked_left(ovl, stx);
        return 0;
    }
    return inode_getattr(ovl, loc.dentry, stx);   /* also for what was opened before it was copied up */
}

int pto_map_back(pto_view *view, const char *real, char *out, size_t size) {
    struct location loc;
    view_lock(view);
    int error = view_locate(view, real, &loc);
    view_unlock(view);
    if (error)
        return error;
    if (loc.detached)
        return -ESTALE;
    if (loc.length >= size)
        return -ERANGE;
    memcpy(out, loc.path, loc.length + 1);
    return 0;
}
