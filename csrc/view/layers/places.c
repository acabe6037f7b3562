/* places.c - paths of the view that are treated otherwise than what is around them, and mounts below a lower.
 *
 * Rules: the innermost place wins; at one path what treats it otherwise comes before the overlay that is there, and of
 * a direct and a read-only place the one that was added last says whether it can be changed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "layers.h"

void place_clear(struct place *place) {
    for (size_t i = 0; i < place->n_under; i++)
        place_clear(&place->under[i]);
    free(place->under);
    free(place->path);
    free(place->source);
}

bool place_shows(const struct place *place) {
    return place->kind != PTO_PLACE_READ_ONLY && place->kind != PTO_PLACE_FIXED;
}

struct place *place_of(const pto_view *view, const char *path, size_t length) {
    for (size_t i = 0; i < view->n_places; i++) {
        struct place *place = &view->places[i];
        if (place_shows(place) && path_below(path, length, place->path, place->length))
            return place;
    }
    return NULL;
}

struct place *place_at(const pto_view *view, const char *path, size_t length) {
    for (size_t i = 0; i < view->n_places; i++) {
        struct place *place = &view->places[i];
        if (place->length == length && place_shows(place) && memcmp(path, place->path, length) == 0)
            return place;
    }
    return NULL;
}

/* Whether what says last that the path can be changed or not is of this kind. */
static bool place_restricts(const pto_view *view, int kind, const char *path, size_t length) {
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        bool counts = place->kind == kind || place->kind == PTO_DIRECT || place->mounted;
        if (counts && path_below(path, length, place->path, place->length))
            return place->kind == kind ||
                   (place->mounted && (kind == PTO_PLACE_READ_ONLY ? place->read_only : place->fixed));
    }
    return false;
}

bool place_read_only(const pto_view *view, const char *path, size_t length) {
    return place_restricts(view, PTO_PLACE_READ_ONLY, path, length);
}

bool place_fixed(const pto_view *view, const char *path, size_t length) {
    return place_restricts(view, PTO_PLACE_FIXED, path, length);
}

bool place_in_dir(const pto_view *view, const char *path, size_t length) {
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        if (!place_shows(place) || place->length <= length + 1 || place->path[length] != '/' ||
            memcmp(path, place->path, length) != 0)
            continue;
        if (!memchr(place->path + length + 1, '/', place->length - length - 1))
            return true;
    }
    return false;
}

bool view_place_below(const pto_view *view, const struct location *loc) {
    size_t length = place_size(loc);
    for (size_t i = 0; i < view->n_places; i++)
        if (view->places[i].length > length &&
            path_below(view->places[i].path, view->places[i].length, loc->path, length))
            return true;
    return false;
}

void places_cover(pto_view *view, const char *path, size_t length) {
    size_t left = 0;
    for (size_t i = 0; i < view->n_places; i++) {
        struct place *place = &view->places[i];
        if (place->inherited && path_below(place->path, place->length, path, length)) {
            place_clear(place);
        } else {
            view->places[left++] = *place;
        }
    }
    view->n_places = left;
}

bool view_covers(const pto_view *view, const char *path) {
    const struct place *place = place_of(view, path, path_length(path));
    return place && place->overlay;
}

/* Keeps the longest paths first, and at equal length what treats a place otherwise before the overlay. */
int place_insert(pto_view *view, int kind, const char *path, struct overlay *overlay) {
    struct place *places = realloc(view->places, (view->n_places + 1) * sizeof *places);
    if (!places)
        return -ENOMEM;
    view->places = places;
    size_t length = path_length(path), i = 0;
    char *copy = strndup(path, length);
    if (!copy)
        return -ENOMEM;
    while (i < view->n_places && (places[i].length > length || (places[i].length == length && places[i].kind && !kind)))
        i++;
    memmove(&places[i + 1], &places[i], (view->n_places - i) * sizeof *places);
    places[i] = (struct place){.kind = kind, .path = copy, .length = length, .overlay = overlay};
    view->n_places++;
    return 0;
}

/* ---- places that show another path ---- */

/* The text whose first bytes are `from` long, with others in their place. */
int path_exchange_front(const char *text, size_t length, size_t from, const char *front, size_t front_length,
                        char *out) {
    if (front_length + (length - from) + 2 > VIEW_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(out, front, front_length);
    memcpy(out + front_length, text + from, length - from);
    size_t end = front_length + (length - from);
    if (end == 0)
        out[end++] = '/';
    out[end] = '\0';
    return 0;
}

/* Is the place what shows there, and not one that lies over it? */
bool place_reaches(const pto_view *view, const struct place *place, const char *real, size_t length) {
    char path[VIEW_PATH_MAX];
    size_t source_length = place->source ? place->source_length : place->length;
    return path_exchange_front(real, length, source_length, place->path, place->length, path) == 0 &&
           place_of(view, path, path_length(path)) == place;
}

const struct place *place_from(const pto_view *view, const char *real, size_t length) {
    const struct place *found = NULL;
    for (size_t i = 0; i < view->n_places; i++) {
        const struct place *place = &view->places[i];
        if (place->source && !place->overlay && path_below(real, length, place->source, place->source_length) &&
            (!found || place->source_length > found->source_length) &&
            (!view->mounts || place_reaches(view, place, real, length)))
            found = place;
    }
    return found;
}

int place_source(const struct place *place, const char *path, size_t length, char *out) {
    return path_exchange_front(path, length, place->length, place->source, place->source_length, out);
}

int view_name(pto_view *view, struct location *loc) {
    char path[VIEW_PATH_MAX];
    size_t length = place_size(loc);
    const struct place *place = loc->bound ? place_from(view, loc->path, length) : NULL;
    if (!place)
        return 0;
    int error = path_exchange_front(loc->path, length, place->source_length, place->path, place->length, path);
    if (error)
        return error;
    loc->length = strlen(path);
    memcpy(loc->path, path, loc->length + 1);
    loc->bound = false;
    return 0;
}
