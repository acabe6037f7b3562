/* way.c - from a text that names a directory to what holds for all names in it.
 *
 * Rule: what is said holds until the next touch() that tells of ways, under the lock or not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "../layers/layers.h"
#include "walk.h"

/* The name where the walk has ended: it shows what the lower has, or that it has nothing. */
static void take_name(pto_view *view, struct location *loc, struct view_way *way) {
    const char *slash = strrchr(loc->path, '/');
    char *name = loc->path + (slash - loc->path) + 1;
    size_t above = name - loc->path > 1 ? (size_t)(name - loc->path) - 1 : 1;
    if (!*name || !loc->parent)
        return;
    *way = (struct view_way){
        .directory = way->directory, .shown = true, .parent = loc->parent, .name = name, .name_length = strlen(name)};
    char first = loc->path[above];
    loc->path[above] = '\0';
    touch_places(view, loc->parent, loc->path);
    loc->path[above] = first;
}

bool view_find_way(pto_view *view, const struct cred *cred, const char *start, const char *text, struct location *loc,
                   struct view_way *way) {
    const struct walker walker = {.cred = cred};
    *way = (struct view_way){0};
    int error = view_walk(view, &walker, start, text, WALK_FOLLOW | WALK_START_PASS, loc);
    if (!loc->inside || !loc->way || (error && error != -ENOENT && error != -ENOTDIR))
        return false;
    if (!error && loc->type == S_IFDIR) {
        if (lookup_load_upper(loc->overlay, loc->dentry) < 0)
            return false;
        way->directory = loc->dentry;
        touch_places(view, loc->dentry, loc->path);
    }
    if (loc->pass)
        take_name(view, loc, way);
    return way->directory || way->shown;
}
