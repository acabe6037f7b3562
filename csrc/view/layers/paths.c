/* paths.c - from an index entry to its path in the view, in the upper and in a lower layer.
 *
 * Paths are built from the end of a buffer towards its start while walking up the entries.  One may be longer than what
 * a single call takes: fd.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "layers.h"

struct builder {
    char *start;   /* of the buffer, which has VIEW_PATH_MAX bytes */
    char *at;      /* first byte written */
};

static void builder_init(struct builder *builder, char *buffer) {
    builder->start = buffer;
    builder->at = buffer + VIEW_PATH_MAX - 1;
    *builder->at = '\0';
}

static bool prepend(struct builder *builder, const char *bytes, size_t length) {
    if ((size_t)(builder->at - builder->start) < length)
        return false;
    builder->at -= length;
    memcpy(builder->at, bytes, length);
    return true;
}

static int builder_finish(struct builder *builder, const char *if_empty) {
    size_t length = (size_t)(builder->start + VIEW_PATH_MAX - 1 - builder->at);
    if (length == 0) {
        strcpy(builder->start, if_empty);
        return (int)strlen(if_empty);
    }
    memmove(builder->start, builder->at, length + 1);
    return (int)length;
}

/* Prepends "/name" for every entry from d up to the root (not included). */
static bool prepend_names(const struct overlay *ovl, uint32_t d, struct builder *builder) {
    for (; d != ovl->root; d = at(ovl, d)->parent) {
        const struct dentry *dentry = at(ovl, d);
        if (!prepend(builder, dentry->name, dentry->name_length) || !prepend(builder, "/", 1))
            return false;
    }
    return true;
}

int path_in_view(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]) {
    struct builder builder;
    builder_init(&builder, out);
    if (!prepend_names(ovl, d, &builder) || !prepend(&builder, ovl->mount, ovl->mount_length))
        return -ENAMETOOLONG;
    return builder_finish(&builder, "/");
}

int path_in_upper(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]) {
    struct builder builder;
    builder_init(&builder, out);
    if (!prepend_names(ovl, d, &builder))
        return -ENAMETOOLONG;
    if (*builder.at)
        builder.at++;   /* relative: without the first slash */
    return builder_finish(&builder, ".");
}

/* The path that a directory's stack gives for this layer, or NULL. */
static const struct text *stack_path(const struct overlay *ovl, const struct dentry *dentry, unsigned layer) {
    if (!dentry->stack || (dentry->flags & D_TARGET))
        return NULL;
    const struct lower_stack *stack = arena_at(&ovl->view->index.arena, dentry->stack);
    for (uint32_t i = 0; i < stack->count; i++)
        if (stack->dirs[i].layer == layer && stack->dirs[i].path)
            return index_text_at(&ovl->view->index, stack->dirs[i].path);
    return NULL;
}

int path_in_lower(const struct overlay *ovl, uint32_t d, unsigned layer, char out[VIEW_PATH_MAX]) {
    struct builder builder;
    builder_init(&builder, out);
    for (; d != ovl->root; d = at(ovl, d)->parent) {
        const struct dentry *dentry = at(ovl, d);
        const struct text *path = stack_path(ovl, dentry, layer);
        if (path) {
            if (!prepend(&builder, path->bytes, path->length))
                return -ENAMETOOLONG;
            return builder_finish(&builder, ".");
        }
        if (!prepend(&builder, dentry->name, dentry->name_length) || !prepend(&builder, "/", 1))
            return -ENAMETOOLONG;
    }
    if (*builder.at)
        builder.at++;
    return builder_finish(&builder, ".");
}

int path_absolute(const struct layer *layer, const char *relative, char *out, size_t size) {
    size_t length = strlen(relative);
    if (strcmp(relative, ".") == 0) {
        if (layer->length == 0) {
            strcpy(out, "/");
            return 1;
        }
        if (layer->length >= size)
            return -ENAMETOOLONG;
        memcpy(out, layer->root, layer->length + 1);
        return (int)layer->length;
    }
    if (layer->length + 1 + length >= size)
        return -ENAMETOOLONG;
    memcpy(out, layer->root, layer->length);
    out[layer->length] = '/';
    memcpy(out + layer->length + 1, relative, length + 1);
    return (int)(layer->length + 1 + length);
}

bool path_below(const char *path, size_t path_length, const char *top, size_t top_length) {
    if (top_length == 0)
        return true;
    return path_length >= top_length && memcmp(path, top, top_length) == 0 &&
           (path_length == top_length || path[top_length] == '/');
}

/* "/" is held as "", so that a prefix and a name below it always join with one slash. */
size_t path_length(const char *path) {
    size_t length = strlen(path);
    return length == 1 && path[0] == '/' ? 0 : length;
}

int path_join(char out[VIEW_PATH_MAX], const char *directory, size_t directory_length, const char *name,
              size_t length) {
    size_t at = 0;
    if (!(directory_length == 1 && directory[0] == '.')) {
        if (directory_length + 1 >= VIEW_PATH_MAX)
            return -ENAMETOOLONG;
        memmove(out, directory, directory_length);
        out[directory_length] = '/';
        at = directory_length + 1;
    }
    if (at + length >= VIEW_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(out + at, name, length);
    out[at + length] = '\0';
    return (int)(at + length);
}

int path_of_fd(const struct overlay *ovl, int fd, char out[PATH_MAX]) {
    char link[FD_PATH], real[PATH_MAX];
    const struct layer *upper = &ovl->layers[0];
    fd_path(fd, link);
    ssize_t length = readlink(link, real, sizeof real - 1);
    if (length < 0)
        return -errno;
    real[length] = '\0';
    if (!path_below(real, (size_t)length, upper->root, upper->length))
        return -ESTALE;
    const char *relative = real + upper->length + (real[upper->length] == '/');
    strcpy(out, *relative ? relative : ".");
    return 0;
}
