/* gone.c - what directories that are removed were called in the view, where the kernel's name of them says otherwise:
 * they were renamed, and what is open is a lower's, or they were put aside to be removed.  They go along when the
 * directory that they were in is renamed, until that is removed, too.
 *
 * Rules: only the newest are known, and without memory none: whoever asks has another answer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"

#define GONE_MOST 256u

/* One block: the real path, and behind it the one in the view. */
struct gone {
    struct gone *next;
    size_t length; /* of the real path */
    bool settled;  /* nor is there any more what it was in */
    char paths[];
};

static void drop_oldest(pto_view *base) {
    struct gone **last = &base->gone;
    for (unsigned i = 0; *last && i < GONE_MOST; i++)
        last = &(*last)->next;
    free(*last);
    *last = NULL;
}

static bool is_below(const struct gone *gone, const char *directory) {
    const char *shown = gone->paths + gone->length + 1;
    size_t length = strlen(directory);
    return strncmp(shown, directory, length) == 0 && shown[length] == '/';
}

static struct gone *make(const char *real, size_t length, const char *shown, const char *rest) {
    size_t front = strlen(shown), size = strlen(rest) + 1;
    struct gone *gone = malloc(sizeof *gone + length + 1 + front + size);
    if (!gone)
        return NULL;
    gone->length = length;
    gone->settled = false;
    memcpy(gone->paths, real, length);
    gone->paths[length] = '\0';
    memcpy(gone->paths + length + 1, shown, front);
    memcpy(gone->paths + length + 1 + front, rest, size);
    return gone;
}

static void keep(pto_view *base, const char *top, const char *below, const char *shown) {
    char real[2 * VIEW_PATH_MAX];
    size_t length = (size_t)snprintf(real, sizeof real, "%s/%s", top, below);
    struct gone *gone = make(real, length, shown, "");
    if (!gone)
        return;
    gone->next = base->gone;
    base->gone = gone;
    drop_oldest(base);
}

void gone_note(const struct overlay *ovl, uint32_t d) {
    struct lower_dir dirs[LOWERS_MAX];
    char shown[VIEW_PATH_MAX], below[VIEW_PATH_MAX];
    HELD(&ovl->view->lock);
    if (path_in_view(ovl, d, shown) < 0)
        return;
    for (struct gone *gone = ovl->view->gone; gone; gone = gone->next)
        gone->settled |= is_below(gone, shown);
    if (!lower_dirs(ovl, d, dirs) || lower_path(ovl, d, &dirs[0], below) < 0)
        return;
    if (strcmp(shown + ovl->mount_length + 1, below) != 0)
        keep(ovl->view, ovl->layers[dirs[0].layer].root, below, shown);
}

void gone_aside(const struct overlay *ovl, const char *shown) {
    HELD(&ovl->view->lock);
    if (ovl->aside[0])
        keep(ovl->view, ovl->work_path, ovl->aside, shown);
}

/* Without memory it stays what it was. */
static void move(struct gone **at, const char *from, const char *to) {
    struct gone *old = *at, *moved = make(old->paths, old->length, to, old->paths + old->length + 1 + strlen(from));
    if (!moved)
        return;
    moved->next = old->next;
    *at = moved;
    free(old);
}

void gone_moved(pto_view *base, const char *from, const char *to, bool exchanged) {
    HELD(&base->lock);
    for (struct gone **at = &base->gone; *at; at = &(*at)->next) {
        if ((*at)->settled)
            continue;
        if (is_below(*at, from))
            move(at, from, to);
        else if (exchanged && is_below(*at, to))
            move(at, to, from);
    }
}

const char *view_gone(const pto_view *view, const char *real, size_t length) {
    HELD(&view->base->lock);
    const struct gone *gone = view->base->gone;
    while (gone && (gone->length != length || memcmp(gone->paths, real, length) != 0))
        gone = gone->next;
    return gone ? gone->paths + length + 1 : NULL;
}

void gone_clear(pto_view *base) {
    while (base->gone) {
        struct gone *gone = base->gone;
        base->gone = gone->next;
        free(gone);
    }
}
