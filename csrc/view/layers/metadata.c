/* metadata.c - files of which a layer has the attributes alone (overlay.metacopy), and where the data is.
 *
 * Rule: where the data lies is found once, when the file is looked up, and stands in the entry's stack.
 * ovl_check_metacopy_xattr() and ovl_lookup() in fs/overlayfs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "layers.h"

/* 1, 0 or -errno. */
static int is_marked(const struct layer *layer, const char *path, const struct stat *st) {
    if (!S_ISREG(st->st_mode))
        return 0;
    ssize_t length = private_get_at(layer, path, METADATA_MARK, NULL, 0);
    return length >= 0 ? 1 : private_error(length);
}

int metadata_set_data(struct overlay *ovl, uint32_t d, unsigned layer, const char *path) {
    struct lower_dir data = {.layer = (uint16_t)layer, .path = index_text(&ovl->view->index, path, strlen(path))};
    if (!data.path)
        return -ENOMEM;
    ovl->metacopies = true;
    int error = index_set_stack(&ovl->view->index, d, &data, 1);
    if (error)
        index_free_text(&ovl->view->index, data.path);
    return error;
}

/* One layer: 1 when the search ends there, 0 when not. */
static int look_for_data(struct search *search, uint32_t d, unsigned number, const char *path, bool *stop) {
    const struct layer *layer = &search->ovl->layers[number];
    struct stat st;
    if (fd_lstat(layer->fd, path, &st) < 0) {
        bool absent = errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG;
        *stop |= absent && marks_has_dot(layer, path);
        return absent ? 0 : -errno;
    }
    int whiteout = marks_is_marked_at(layer, path, &st);
    if (whiteout || !S_ISREG(st.st_mode)) {
        *stop = true;
        return whiteout < 0 ? whiteout : 0;
    }
    int marked = is_marked(layer, path, &st);
    int error = marked > 0    ? search_redirect(search, number, path, stop)
                : marked == 0 ? metadata_set_data(search->ovl, d, number, path)
                              : marked;
    return error ? error : !marked;
}

/* Searches the layers below `above` for the data of the file there. Without any the file cannot be opened: -EIO
 * then. */
static int find_data(struct overlay *ovl, uint32_t d, unsigned above, const char *path_above) {
    char name[NAME_MAX + 1], path[VIEW_PATH_MAX];
    struct search search;
    bool stop = false;
    index_name(&ovl->view->index, d, name);
    int error = search_begin(&search, ovl, at(ovl, d)->parent, name, strlen(name), false);
    if (!error)
        error = search_redirect(&search, above, path_above, &stop);
    for (unsigned layer = above > ovl->n_layers ? 1 : above + 1; !error && layer <= ovl->n_layers; layer++) {
        int length = search_path(&search, layer, path, &stop);
        error = length > 0 ? look_for_data(&search, d, layer, path, &stop) : length;
        layer = stop ? search_hidden(ovl, layer) : layer;
        stop = false;
        search_leave(&search, layer);
    }
    return error < 0 ? error : 0;
}

int metadata_check(struct overlay *ovl, uint32_t d, unsigned layer, const char *path, const struct stat *st) {
    int marked = layer == ovl->n_layers ? 0 : is_marked(&ovl->layers[layer], path, st);
    if (marked <= 0)
        return marked;
    /* Who says so may not be allowed to read what it leads to; as the kernel with userxattr. */
    if (!is_believed(ovl, &ovl->layers[layer], st))
        return -EPERM;
    at(ovl, d)->flags |= D_METACOPY;
    return find_data(ovl, d, layer, path);
}

int metadata_open(const struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    const struct dentry *dentry = at(ovl, d);
    if (!dentry->stack)
        return -EIO;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    int length = lower_path(ovl, d, &stack->dirs[0], path);
    return length < 0 ? length
                      : fd_beneath(ovl->layers[stack->dirs[0].layer].fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

int metadata_path(const struct overlay *ovl, uint32_t d, char *out, size_t size) {
    const struct dentry *dentry = at(ovl, d);
    if (!dentry->stack)
        return -EIO;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    const struct text *text = index_text_at(&ovl->view->index, stack->dirs[0].path);
    return path_absolute(&ovl->layers[stack->dirs[0].layer], text->bytes, out, size);
}

void metadata_done(struct overlay *ovl, uint32_t d) {
    index_free_stack(&ovl->view->index, at(ovl, d));
    at(ovl, d)->flags &= (uint16_t)~D_METACOPY;
}

int metadata_recheck(struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    int layer = backing_at_upper(ovl, d, path);
    if (layer < 0)
        return layer;
    ssize_t mark = private_get_at(&ovl->layers[layer], path, METADATA_MARK, NULL, 0);
    if (mark == -ENODATA)
        metadata_done(ovl, d);
    return private_error(mark);
}
