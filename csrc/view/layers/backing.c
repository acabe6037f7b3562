/* backing.c - the object of a layer that stands behind an entry: the upper's, or the topmost of the lowers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "layers.h"

int backing_at_upper(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]) {
    if (at(ovl, d)->flags & D_COPY)
        return linked_copy_path(ovl, d, out);
    int length = path_in_upper(ovl, d, out);
    return length < 0 ? length : 0;
}

int backing_at_top(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]) {
    const struct dentry *dentry = at(ovl, d);
    if (upper_exists(dentry))
        return backing_at_upper(ovl, d, out);
    int length = path_in_lower(ovl, d, dentry->layer, out);
    return length < 0 ? length : dentry->layer;
}

int backing_path(const struct overlay *ovl, uint32_t d, char *out, size_t size) {
    char relative[VIEW_PATH_MAX];
    int layer = backing_at_top(ovl, d, relative);
    return layer < 0 ? layer : path_absolute(&ovl->layers[layer], relative, out, size);
}

int backing_last_dir(const struct overlay *ovl, uint32_t d) {
    const struct last_dir *last = &ovl->last_dir;
    return last->d && last->d == d && last->generation == ovl->view->generation ? last->fd : -1;
}

int backing_upper_statx(const struct overlay *ovl, uint32_t d, struct statx *stx) {
    char path[VIEW_PATH_MAX];
    int last = backing_last_dir(ovl, d);
    if (last >= 0)
        return fd_statx(last, "", AT_EMPTY_PATH, stx);
    int layer = backing_at_upper(ovl, d, path);
    return layer < 0 ? layer : fd_statx(ovl->layers[layer].fd, path, 0, stx);
}

int backing_open(const struct overlay *ovl, uint32_t d) {
    char path[VIEW_PATH_MAX];
    int layer = backing_at_upper(ovl, d, path);
    return layer < 0 ? layer : fd_beneath(ovl->layers[layer].fd, path, O_PATH | O_NOFOLLOW);
}

ssize_t backing_readlink(struct overlay *ovl, uint32_t d, char *out, size_t size) {
    const struct dentry *dentry = at(ovl, d);
    char path[VIEW_PATH_MAX];
    if (dentry->flags & D_TARGET) {
        const struct text *text = index_text_at(&ovl->view->index, dentry->stack);
        size_t length = text->length < size ? text->length : size;
        memcpy(out, text->bytes, length);
        return (ssize_t)length;
    }
    int layer = backing_at_top(ovl, d, path);
    if (layer < 0)
        return layer;
    ssize_t length = fd_readlink(ovl->layers[layer].fd, path, out, size);
    return length < 0 ? -errno : length;
}

int view_readlink(pto_view *view, const struct location *loc, char *out, size_t size) {
    HELD(&view->base->lock);
    if (loc->type == 0)
        return -ENOENT;
    if (!S_ISLNK(loc->type))
        return -EINVAL;
    if (loc->overlay)
        return (int)backing_readlink(loc->overlay, loc->dentry, out, size);
    ssize_t length = fd_readlink(AT_FDCWD, loc->path, out, size);
    return length < 0 ? -errno : (int)length;
}

int view_real(pto_view *view, const struct location *loc, char *out, size_t size) {
    HELD(&view->base->lock);
    if (!loc->overlay) {
        if (loc->length >= size)
            return -ENAMETOOLONG;
        memcpy(out, loc->path, loc->length + 1);
        return 0;
    }
    if (loc->type == 0)
        return -ENOENT;
    int length = backing_path(loc->overlay, loc->dentry, out, size);
    return length < 0 ? length : 0;
}

ssize_t backing_getxattr(const struct overlay *ovl, uint32_t d, const char *name, void *value, size_t size) {
    char path[VIEW_PATH_MAX];
    int layer = backing_at_top(ovl, d, path);
    return layer < 0 ? layer : fd_getxattr_at(ovl->layers[layer].fd, path, name, value, size);
}

ssize_t backing_listxattr(const struct overlay *ovl, uint32_t d, char *list, size_t size) {
    char path[VIEW_PATH_MAX];
    int layer = backing_at_top(ovl, d, path);
    return layer < 0 ? layer : fd_listxattr_at(ovl->layers[layer].fd, path, list, size);
}
