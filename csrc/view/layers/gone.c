/* gone.c - what directories that are removed were called in the view, where the kernel's name of them says otherwise:
 * they were renamed, and what is open is a lower's, or they were put aside to be removed.
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
    char paths[];
};

static void drop_oldest(pto_view *base) {
    struct gone **last = &base->gone;
    for (unsigned i = 0; *last && i < GONE_MOST; i++)
        last = &(*last)->next;
    free(*last);
    *last = NULL;
}

static void keep(pto_view *base, const char *top, const char *below, const char *shown) {
    size_t length = strlen(top) + 1 + strlen(below), size = strlen(shown) + 1;
    struct gone *gone = malloc(sizeof *gone + length + 1 + size);
    if (!gone)
        return;
    gone->length = length;
    snprintf(gone->paths, length + 1, "%s/%s", top, below);
    memcpy(gone->paths + length + 1, shown, size);
    gone->next = base->gone;
    base->gone = gone;
    drop_oldest(base);
}

void gone_note(const struct overlay *ovl, uint32_t d) {
    struct lower_dir dirs[LOWERS_MAX];
    char shown[VIEW_PATH_MAX], below[VIEW_PATH_MAX];
    HELD(&ovl->view->lock);
    if (!lower_dirs(ovl, d, dirs) || path_in_view(ovl, d, shown) < 0 || lower_path(ovl, d, &dirs[0], below) < 0)
        return;
    if (strcmp(shown + ovl->mount_length + 1, below) != 0)
        keep(ovl->view, ovl->layers[dirs[0].layer].root, below, shown);
}

void gone_aside(const struct overlay *ovl, const char *shown) {
    HELD(&ovl->view->lock);
    if (ovl->aside[0])
        keep(ovl->view, ovl->work_path, ovl->aside, shown);
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
