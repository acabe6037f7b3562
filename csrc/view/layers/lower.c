/* lower.c - what lowers have of an entry: the directories that it merges, and its topmost object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/stat.h>

#include "layers.h"

uint32_t lower_dirs(const struct overlay *ovl, uint32_t d, struct lower_dir *dirs) {
    const struct dentry *dentry = at(ovl, d);
    if (d == ovl->root) {
        for (unsigned i = 0; i < ovl->n_lowers; i++)
            dirs[i] = (struct lower_dir){.layer = (uint16_t)(i + 1)};
        return ovl->n_lowers;
    }
    if (!is_dir_kind(dentry->lower))
        return 0;
    if (!dentry->stack) {
        dirs[0] = (struct lower_dir){.layer = dentry->layer};
        return 1;
    }
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    memcpy(dirs, stack->dirs, stack->count * sizeof dirs[0]);
    return stack->count;
}

int lower_path(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir, char out[VIEW_PATH_MAX]) {
    if (!dir->path)
        return path_in_lower(ovl, d, dir->layer, out);
    const struct text *text = index_text_at(&ovl->view->index, dir->path);
    memcpy(out, text->bytes, text->length + 1);
    return (int)text->length;
}

int lower_statx(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    char path[VIEW_PATH_MAX];
    unsigned layer = at(ovl, d)->layer;
    int error = path_in_lower(ovl, d, layer, path);
    return error < 0 ? error : fd_statx(ovl->layers[layer].fd, path, 0, stx);
}

int lower_open(const struct overlay *ovl, uint32_t d, int flags) {
    char path[VIEW_PATH_MAX];
    unsigned layer = at(ovl, d)->layer;
    int error = path_in_lower(ovl, d, layer, path);
    return error < 0 ? error : fd_beneath(ovl->layers[layer].fd, path, flags);
}
